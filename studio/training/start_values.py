"""Where an adapter starts when it does not start as nothing: from the base's weights, or a text.

The arithmetic of the former is in `studio/adapters/start.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.errors import RecipeError
from studio.progress import Progress, ShouldStop, never, silent
from studio.recipe import Adapter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from studio.models.folder import ModelFolder

START_FILE = "start.safetensors"
"""In the run's folder, for a start that was taken out of the base's weights."""


def set_start(
    model: Any, adapter: Adapter, base: ModelFolder, tokenizer: PreTrainedTokenizerBase,
    kept: Path | None, *, progress: Progress = silent, stop: ShouldStop = never,
) -> None:
    """Give the adapter on `model` the start that the recipe asks for.

    `kept` is the run's file for a start that changes the base: read where it exists, else written.
    Returns early when `stop` says so; the model is then of no use.
    """
    from studio.adapters.start import make_up_for_rounding, take_apart

    if adapter.method == "prompt_tuning" and adapter.prompt_text.strip():
        _start_as_text(model, tokenizer, adapter.prompt_text.strip())
    if adapter.takes_apart:
        take_apart(model, adapter.init, kept, progress=progress, stop=stop)
        # So that a checkpoint says that it is not an adapter of the base as it was published.
        model.peft_config["default"].init_lora_weights = adapter.init
    elif adapter.starts_from_base:
        make_up_for_rounding(model, base.path, progress=progress, stop=stop)


def _start_as_text(model: Any, tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    """The learned tokens become those of `text`, repeated or cut to their number (as in PEFT)."""
    import torch

    ids = tokenizer.encode(text, add_special_tokens=False)
    if not ids:
        raise RecipeError("adapter.prompt_text has no tokens in this model's vocabulary.",
                          "Write words, or leave it empty.")
    learned = model.prompt_encoder["default"].embedding.weight
    chosen = (ids * -(-len(learned) // len(ids)))[:len(learned)]
    with torch.no_grad():
        words = model.word_embeddings(torch.tensor(chosen, device=learned.device))
        learned.copy_(words)
