"""How to serve a run's exports to others: commands and compose files with its real names.

For vLLM (the merged model, or the base with the adapter), TGI and llama.cpp. Text only: nothing is
started, and whether the programs are there is not asked. Paths are relative to the exports.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.folder import read_adapter_folder
from studio.errors import ModelError
from studio.export.adapter_alone import default_adapter_folder
from studio.export.gguf import default_gguf_file
from studio.export.origin import default_merge_folder
from studio.export.output import Written, end_if_stopped, folder_to_write, reported
from studio.export.serving_recipes import (
    VLLM_RANKS,
    Served,
    serving_readme,
    serving_recipes,
)
from studio.export.shared_base import shared_base
from studio.files import folder_written_whole
from studio.files import write_text_safely as write_text
from studio.models.shape import model_shape
from studio.progress import Progress, ShouldStop, never, silent

if TYPE_CHECKING:
    from studio.export.origin import Origin
    from studio.settings import Settings

_USUAL_CONTEXT = 8192
"""Offered of a longer one: a server keeps room for a whole one, and more may not fit."""
_GGUF_ORDER = ("q4_k_m", "q5_k_m", "q6_k", "q8_0", "bf16", "f16", "f32")


def serving_bytes(origin: Origin) -> int:
    """A few pages of text."""
    return 12_000


def served(origin: Origin, settings: Settings, name: str = "") -> Served:
    """What there is to serve of `origin`, and how. `name` begins the names of its exports; unless
    told it is the run's own."""
    name = name or origin.name
    longest, wanted = _longest_tokens(origin, settings), _taught_tokens(origin)
    context = max(wanted, min(_USUAL_CONTEXT, longest or _USUAL_CONTEXT))
    rank, why = _lora(origin)
    return Served(
        name, shared_base(origin, settings), default_merge_folder(settings, name).name,
        default_adapter_folder(settings, name).name, _gguf_name(name, settings),
        min(context, longest) if longest else context, longest, rank, why)


def write_serving(
    origin: Origin, output: Path, settings: Settings, *, name: str = "",
    progress: Progress = silent, stop: ShouldStop = never, overwrite: bool = False,
) -> Written:
    """Write README.md and the compose files to the folder `output`, for exports called `name`.

    Raises ExportError (name or output taken), ModelError (base missing), DiskError, Stopped.
    """
    started = time.monotonic()
    output = folder_to_write(output, overwrite)
    model = served(origin, settings, name)
    recipes = serving_recipes(model)
    notes = [model.why_no_lora] if model.why_no_lora else []
    with folder_written_whole(output) as folder:
        end_if_stopped(stop)
        write_text(folder / "README.md", serving_readme(model, recipes))
        for recipe in recipes:
            if recipe.compose:
                write_text(folder / recipe.compose_name, recipe.compose)
        made = reported(output, folder, started, notes, {
            "kind": "serving recipes", "name": origin.name, "base": model.base.reference})
    return made


def _longest_tokens(origin: Origin, settings: Settings) -> int | None:
    wanted = origin.model
    source = str(origin.path) if origin.is_full_model else wanted.source
    return model_shape(source, settings, revision=wanted.revision,
                       trust_remote_code=wanted.trust_remote_code).max_positions or None


def _taught_tokens(origin: Origin) -> int:
    """The longest example that the run learned from, as its recipe has it."""
    recipe = origin.run.readable_recipe if origin.run is not None else None
    return 0 if recipe is None else recipe.data.max_length


def _gguf_name(name: str, settings: Settings) -> str:
    """The GGUF of it that is there, the usual type first; else the one to write."""
    usual = [default_gguf_file(settings, name, outtype) for outtype in _GGUF_ORDER]
    return next((file.name for file in usual if file.is_file()), usual[0].name)


def _lora(origin: Origin) -> tuple[int, str]:
    """The widest rank, and why vLLM cannot load the adapter beside its base."""
    if origin.is_full_model:
        return 0, ""
    try:
        config = read_adapter_folder(origin.path).config
    except ModelError as error:
        return 0, error.message
    if str(config.get("peft_type")).upper() != "LORA":
        return 0, ("vLLM loads adapters of the kind LoRA only, so it serves the merged model.")
    rank = max([int(config["r"]), *(config.get("rank_pattern") or {}).values()])
    reason = next((words for key, words in _UNSERVED.items()
                   if config.get(key) not in (None, False, [], {}, "none")), "")
    if rank > VLLM_RANKS[-1]:
        reason = f"its rank is {rank}, and vLLM takes up to {VLLM_RANKS[-1]}"
    return rank, (f"vLLM cannot load this adapter beside its base ({reason}), so it serves the "
                  "merged model.") if reason else ""


_UNSERVED: dict[str, Any] = {
    "use_dora": "it is a DoRA", "modules_to_save": "it replaces whole modules",
    "bias": "it changes biases", "trainable_token_indices": "it replaces words",
    "rank_pattern": "its modules differ in rank, which vLLM would scale alike",
    "alpha_pattern": "its modules differ in alpha, which vLLM would scale alike",
}
