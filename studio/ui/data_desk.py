"""The data that the page is looking at: read once, kept, and shown record by record.

Reading and judging is the engine's; this only remembers the last few looks, so that turning a
page or opening a second browser tab does not read a large file again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.errors import DataError
from studio.hardware.workload import Examples
from studio.recipe import Recipe
from studio.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from studio.data.render import Example
    from studio.data.report import Inspection

KEPT_LOOKS = 4
UNLIMITED_TOKENS = 1_000_000
"""A maximum length that cuts nothing."""


@dataclass(frozen=True)
class Look:
    """An inspection; `tokenizer` is None while the model is not on this PC."""

    recipe: Recipe
    inspection: Inspection
    tokenizer: PreTrainedTokenizerBase | None


@dataclass(frozen=True)
class Record:
    """One record raw and rendered. `example` or `problem` is None; both while no tokenizer."""

    number: int
    place: str
    row: dict[str, Any]
    example: Example | None = None
    special_tokens: frozenset[str] = frozenset()
    problem: DataError | None = None


class DataDesk:
    """Looks at data for all pages. Safe to call from several threads; they wait for each other."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._looks: OrderedDict[Any, Look] = OrderedDict()
        self._tokenizers: dict[tuple[Path, bool], PreTrainedTokenizerBase] = {}
        self._sizes: dict[Any, Examples] = {}

    def look(self, recipe: Recipe) -> Look:
        """The whole source as `recipe.data` reads it. Raises DataError where there is none."""
        from studio.data.report import inspect

        with self._lock:
            tokenizer = self.tokenizer(recipe)
            key = (_fingerprint(recipe), tokenizer is None)
            if key not in self._looks:
                found = inspect(recipe.data.source, self._settings, tokenizer=tokenizer,
                                data=recipe.data)
                self._looks[key] = Look(recipe, found, tokenizer)
                sizes = _sizes(found)
                if sizes is not None:
                    self._sizes[_uncut(recipe)] = sizes
                while len(self._looks) > KEPT_LOOKS:
                    self._looks.popitem(last=False)
            self._looks.move_to_end(key)
            return self._looks[key]

    def sizes(self, recipe: Recipe) -> Examples | None:
        """Of the examples of `recipe`, if its data was looked at before; never reads."""
        return self._sizes.get(_uncut(recipe))

    def tokenizer(self, recipe: Recipe) -> PreTrainedTokenizerBase | None:
        """The model's tokenizer, or None while the model is not on this PC."""
        from studio.models.source import find_on_this_pc

        folder = find_on_this_pc(recipe.model, self._settings)
        if folder is None:
            return None
        from studio.models.loading import load_tokenizer

        key = (folder.path, recipe.model.trust_remote_code)
        with self._lock:
            if key not in self._tokenizers:
                self._tokenizers[key] = load_tokenizer(folder, trust_remote_code=key[1])
            return self._tokenizers[key]


def record_of(look: Look, number: int) -> Record | None:
    """Record `number`, counted from 1 and brought into range; None where nothing is readable."""
    records = look.inspection.records
    if not records.rows:
        return None
    number = min(max(int(number or 1), 1), len(records.rows))
    row, place = records.rows[number - 1], records.places[number - 1]
    if look.tokenizer is None or look.inspection.format is None:
        return Record(number, place, row)
    from studio.data.formats import to_messages
    from studio.data.render import render

    special = frozenset(str(token) for token in look.tokenizer.all_special_tokens)
    try:
        conversation = to_messages(row, look.inspection.detection)
        example = render(conversation, look.tokenizer, look.recipe.data)
    except DataError as problem:
        return Record(number, place, row, problem=problem)
    return Record(number, place, row, example, special)


def _sizes(found: Inspection) -> Examples | None:
    counted = found.statistics
    if not counted.tokens_max or not counted.tokens_total:
        return None
    return Examples(counted.tokens_max, (counted.loss_tokens or 0) / counted.tokens_total)


def _uncut(recipe: Recipe) -> tuple[Any, ...]:
    """The same for every maximum length."""
    return _fingerprint(recipe.with_values({"data.max_length": UNLIMITED_TOKENS}))


def _fingerprint(recipe: Recipe) -> tuple[Any, ...]:
    """Changes when another look is needed: the recipe's data and model, or the file itself."""
    from studio.data.sources import file_stamp

    data = recipe.data.model_copy(update={"packing": False, "eval_fraction": 0.0, "seed": 0})
    stamp = file_stamp(recipe.data.source)
    return data.model_dump_json(), recipe.model.source, recipe.model.revision, stamp
