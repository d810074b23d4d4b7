"""The studio's side of the merge bench: `python -m studio.bench.merge_process VERB REQUEST.json`.

time: merges the request's adapter into its base. peak: the same once the libraries are imported;
prints by how much the memory of the process grew at most, in bytes, on standard error.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from studio.export.merge import merge
from studio.hardware.resident import forget_peak, peak_resident_bytes, resident_bytes
from studio.settings import load_settings, prepare_environment


def main(verb: str, request_file: str) -> None:
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    settings = load_settings(request["home"], offline=True)
    prepare_environment(settings)

    def work() -> None:
        merge(Path(request["adapter"]), Path(request["output"]), settings, overwrite=True)

    if verb == "time":
        work()
    else:
        sys.stderr.write(json.dumps(_growth_bytes(work)) + "\n")


def _growth_bytes(work: Any) -> int:
    import peft  # noqa: F401
    import torch
    import transformers.models.auto.modeling_auto  # noqa: F401

    torch.ones(64, 64) @ torch.ones(64, 64)  # the first product sets up its threads
    forget_peak()
    before = resident_bytes()
    work()
    return peak_resident_bytes() - before


if __name__ == "__main__":
    main(*sys.argv[1:])
