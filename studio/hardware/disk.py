"""Disk space that a recipe takes from download to GGUF, part by part, and on which drive. Pure but
for looking at what is on this PC already and how much is free.

Sizes follow from the model's shape: nothing is downloaded or written to find them. Tokenizer files
and logs (some megabytes) are left out.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.count import (
    TrainableCount,
    checkpoint_adapter_bytes,
    count_trainable,
    start_bytes,
)
from studio.files import free_bytes, nearest_existing, readable_bytes, typed_path
from studio.hardware.export_memory import gguf_disk, merged_disk, stored_bytes
from studio.hardware.objectives import keeps_start_copy
from studio.hardware.parts import PartBytes, millions
from studio.hardware.static_memory import INT8_STATE_BYTES
from studio.models.source import is_on_this_pc, local_folder
from studio.recipe.base import STARTER

if TYPE_CHECKING:
    from studio.models.shape import ModelShape
    from studio.recipe import Recipe
    from studio.settings import Settings

COMFORTABLE_SHARE = 0.8


@dataclass(frozen=True)
class DiskPart:
    """One thing that will lie on disk. `formula` says where the number comes from."""

    name: str
    bytes: int
    formula: str
    folder: Path


@dataclass(frozen=True)
class Drive:
    """A drive that some parts go to: `folder` is one of theirs that exists."""

    folder: Path
    free_bytes: int
    needed_bytes: int
    names: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether all of its parts have room together."""
        return self.needed_bytes <= self.free_bytes


@dataclass(frozen=True)
class DiskNeeds:
    """Everything that a recipe writes, from the download to a GGUF."""

    parts: tuple[DiskPart, ...]
    drives: tuple[Drive, ...]

    @property
    def total_bytes(self) -> int:
        """All parts together."""
        return sum(part.bytes for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "total_bytes": self.total_bytes,
            "parts": [{**asdict(part), "folder": str(part.folder)} for part in self.parts],
            "drives": [{**asdict(drive), "folder": str(drive.folder), "fits": drive.fits}
                       for drive in self.drives],
        }


def disk_needs(
    recipe: Recipe, shape: ModelShape, settings: Settings, *, is_here: bool | None = None,
    count: TrainableCount | None = None, gguf: str = "f16",
) -> DiskNeeds:
    """What training `recipe`, merging it and converting it to a GGUF of type `gguf` writes.

    `is_here` (whether the model is on this PC) and `count` are looked up where they are not given.
    Raises ModelError for targets that the model does not have.
    """
    if is_here is None:
        is_here = is_on_this_pc(recipe.model, settings)
    count = count or count_trainable(recipe, shape)
    state = optimizer_state_bytes(recipe, count.trainable)
    parts = (
        _download(recipe, shape, settings, is_here),
        _checkpoints(recipe, settings, _checkpoint_weights(recipe, shape, count), state),
        *_start(recipe, shape, settings), _result(recipe, settings, count),
        _merged(recipe, shape, settings), _gguf(recipe, shape, settings, gguf),
    )
    return DiskNeeds(parts, _by_drive(parts))


def _download(
    recipe: Recipe, shape: ModelShape, settings: Settings, is_here: bool
) -> DiskPart:
    source = recipe.model.source
    if source == STARTER:
        folder, copies, why = settings.models, 2, ", in the Hub's cache and prepared in the home"
    elif local_folder(source) is not None:
        folder, copies, why = typed_path(source).absolute(), 0, ""
    else:
        folder, copies, why = hub_cache(), 1, ""
    if is_here or not copies:
        return DiskPart("download", 0, "The model is on this PC already", folder)
    each = stored_bytes(shape)
    return DiskPart("download", copies * each * shape.parameters,
                    f"{millions(shape.parameters)} parameters at {each} bytes{why}", folder)


def _checkpoints(
    recipe: Recipe, settings: Settings, weights: int, state: int
) -> DiskPart:
    """The newest is written before the oldest is deleted, so one more lies there for a moment.

    Where it is evaluated on the way, the best of these stays beside them.
    """
    training = recipe.training
    kept = training.save_total_limit + 1
    if training.max_steps or not training.save_steps:
        kept = min(kept, math.ceil(training.max_steps / training.save_steps)
                   if training.save_steps else 1)
    kept += bool(training.eval_steps)
    return DiskPart(
        "checkpoints", kept * (weights + state),
        f"{kept} at a time, each {readable_bytes(weights)} of trained weights and "
        f"{readable_bytes(state)} of optimizer state", settings.runs)


