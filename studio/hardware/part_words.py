"""The parts of an estimate in plain words, and what was taken for granted. For people only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.hardware.objectives import OBJECTIVES
from studio.hardware.workload import LABELLED_SHARE, learns_answers_only
from studio.recipe.method_words import method_words

if TYPE_CHECKING:
    from studio.device import Device
    from studio.hardware.memory import Estimate
    from studio.recipe import Recipe

_WORDS = {
    "weights": "Base model", "adapter": "Adapter", "gradients": "Gradients",
    "optimizer": "Optimizer state", "activations": "Layer outputs kept",
    "recomputation": "One layer at work", "logits": "Word scores, loss",
    "overhead": "Libraries, driver", "slack": "Allocator's gaps", "workspace": "Workspace",
    "cache": "Conversation cache", "model": "Model files", "tokenizer": "Tokenizer",
    "vocabulary": "Vocabulary", "total": "Together",
}
_WORDS_OF_JOB = {
    ("chat", "activations"): "One layer at work", ("chat", "logits"): "Choosing a word",
    ("chat", "adapter"): "Adapters", ("merge", "activations"): "One layer's update",
    ("gguf", "weights"): "Largest tensor", ("gguf", "model"): "Weights",
}


def words(part: str, job: str = "train") -> str:
    """`part` as a person calls it."""
    return _WORDS_OF_JOB.get((job, part)) or _WORDS.get(part, part.capitalize())


def assumptions(
    recipe: Recipe, device: Device, found: Estimate, *, data_is_known: bool = False
) -> tuple[str, ...]:
    """What the estimate of training takes for granted, a sentence each.

    `data_is_known`: it was made for the longest example and the share of answers of real data.
    """
    training = recipe.training
    lines = [] if data_is_known else [
        f"{method_words(training.method).counted(training.batch_size)} of {_tokens(recipe)} at "
        "once, the longest that the recipe allows: shorter ones take less.",
    ]
    lines += [
        f"Gradient checkpointing is {'on' if found.checkpointing else 'off'}"
        + (", decided for the memory that is free." if training.gradient_checkpointing == "auto"
           else ", as the recipe says."),
    ]
    writes = OBJECTIVES[training.method].writes
    if learns_answers_only(recipe) and not writes and not data_is_known:
        lines.append(f"{LABELLED_SHARE:.0%} of the tokens are answers and carry loss.")
    if recipe.model.attention == "auto":
        lines.append("Attention is PyTorch's own (sdpa).")
    if not recipe.adapter.trains_base:
        lines.append("The base is frozen; the adapter, its gradients and its optimizer state are "
                     "in 32 bits.")
    if device.kind == "cpu":
        lines.append("The system's allocator is Linux's (glibc), with its usual settings.")
    else:
        lines.append("This program is the only one on the GPU; what others hold is not counted.")
    return tuple(lines)


def _tokens(recipe: Recipe) -> str:
    """The length of one example at most, in words."""
    step, tokens = OBJECTIVES[recipe.training.method], f"{recipe.data.max_length:,} tokens"
    if step.writes:
        return f"{recipe.reinforcement.answer_tokens:,} tokens behind prompts of {tokens}"
    return f"{step.rows} × {tokens}" if step.rows > 1 else tokens
