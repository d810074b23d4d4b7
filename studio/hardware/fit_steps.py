"""The steps that make a recipe need less memory, in the order in which they are tried.

What changes nothing of the result comes first, then what costs time, then what costs quality.
Each step names the values that it would set, mildest first. Which of them are needed is decided in
`fit.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.adapters.targets import attention_names
from studio.errors import ModelError
from studio.hardware.workload import UNKNOWN, Examples

if TYPE_CHECKING:
    from studio.device import Device
    from studio.models.shape import ModelShape
    from studio.recipe import Recipe

SHORTEST_TOKENS = 256
"""Examples are not cut below this: an answer should still be in them."""
NARROWEST_RANK = 4
MOST_ACCUMULATED = 4096

Values = dict[str, Any]
"""Dotted keys of the recipe with their new values; the first one names the change."""


@dataclass(frozen=True)
class Situation:
    """What the steps depend on."""

    recipe: Recipe
    shape: ModelShape
    device: Device
    has_bitsandbytes: bool
    examples: Examples = UNKNOWN


@dataclass(frozen=True)
class Step:
    """One way to need less. `rungs` gives the values to set, mildest first; none where it does not
    apply. `why` says in one sentence what such values do, and what they cost."""

    name: str
    rungs: Callable[[Situation], list[Values]]
    why: Callable[[Situation, Values], str]


def _attention(situation: Situation) -> list[Values]:
    return [{"model.attention": "auto"}] if situation.recipe.model.attention == "eager" else []


def _why_attention(_situation: Situation, _values: Values) -> str:
    return ("Eager attention keeps a square of scores for every head; the automatic choice "
            "computes the same without it.")


def _checkpointing(situation: Situation) -> list[Values]:
    off = situation.recipe.training.gradient_checkpointing is False
    return [{"training.gradient_checkpointing": True}] if off else []


def _why_checkpointing(_situation: Situation, _values: Values) -> str:
    return ("Intermediate results are computed a second time instead of being kept: the same "
            "result, about a third slower.")


def _micro_batch(situation: Situation) -> list[Values]:
    training = situation.recipe.training
    effective = training.effective_batch_size
    return [
        {"training.batch_size": size, "training.gradient_accumulation": effective // size}
        for size in range(training.batch_size - 1, 0, -1)
        if effective % size == 0 and effective // size <= MOST_ACCUMULATED
    ]


def _why_micro_batch(situation: Situation, values: Values) -> str:
    effective = situation.recipe.training.effective_batch_size
    count = values["training.gradient_accumulation"]
    return (f"Fewer examples at once, {count} micro-batches to each step instead: the effective "
            f"batch stays at {effective}, so nothing is learned differently.")


def _optimizer(situation: Situation) -> list[Values]:
    names = ["adamw_torch", "adamw_8bit", "paged_adamw_8bit"]
    chosen = situation.recipe.training.optimizer
    if chosen not in names or not situation.has_bitsandbytes:
        return []
    # Without CUDA there is nothing to page from: bitsandbytes then takes the plain 8-bit one.
    last = len(names) if situation.device.kind == "cuda" else 2
    return [{"training.optimizer": name} for name in names[names.index(chosen) + 1:last]]


def _why_optimizer(_situation: Situation, values: Values) -> str:
    text = "The optimizer keeps its two numbers per trained parameter in 8 bits each"
    if values["training.optimizer"] == "paged_adamw_8bit":
        text += ", and moves them to main memory when the GPU runs short"
    return f"{text}: hardly any difference in the result."


def _number_format(situation: Situation) -> list[Values]:
    model, fast = situation.recipe.model, situation.device.fast_dtype
    if situation.recipe.adapter.trains_base:
        # Sixteen bits are enough to train whole weights only as bfloat16.
        wide, able = model.dtype in ("auto", "float32"), fast != "float16"
        return [{"model.dtype": "bfloat16"}] if wide and able else []
    if model.dtype == "float32" and fast != "float32":
        return [{"model.dtype": "auto"}]
    held = fast if model.dtype == "auto" else model.dtype
    return [{"model.dtype": "bfloat16"}] if held == "float32" else []


def _why_number_format(situation: Situation, _values: Values) -> str:
    if situation.recipe.adapter.trains_base:
        return ("Weights, gradients and the optimizer's numbers in 16 bits instead of 32: very "
                "small updates are lost to rounding.")
    slower = situation.device.fast_dtype == "float32"
    return ("The frozen base in 16 bits instead of 32"
            + (", which this processor computes with more slowly." if slower
               else ": hardly any difference in the result."))


def _quantization(situation: Situation) -> list[Values]:
    recipe = situation.recipe
    can = recipe.adapter.method == "lora" and situation.has_bitsandbytes
    return [{"model.quantization": "4bit"}] if can and recipe.model.quantization != "4bit" else []


def _why_quantization(situation: Situation, _values: Values) -> str:
    held = 8 if situation.recipe.model.quantization == "8bit" else 16
    return (f"QLoRA: the frozen base in 4 bits per weight instead of {held}. Answers are slightly "
            "worse, and steps a little slower.")


def _length(situation: Situation) -> list[Values]:
    cut = situation.recipe.data.max_length
    longest = situation.examples.longest_tokens
    if longest is not None and not situation.recipe.data.packing:
        cut = min(cut, longest)
    rungs: list[Values] = []
    while cut > SHORTEST_TOKENS:
        cut = max(SHORTEST_TOKENS, cut // 2)
        rungs.append({"data.max_length": cut})
    return rungs


def _why_length(situation: Situation, values: Values) -> str:
    limit = values["data.max_length"]
    if situation.recipe.training.method == "pretrain":
        return f"Rows of {limit} tokens: longer texts are divided into more of them."
    if situation.recipe.data.packing:
        return f"Rows of {limit} tokens: what is longer is cut."
    return f"Examples are cut after {limit} tokens: longer ones lose their end."


def _targets(situation: Situation) -> list[Values]:
    adapter = situation.recipe.adapter
    if adapter.method != "lora" or adapter.targets != "all-linear":
        return []
    try:
        attention_names(situation.shape)
    except ModelError:
        return []
    return [{"adapter.targets": "attention"}]


def _why_targets(_situation: Situation, _values: Values) -> str:
    return ("The adapter sits on the attention layers alone: fewer trained parameters, and it "
            "learns somewhat less.")


def _rank(situation: Situation) -> list[Values]:
    adapter = situation.recipe.adapter
    rungs: list[Values] = []
    rank = adapter.rank
    while adapter.method == "lora" and rank // 2 >= NARROWEST_RANK:
        rank //= 2
        share = rank / adapter.rank
        alpha = adapter.alpha * (math.sqrt(share) if adapter.use_rslora else share)
        rungs.append({"adapter.rank": rank, "adapter.alpha": round(alpha, 3)})
    return rungs


def _why_rank(_situation: Situation, _values: Values) -> str:
    return ("A narrower adapter, which learns less. Alpha goes down with it, so its strength "
            "stays.")


STEPS = (
    Step("attention", _attention, _why_attention),
    Step("gradient checkpointing", _checkpointing, _why_checkpointing),
    Step("micro-batch", _micro_batch, _why_micro_batch),
    Step("8-bit optimizer", _optimizer, _why_optimizer),
    Step("number format", _number_format, _why_number_format),
    Step("4-bit base", _quantization, _why_quantization),
    Step("maximum length", _length, _why_length),
    Step("target modules", _targets, _why_targets),
    Step("rank", _rank, _why_rank),
)
"""All of them, the one that matters least first."""
