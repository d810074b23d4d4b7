"""GGUF files in the line-up of the Chat tab: which there are, and what is said of a choice of them.

They are told by their headers; llama.cpp, which answers from them, is not started here. Adapters
over them are GGUF files, too, or those of runs, which are written for llama.cpp when they load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.chat.column_names import column_name
from studio.chat.session import BASE_COLUMN, Column
from studio.errors import ModelError, StudioError
from studio.models.gguf_file import find_gguf
from studio.models.gguf_header import read_gguf_header
from studio.recipe import Model
from studio.ui.panels.chat_columns import (
    AS_TRAINED,
    BASE_VALUE,
    Labelled,
    Offer,
    Wish,
    base_label,
    chosen_values,
    listed,
    offer_of,
)
from studio.ui.panels.chat_lineup_view import ColumnFacts
from studio.ui.panels.export_results import gguf_files
from studio.ui.words import joined

if TYPE_CHECKING:
    from studio.settings import Settings

ONE_BY_ONE = ("llama.cpp would round a batch as a whole, so that an answer would depend on the "
              "others")
_VALUE = "gguf:"
"""What the list of columns sends before the name of a file. No run can be called so."""


@dataclass(frozen=True)
class GgufShelf:
    """The files of the exports folder, newest first: models, and LoRA adapters over them."""

    models: tuple[Path, ...] = ()
    adapters: tuple[Path, ...] = ()

    @property
    def bases(self) -> list[Labelled]:
        """The bases to choose from, as (label, source)."""
        return [(path.name, str(path)) for path in self.models]

    def columns(self, offers: Sequence[Offer], base: str) -> list[Labelled]:
        """The columns over a GGUF base, as (label, value): the base, the files, then what runs
        and blends offer."""
        first, *others = listed(offers, base)
        return [first, *((f"{path.stem} (GGUF adapter)", f"{_VALUE}{path.name}")
                         for path in self.adapters), *others]


def shelf_of(exports: Path) -> GgufShelf:
    """A file that cannot be read counts as a model: who chooses it is told why."""
    models: list[Path] = []
    adapters: list[Path] = []
    for path in gguf_files(exports):
        (adapters if _is_adapter(path) else models).append(path)
    return GgufShelf(tuple(models), tuple(adapters))


def _is_adapter(path: Path) -> bool:
    try:
        return read_gguf_header(path).is_adapter
    except (ModelError, OSError):
        return False


def gguf_choice(shelf: GgufShelf, offers: Sequence[Offer], wish: Wish,
                settings: Settings) -> tuple[Model, list[Column]]:
    """The file to load and its columns. Raises ModelError for a wish that cannot be."""
    base = find_gguf(wish.base, settings)
    if read_gguf_header(base).is_adapter:
        raise ModelError(f"{base.name} is an adapter, which answers over a GGUF of its base only.",
                         "Choose that as the base, and this one beside it.")
    return Model(source=str(base)), [_column(shelf, offers, value, wish)
                                     for value in chosen_values(wish)]


def gguf_facts(shelf: GgufShelf, offers: Sequence[Offer], wish: Wish,
               settings: Settings) -> tuple[list[ColumnFacts], list[str]]:
    """What is known of the columns, and what else is to be said; nothing of a wish that cannot be.
    """
    from studio.hardware.gguf_memory import gguf_context_tokens

    try:
        model, columns = gguf_choice(shelf, offers, wish, settings)
        tokens = gguf_context_tokens(read_gguf_header(Path(model.source)))
    except StudioError:
        return [], []
    alone = ONE_BY_ONE if len(columns) > 1 else ""
    facts = [ColumnFacts(value, column.name.partition(" × ")[0], value == BASE_VALUE, "", alone)
             for value, column in zip(chosen_values(wish), columns, strict=True)]
    notes = [f"llama.cpp answers from {Path(model.source).name}, in a process of its own and "
             f"through the file's own template. It keeps {tokens:,} tokens of a conversation. How "
             "likely an answer was, and its distance to the base, cannot be measured there."]
    notes += _notes([one for one in offers if one.value in wish.columns])
    if wish.loading != AS_TRAINED:
        notes.append("The file is held as it was written, whatever is chosen above.")
    return facts, notes


def _notes(written: Sequence[Offer]) -> list[str]:
    """Of adapters that are no GGUF files themselves."""
    if not written:
        return []
    names, bases = joined([one.name for one in written]), joined(list(dict.fromkeys(
        base_label(one.model.source) for one in written)))
    is_one = len(written) == 1
    return [f"{names} {'was' if is_one else 'were'} trained on {bases}, so the file should be a "
            f"GGUF of that. llama.cpp gets {'it' if is_one else 'them'} in a form of its own, "
            "written with the first prompt, which takes some seconds, and kept."]


def _column(shelf: GgufShelf, offers: Sequence[Offer], value: str, wish: Wish) -> Column:
    if value == BASE_VALUE:
        return Column(BASE_COLUMN)
    strength = wish.strengths.get(value, 1.0)
    known = {f"{_VALUE}{path.name}": path for path in shelf.adapters}
    if value in known:
        return Column(column_name(known[value].stem, strength), known[value], strength)
    one = offer_of({offer.value: offer for offer in offers}, value)
    return Column(column_name(one.name, strength), one.path, strength)
