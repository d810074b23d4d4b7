"""Run in the environment with the optional packages: writes GPTQ or AWQ, loads it, and asks it.

`python -m tests.export.quantize_with_extras MODEL DATA FORMAT OUTPUT` prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from studio.device import Device
from studio.errors import Stopped
from studio.export.quantize import Rounding, write_quantized
from studio.export.quantize_shape import plan_of, quantized_bytes
from studio.models.folder import ModelFolder
from studio.models.loading import load_base, load_tokenizer
from studio.models.shape import model_shape
from studio.progress import Step
from studio.recipe import Data
from studio.recipe.model import Model
from studio.settings import Settings, load_settings, prepare_environment

_QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
_CPU = Device("cpu", "CPU", "float32", 0)


def main(model: Path, data: Path, format: str, output: Path) -> None:
    """Everything that the test wants to know of one format."""
    import torch

    settings = load_settings(str(output.parent / "home"), offline=True)
    prepare_environment(settings)
    rounding = Rounding("gptq" if format == "gptq" else "awq", Data(source=str(data)), rows=8,
                        row_tokens=128)
    stopped_seconds = _seconds_to_stop(model, output, rounding, settings)
    left_by_stop = [path.name for path in output.parent.iterdir() if output.name in path.name]
    steps: list[Step] = []
    made = write_quantized(model, output, rounding, settings, progress=steps.append)
    shape = model_shape(str(model), settings)
    stored, before = _load(made.path), _load(model)
    tokenizer = load_tokenizer(ModelFolder(made.path, format, str(made.path)))
    prompt = tokenizer.apply_chat_template(_QUESTION, add_generation_prompt=True,
                                           return_tensors="pt", return_dict=True)
    with torch.inference_mode():
        answer = before.generate(**prompt, do_sample=False, max_new_tokens=24)
        old, new = (one(answer).logits.float().log_softmax(-1) for one in (before, stored))
        said = stored.generate(**prompt, do_sample=False, max_new_tokens=24)
    start = prompt["input_ids"].shape[1]
    sys.stdout.write(json.dumps({
        "bytes": made.bytes, "foretold": quantized_bytes(model, shape, plan_of(shape, format)),
        "layer": type(stored.model.layers[0].mlp.up_proj).__name__,
        "kl": float((old.exp() * (old - new)).sum(-1).mean()),
        "agreement": float((old.argmax(-1) == new.argmax(-1)).float().mean()),
        "answer": tokenizer.decode(said[0, start:], skip_special_tokens=True),
        "stages": sorted({step.what for step in steps}),
        "stopped_seconds": stopped_seconds, "left_by_stop": left_by_stop,
    }) + "\n")


def _seconds_to_stop(model: Path, output: Path, rounding: Rounding, settings: Settings) -> float:
    """From a stop while AutoRound loads until the writer is back."""
    asked: list[float] = []

    def look(step: Step) -> None:
        if step.what.startswith("Loading"):
            asked.append(time.monotonic())

    try:
        write_quantized(model, output, rounding, settings, progress=look,
                        stop=lambda: bool(asked))
    except Stopped:
        return time.monotonic() - asked[0]
    raise AssertionError("it was not stopped")


def _load(folder: Path) -> Any:
    return load_base(Model(source=str(folder), dtype="float32"),
                     ModelFolder(folder, folder.name, str(folder)), _CPU)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
