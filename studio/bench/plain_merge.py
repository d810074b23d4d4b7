"""The peer of the merge bench: merges as the documentation of PEFT writes it.

`python -m studio.bench.plain_merge REQUEST.json`. Takes nothing of the studio.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(request_file: str) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    base: Any = AutoModelForCausalLM.from_pretrained(request["model"], dtype="auto")
    model: Any = PeftModel.from_pretrained(base, request["adapter"])
    model.merge_and_unload().save_pretrained(request["plain_output"])


if __name__ == "__main__":
    main(sys.argv[1])
