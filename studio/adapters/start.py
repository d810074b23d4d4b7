"""Starts of a LoRA that are made from the base's weights: PiSSA, OLoRA, LoftQ.

PiSSA (arXiv:2404.02948) and OLoRA (arXiv:2406.01775) begin at the strongest directions of a
weight and take them out of it, so that the sum is what it was. The start is kept in a file: with
it a resumed run finds the same base to the bit, and a finished adapter is written as a plain LoRA
for the base as it was published (trained minus start, twice as wide). LoftQ (arXiv:2310.08659)
begins at what the 4-bit rounding took away and leaves the base alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.folder import CONFIG_FILE, PREFIX, WEIGHTS_FILE, write_weights
from studio.errors import ModelError
from studio.files import write_json_safely
from studio.progress import Progress, ShouldStop, Step, never, silent

if TYPE_CHECKING:
    import torch

_MORE_DIRECTIONS = 8
"""Looked for beside the rank, so that the last ones that are wanted are found well."""
_ROUNDS = 16
"""Of PiSSA's fast decomposition; its paper finds no difference to an exact one with so many."""


def take_apart(
    model: Any, init: str, kept: Path | None, *, progress: Progress = silent,
    stop: ShouldStop = never,
) -> None:
    """Start the LoRA on `model` by `init` ("pissa" or "olora") and take the start out of its base.

    The start comes from the file `kept` where there is one, and is written there else.
    """
    known = _read(kept) if kept is not None and kept.is_file() else None
    starts: dict[str, torch.Tensor] = {}
    for name, layer in _layers(model, progress, stop):
        if known is not None:
            a, b = known[f"{name}.lora_A.weight"], known[f"{name}.lora_B.weight"]
        else:
            find = _strongest if init == "pissa" else _orthonormal
            a, b = find(_weight(layer), layer.r["default"], layer.scaling["default"])
        starts |= {f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b}
        _start_at(layer, a, b)
        _take_out(layer, a, b)
    if known is None and kept is not None and not stop():
        write_weights(starts, kept)


def make_up_for_rounding(
    model: Any, base: Path, *, progress: Progress = silent, stop: ShouldStop = never
) -> None:
    """LoftQ: start the LoRA on the 4-bit `model` at what rounding took from the weights in `base`.
    """
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from peft.utils.loftq_utils import _SafetensorLoader

    stored = _SafetensorLoader(model, str(base / "model.safetensors"))
    for name, layer in _layers(model, progress, stop):
        rounded = layer.get_base_layer().weight
        whole = stored.get_tensor(f"{name.removeprefix(PREFIX)}.weight")
        lost = whole.to(rounded.device, torch.float32) - dequantize_4bit(
            rounded.data, rounded.quant_state).float()
        _start_at(layer, *_strongest(lost, layer.r["default"], layer.scaling["default"]))


def as_plain_lora(folder: Path, start: Path) -> None:
    """Turn the adapter in `folder`, trained over a base without `start`, into one for the base
    itself: B A - B0 A0 is a LoRA of twice the rank."""
    import torch

    trained, begun = _read(folder / WEIGHTS_FILE), _read(start)
    for key, value in begun.items():
        axis = 0 if ".lora_A." in key else 1
        trained[key] = torch.cat([trained[key], value if axis == 0 else -value], dim=axis)
    write_weights(trained, folder / WEIGHTS_FILE)
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    # The scale is alpha / rank, or alpha / sqrt(rank): it shall stay while the rank doubles.
    factor = math.sqrt(2) if config.get("use_rslora") else 2
    config["init_lora_weights"] = True
    config["r"] *= 2
    config["lora_alpha"] *= factor
    config["rank_pattern"] = {name: 2 * rank for name, rank in config["rank_pattern"].items()}
    config["alpha_pattern"] = {
        name: factor * alpha for name, alpha in config["alpha_pattern"].items()}
    write_json_safely(folder / CONFIG_FILE, config)


def _layers(model: Any, progress: Progress, stop: ShouldStop) -> Iterator[tuple[str, Any]]:
    """The adapted layers with their paths, as the adapter's file names them."""
    import torch
    from peft.tuners.lora import LoraLayer

    found = [(name, module) for name, module in model.named_modules()
             if isinstance(module, LoraLayer) and "default" in module.lora_A]
    with torch.no_grad():
        for number, (name, layer) in enumerate(found):
            if stop():
                return
            progress(Step("Finding where the adapter starts", number, len(found), "layers"))
            yield name, layer


def _weight(layer: Any) -> torch.Tensor:
    """(outputs, inputs) in float32."""
    weight: torch.Tensor = layer.get_base_layer().weight.data.float()
    return weight.T if layer.fan_in_fan_out else weight


def _strongest(
    weight: torch.Tensor, rank: int, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    directions = min(rank + _MORE_DIRECTIONS, *weight.shape)
    left, strengths, right = torch.svd_lowrank(weight, q=directions, niter=_ROUNDS)
    share = (strengths[:rank] / scale).sqrt()
    return (share[:, None] * right[:, :rank].T).contiguous(), (left[:, :rank] * share).contiguous()


def _orthonormal(
    weight: torch.Tensor, rank: int, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    columns, rows = torch.linalg.qr(weight)
    return rows[:rank].contiguous(), columns[:, :rank].contiguous()


def _start_at(layer: Any, a: torch.Tensor, b: torch.Tensor) -> None:
    for held, value in ((layer.lora_A, a), (layer.lora_B, b)):
        weight = held["default"].weight
        weight.data = value.to(weight.device, weight.dtype).clone()


def _take_out(layer: Any, a: torch.Tensor, b: torch.Tensor) -> None:
    base = layer.get_base_layer()
    rest = _weight(layer) - layer.scaling["default"] * (b @ a).to(base.weight.device)
    base.weight.data = (rest.T if layer.fan_in_fan_out else rest).contiguous().to(base.weight.dtype)


def _read(file: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except SafetensorError as error:
        raise ModelError(f"{file} is damaged: {error}.", "Start the run anew.") from error