def optimizer_state_bytes(recipe: Recipe, trainable: int) -> int:
    """What the optimizer remembers of `trainable` numbers; a checkpoint holds it, so that a run
    can be resumed."""
    if recipe.training.optimizer == "adafactor":
        # One float32 per row and column of a matrix; an adapter's matrices are `rank` wide.
        width = 1024 if recipe.adapter.trains_base else recipe.adapter.rank
        return round(4 * trainable / width)
    if recipe.training.optimizer == "adamw_torch":
        return 2 * _trained_item_bytes(recipe) * trainable
    return round(2 * INT8_STATE_BYTES * trainable)


def _start(recipe: Recipe, shape: ModelShape, settings: Settings) -> tuple[DiskPart, ...]:
    """Where there is one to keep."""
    size = start_bytes(recipe, shape)
    return (DiskPart("start", size, "What the adapter's start took out of the base, with which a "
                     "resume finds the same base again", settings.runs),) if size else ()


def _result(recipe: Recipe, settings: Settings, count: TrainableCount) -> DiskPart:
    if recipe.adapter.trains_base:
        each = _trained_item_bytes(recipe)
        return DiskPart("result", each * count.trainable, f"{millions(count.trainable)} trained "
                        f"parameters at {each} bytes", settings.runs)
    return DiskPart("adapter", count.adapter_bytes, "The adapter's file, as PEFT writes it",
                    settings.runs)


def _merged(recipe: Recipe, shape: ModelShape, settings: Settings) -> DiskPart:
    if recipe.training.method == "reward":
        return DiskPart("merged model", 0, "A reward model is not merged", settings.exports)
    if recipe.adapter.trains_base:
        each = _trained_item_bytes(recipe)
        return DiskPart("merged model", each * shape.parameters,
                        f"{millions(shape.parameters)} parameters at {each} bytes",
                        settings.exports)
    return _joined("merged model", merged_disk(shape), settings)


def _gguf(recipe: Recipe, shape: ModelShape, settings: Settings, kind: str) -> DiskPart:
    if recipe.training.method == "reward":
        return DiskPart("GGUF", 0, "A reward model is not converted", settings.exports)
    found = _joined("GGUF", gguf_disk(shape, kind), settings)
    if kind == "q8_0":
        return found
    smaller = sum(piece.bytes for piece in gguf_disk(shape, "q8_0"))
    return replace(found, formula=f"{found.formula} As q8_0 {readable_bytes(smaller)}.")


def _joined(name: str, pieces: tuple[PartBytes, ...], settings: Settings) -> DiskPart:
    """What export writes, as one part, explained by its largest piece."""
    largest = max(pieces, key=lambda piece: piece.bytes)
    return DiskPart(name, sum(piece.bytes for piece in pieces), largest.formula, settings.exports)


def _checkpoint_weights(recipe: Recipe, shape: ModelShape, count: TrainableCount) -> int:
    """Of one checkpoint; PEFT writes the copy of a start that a method compares with along."""
    if recipe.adapter.trains_base:
        return _trained_item_bytes(recipe) * count.trainable
    return checkpoint_adapter_bytes(recipe, shape) * (2 if keeps_start_copy(recipe) else 1)


def _trained_item_bytes(recipe: Recipe) -> int:
    """Trained weights are float32, unless all of them are asked for in bfloat16."""
    in_bfloat16 = recipe.adapter.trains_base and recipe.model.dtype == "bfloat16"
    return 2 if in_bfloat16 else 4


def hub_cache() -> Path:
    """Where the Hugging Face Hub keeps models on this PC; may be another drive than the home."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _by_drive(parts: tuple[DiskPart, ...]) -> tuple[Drive, ...]:
    found: dict[int, Drive] = {}
    for part in parts:
        if not part.bytes:
            continue
        folder = nearest_existing(part.folder)
        number = folder.stat().st_dev
        drive = found.get(number) or Drive(folder, free_bytes(folder), 0, ())
        found[number] = replace(drive, needed_bytes=drive.needed_bytes + part.bytes,
                                names=(*drive.names, part.name))
    return tuple(found.values())
