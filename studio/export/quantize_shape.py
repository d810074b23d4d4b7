"""Whether a model's shape can be rounded to 4 bits in groups, and what the result will weigh.

GPTQ and AWQ store weights in groups along a layer's inputs: every group shares a scale and a zero
point, so a group must divide the inputs of every layer. That is known from config.json before
anything is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from studio.errors import ExportError
from studio.export.stored import stored_weights
from studio.export.whole_model import beside_weights_bytes
from studio.models.shape import LinearShape, ModelShape

Format = Literal["gptq", "awq"]
FORMATS: tuple[str, ...] = get_args(Format)
GROUP_SIZES = (128, 64, 32)
"""What the kernels of vLLM, ExLlama, and Marlin take; large groups are smaller on disk."""
CALIBRATION_ROWS: dict[Format, int] = {"gptq": 64, "awq": 16}
"""Of `ROW_TOKENS` each, which the model is measured on; AWQ does with few (arXiv:2306.00978, 5.3).
"""
ROW_TOKENS = 512
TUNED_ROWS = 16
"""Of those, where the rounding is tuned: every step reads half of them."""
TUNING_STEPS = 20
"""On the starter four fifths of what GPTQ loses comes back (KL 0.030 -> 0.007); 200 are usual where
there is a GPU."""
_STEP_TOKENS = 8 * ROW_TOKENS
_SIDES = 32
"""Kernels read both sides of a layer in tiles of 32; AutoRound leaves other layers in 16 bits."""
_NAMES_BYTES = 450
"""Of every layer: names and shapes of its tensors in the file's header."""
_SEARCH_SECONDS = 6.5e-7
"""Of one core, for the best scales of one weight; measured on the starter, as the next two."""
_PASS_SECONDS = 3.5e-11
"""Of one core, for one weight and one token that goes through it."""
_STEP_SECONDS = 6e-11
"""Of one core, for one weight and one token of one tuning step, forwards and backwards."""
_PASSES: dict[Format, int] = {"gptq": 1, "awq": 22}
"""AWQ sends the tokens through each block again for every scaling that it tries."""


@dataclass(frozen=True)
class Plan:
    """Which layers are rounded in groups of `group_size`, and which keep 16 bits."""

    format: Format
    group_size: int
    rounded: tuple[LinearShape, ...]
    kept: tuple[LinearShape, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the choice."""
        if not self.kept:
            return ()
        names = ", ".join(sorted({f"{one.name} ({one.inputs} x {one.outputs})"
                                  for one in self.kept}))
        return (f"Layers whose sides are no multiples of {_SIDES} keep their 16 bits: {names}.",)


def group_sizes_for(shape: ModelShape) -> tuple[int, ...]:
    """The group sizes that fit every layer that can be rounded, largest first."""
    rounded, _ = _layers(shape)
    return tuple(size for size in GROUP_SIZES
                 if rounded and all(one.inputs % size == 0 for one in rounded))


def plan_of(shape: ModelShape, format: str, group_size: int | None = None) -> Plan:
    """The layers and the group size, the largest that fits where none is given.

    Raises ExportError for a format or a group size that does not fit this model.
    """
    if format not in FORMATS:
        raise ExportError(f"{format} is not a 4-bit format that is written here.",
                          f"Choose one of {', '.join(FORMATS)}.")
    rounded, kept = _layers(shape)
    _require_known_layers(shape, format)
    fitting = group_sizes_for(shape)
    if not fitting:
        raise ExportError(
            f"{shape.name} has no layer that {format.upper()} can round: its layers have "
            f"{_inputs(shape.linears)} inputs, and kernels read groups of {_SIDES} or more.",
            "Use GGUF or NF4 for this model.")
    if group_size is None:
        group_size = fitting[0]
    if group_size not in fitting:
        raise ExportError(
            f"A group size of {group_size} does not fit {shape.name}: its layers have "
            f"{_inputs(rounded)} inputs, and a group must divide every one of them.",
            f"Choose {' or '.join(map(str, fitting))}.")
    return Plan("gptq" if format == "gptq" else "awq", group_size, rounded, kept)


def quantized_bytes(model_folder: Path, shape: ModelShape, plan: Plan) -> int:
    """The size to expect, from headers and shape. What is not rounded keeps its bytes."""
    stored = stored_weights(model_folder)
    rounded = sum(one.inputs * one.outputs * one.count for one in plan.rounded)
    rest = (stored.parameters - rounded) * stored.bytes // stored.parameters
    packed = sum(_packed_bytes(one, plan) for one in plan.rounded)
    return rest + packed + beside_weights_bytes(model_folder)


def calibration_rows_for(format: Format, tuning_steps: int) -> int:
    """Rows of `ROW_TOKENS` tokens that are enough."""
    return TUNED_ROWS if tuning_steps else CALIBRATION_ROWS[format]


def processor_seconds(plan: Plan, tokens: int, tuning_steps: int = 0, *,
                      cores: int | None = None) -> float:
    """About how long rounding takes without a GPU, nothing else at work; on all `cores` of this PC
    unless told."""
    import psutil

    cores = cores or psutil.cpu_count(logical=False) or 1
    weights = sum(one.inputs * one.outputs * one.count for one in plan.rounded)
    each = _SEARCH_SECONDS + _PASS_SECONDS * _PASSES[plan.format] * tokens
    each += _STEP_SECONDS * tuning_steps * min(tokens, _STEP_TOKENS)
    return weights * each / cores


def _packed_bytes(linear: LinearShape, plan: Plan) -> int:
    """4 bits a weight; of every group and output a 16-bit scale and a 4-bit zero point; GPTQ also
    says of every input which group it is in, in 32 bits."""
    groups = linear.inputs // plan.group_size
    each = linear.inputs * linear.outputs // 2 + groups * linear.outputs * 5 // 2
    order = 4 * linear.inputs if plan.format == "gptq" else 0
    return linear.count * (each + order + _NAMES_BYTES)


def _layers(shape: ModelShape) -> tuple[tuple[LinearShape, ...], tuple[LinearShape, ...]]:
    fits = [one.inputs % _SIDES == 0 and one.outputs % _SIDES == 0 for one in shape.linears]
    pairs = list(zip(shape.linears, fits, strict=True))
    return (tuple(one for one, fit in pairs if fit), tuple(one for one, fit in pairs if not fit))


def _require_known_layers(shape: ModelShape, format: str) -> None:
    if any(one.kind == "experts" for one in shape.stacked):
        raise ExportError(f"{shape.name} is a mixture of experts, which is not rounded to "
                          f"{format.upper()} here.", "Use GGUF for this model.")
    if format == "awq" and any(one.kind == "conv1d" for one in shape.linears):
        raise ExportError(f"{shape.name} stores its layers the other way round (Conv1D), which "
                          "AWQ does not know.", "Use GPTQ, NF4, or GGUF for this model.")


def _inputs(linears: tuple[LinearShape, ...]) -> str:
    return " and ".join(map(str, sorted({one.inputs for one in linears})))
