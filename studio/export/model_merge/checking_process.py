"""Run as a process of its own: a merged model is loaded by plain transformers, and asked.

`python -m studio.export.model_merge.checking_process REQUEST.json`. Imported nowhere. Where the
method is a formula that is written down here too (linear, SLERP), some of the tensors are worked
out again from the models' own files, in float64.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.child import end_with
from studio.export.stream import stored_by_name
from studio.export.stream_files import read_tensor
from studio.settings import load_settings, prepare_environment

if TYPE_CHECKING:
    import torch

_ANSWER_TOKENS = 32
_MOST_TENSORS = 6
_MOST_NUMBERS = 5_000_000
"""Larger tensors are left to mergekit: this is a sample."""
_PARALLEL = 0.9995
"""Above this cosine mergekit's SLERP goes straight instead of along the arc."""


def main(request_file: Path) -> None:
    """{"home", "parent", "folder", "prompts", "method", "t", "parts", "moved_rows", "output"} in;
    {"answers", "is_finite", "compared", "wrong"} out. `parts` are [folder, weight]; tensors with so
    many rows as in `moved_rows` are not worked out again."""
    request = json.loads(request_file.read_text(encoding="utf-8"))
    end_with(request["parent"])
    prepare_environment(load_settings(request["home"], offline=True))
    told = {**_compared(request), **_asked(request["folder"], request["prompts"])}
    Path(request["output"]).write_text(json.dumps(told), encoding="utf-8")


def _asked(folder: str, prompts: list[str]) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    answers, is_finite = [], True
    for prompt in prompts:
        if tokenizer.chat_template:
            given = tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], add_generation_prompt=True,
                return_tensors="pt", return_dict=True)
        else:
            given = tokenizer(prompt, return_tensors="pt")
        with torch.inference_mode():
            is_finite &= bool(model(**given).logits.isfinite().all())
            said = model.generate(**given, do_sample=False, max_new_tokens=_ANSWER_TOKENS)
        start = given["input_ids"].shape[1]
        answers.append(tokenizer.decode(said[0, start:], skip_special_tokens=True).strip())
    return {"answers": answers, "is_finite": is_finite}


def _compared(request: dict[str, Any]) -> dict[str, Any]:
    """The names of those tensors that are not what the formula gives, of those looked at."""
    formula = _formula(request)
    if formula is None:
        return {"compared": 0, "wrong": []}
    written = stored_by_name(Path(request["folder"]))
    parts = [stored_by_name(Path(folder)) for folder, _ in request["parts"]]
    names = sorted(name for name, tensor in written.items()
                   if math.prod(tensor.shape) <= _MOST_NUMBERS
                   and tensor.shape[0] not in request["moved_rows"]
                   and all(name in part and part[name].shape == tensor.shape for part in parts))
    sample = names[::max(1, math.ceil(len(names) / _MOST_TENSORS))]
    wrong = [name for name in sample if not _is_near(
        read_tensor(written[name]), formula([read_tensor(part[name]).double() for part in parts]))]
    return {"compared": len(sample), "wrong": wrong}


def _formula(request: dict[str, Any]) -> Callable[[list[torch.Tensor]], torch.Tensor] | None:
    if request["method"] == "linear":
        weights = [weight for _, weight in request["parts"]]

        def average(tensors: list[torch.Tensor]) -> torch.Tensor:
            summed = tensors[0] * weights[0]
            for weight, one in zip(weights[1:], tensors[1:], strict=True):
                summed += weight * one
            return summed / math.fsum(weights)
        return average
    if request["method"] == "slerp":
        return lambda tensors: _along_the_arc(request["t"], *tensors)
    return None


def _along_the_arc(t: float, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """https://en.wikipedia.org/wiki/Slerp, over all numbers of a tensor."""
    lengths = float(first.norm() * second.norm())
    cosine = float((first * second).sum()) / lengths if lengths else 1.0
    if abs(cosine) > _PARALLEL:
        return (1 - t) * first + t * second
    angle = math.acos(cosine)
    return (math.sin((1 - t) * angle) * first + math.sin(t * angle) * second) / math.sin(angle)


def _is_near(written: torch.Tensor, exact: torch.Tensor) -> bool:
    """Equal but for one rounding to the format that was written, and those of float32 before."""
    import torch

    step = torch.finfo(written.dtype).eps
    return bool(torch.allclose(written.double(), exact, rtol=step,
                               atol=1e-6 * float(exact.abs().max())))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
