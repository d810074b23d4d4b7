"""The peer of the chat bench: answers as the documentation of Transformers and PEFT writes it.

`python -m studio.bench.plain_peft REQUEST.json` loads the base and all adapters of the request,
answers once with the last one, and prints how much memory that took as one line of JSON on
standard error. Takes nothing of the studio but the reading of that memory.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from studio.bench.peak import Peak


class PlainPeft:
    """The base with its adapters, the last one active. `dtype` and `attention` as Transformers
    calls them."""

    def __init__(self, base: str, adapters: list[str], *, dtype: str, attention: str,
                 device: str) -> None:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(base)
        model: Any = AutoModelForCausalLM.from_pretrained(
            base, dtype=dtype, attn_implementation=attention, device_map=device)
        for number, folder in enumerate(adapters):
            name = f"adapter-{number}"
            if number:
                model.load_adapter(folder, adapter_name=name)
            else:
                model = PeftModel.from_pretrained(model, folder, adapter_name=name)
            model.set_adapter(name)
        self._model = model.eval()

    def answer(self, messages: list[dict[str, str]], tokens: int) -> tuple[int, float]:
        """The number of new tokens, at most `tokens`, and the seconds that they took."""
        began = time.perf_counter()
        inputs = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True,
        ).to(self._model.device)
        made = self._model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
        return made.shape[1] - inputs["input_ids"].shape[1], time.perf_counter() - began


def main(request_file: str) -> None:
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    peak = Peak()
    plain = PlainPeft(request["model"], request["adapters"], **request["loading"])
    peak.models_are_loaded()
    plain.answer(request["messages"], request["tokens"])
    sys.stderr.write(json.dumps(peak.told()) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
