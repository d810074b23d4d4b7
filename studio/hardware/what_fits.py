"""What fits here: usual model sizes by method, for one device, as comfortable, tight, or no.

Every cell is a whole recipe at the same plain settings (`TABLE_RECIPE`), with the steps of
`fit.py` that cost no quality, so that cells compare. Shapes are built on first use; after that the
table takes a fraction of a second, and the same table again nothing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from studio.hardware.fit import make_fit
from studio.hardware.memory import COMFORTABLE_SHARE
from studio.models.catalogue import CatalogueModel, usual_models
from studio.models.shape import ModelShape, known_shape
from studio.recipe import Recipe

if TYPE_CHECKING:
    from studio.device import Device
    from studio.hardware.cards import Place
    from studio.hardware.fit import Fit

TABLE_RECIPE = Recipe().with_values({"training.gradient_checkpointing": True})
"""1024 tokens, sixteen examples to a step, rank 16 on every linear layer. Gradient checkpointing is
on in every cell: left to decide by itself, small models would spend what memory there is."""
TABLE_SETTINGS = (
    f"{TABLE_RECIPE.data.max_length} tokens, {TABLE_RECIPE.training.effective_batch_size} examples "
    f"to a step, rank {TABLE_RECIPE.adapter.rank}, with gradient checkpointing"
)
"""The same in words."""
METHODS: dict[str, dict[str, Any]] = {
    "Full": {"adapter.method": "none", "model.quantization": "none",
             "training.learning_rate": None},
    "LoRA": {"adapter.method": "lora", "model.quantization": "none",
             "training.learning_rate": None},
    "QLoRA": {"adapter.method": "lora", "model.quantization": "4bit",
              "training.learning_rate": None},
}
"""By the name of a column: what it sets, with the learning rate that is usual for it."""
KEPT = ("model.quantization", "data.max_length", "adapter.targets", "adapter.rank")
"""What a cell does not give up, since it would then no longer be what its column says."""
SHOWN_KEYS = (
    "model.quantization", "model.dtype", "model.attention", "data.max_length", "data.packing",
    "adapter.method", "adapter.rank", "adapter.alpha", "adapter.dropout", "adapter.targets",
    "adapter.use_dora", "adapter.modules_to_save", "adapter.bias", "training.batch_size",
    "training.gradient_accumulation", "training.optimizer", "training.gradient_checkpointing",
    "training.learning_rate",
)
"""Settings that decide the memory, and the learning rate: a form filled in with them needs what
the cell says."""
ROUNDED_BYTES = 100_000_000
"""Free memory of this PC is rounded down to this, since it changes all the time."""

Level = Literal["comfortable", "tight", "no"]


@dataclass(frozen=True)
class Cell:
    """One model by one method. `values` fill a form in; `total_bytes` is what they then need.

    comfortable: even the high end leaves a fifth free. tight: it should fit, without much to
    spare. no: it does not, and `total_bytes` is the least it needs.
    """

    model: CatalogueModel
    method: str
    level: Level
    total_bytes: int
    values: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"level": self.level, "total_bytes": self.total_bytes, "values": self.values}


@dataclass(frozen=True)
class SizeTable:
    """Rows of cells, smallest model first, each in the order of `METHODS`."""

    rows: tuple[tuple[Cell, ...], ...]
    free_bytes: int

    def cell(self, source: str, method: str) -> Cell | None:
        """The cell of a model and a column, or None."""
        return next((cell for row in self.rows for cell in row
                     if (cell.model.source, cell.method) == (source, method)), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"free_bytes": self.free_bytes, "rows": [
            {"model": row[0].model.source, "name": row[0].model.name,
             "parameters_millions": row[0].model.parameters_millions,
             **{cell.method.casefold(): cell.to_dict() for cell in row}} for row in self.rows]}


def what_fits(place: Place) -> SizeTable:
    """The table for this PC or a card. Takes seconds the first time, nothing after that."""
    if not place.is_this_pc:
        return _table(place.device, place.free_bytes, True)
    return _table(place.device, place.free_bytes // ROUNDED_BYTES * ROUNDED_BYTES, None)


@functools.lru_cache(maxsize=128)
def _table(device: Device, free_bytes: int, has_bitsandbytes: bool | None) -> SizeTable:
    rows = []
    for model in usual_models():
        shape = known_shape(model.source)
        if shape is not None:
            rows.append(tuple(
                _cell(model, shape, method, device, free_bytes, has_bitsandbytes)
                for method in METHODS))
    return SizeTable(tuple(rows), free_bytes)


def _cell(
    model: CatalogueModel, shape: ModelShape, method: str, device: Device, free_bytes: int,
    has_bitsandbytes: bool | None,
) -> Cell:
    recipe = TABLE_RECIPE.with_values({"model.source": model.source, **METHODS[method]})

    def within(share: float) -> Fit:
        return make_fit(recipe, shape, device, int(free_bytes * share), keep=KEPT,
                        has_bitsandbytes=has_bitsandbytes)

    fit = within(COMFORTABLE_SHARE)
    level: Level = "comfortable"
    if not fit.fits:
        fit = within(1)
        level = "tight" if fit.after.total_bytes <= free_bytes else "no"
    return Cell(model, method, level, fit.after.total_bytes, _values(fit))


def _values(fit: Fit) -> dict[str, Any]:
    tree = fit.recipe.model_dump(mode="json")
    # A revision belongs to the model that stood there before.
    values = {"model.source": tree["model"]["source"], "model.revision": None}
    for key in SHOWN_KEYS:
        section, _, name = key.partition(".")
        values[key] = tree[section][name]
    return values
