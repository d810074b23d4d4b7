"""GGUF files in the line-up of the Chat tab: which there are, and what is said of a choice of them.

They are told by their headers; llama.cpp, which answers from them, is not started here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.chat.column_names import column_name
from studio.chat.session import BASE_COLUMN, Column
from studio.errors import ModelError, StudioError
from studio.models.gguf_file import find_gguf
from studio.models.gguf_header import read_gguf_header
from studio.recipe import Model
from studio.ui.panels.chat_columns import AS_TRAINED, BASE_VALUE, Labelled, Wish, chosen_values
from studio.ui.panels.chat_lineup_view import ColumnFacts
from studio.ui.panels.export_results import gguf_files

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

    @property
    def columns(self) -> list[Labelled]:
        """The columns over a GGUF base, as (label, value)."""
        return [(BASE_COLUMN, BASE_VALUE),
                *((f"{path.stem} (GGUF adapter)", f"{_VALUE}{path.name}")
                  for path in self.adapters)]


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


def gguf_choice(shelf: GgufShelf, wish: Wish, settings: Settings) -> tuple[Model, list[Column]]:
    """The file to load and its columns. Raises ModelError for a wish that cannot be."""
    base = find_gguf(wish.base, settings)
    if read_gguf_header(base).is_adapter:
        raise ModelError(f"{base.name} is an adapter, which answers over a GGUF of its base only.",
                         "Choose that as the base, and this one beside it.")
    return Model(source=str(base)), [_column(shelf, value, wish) for value in chosen_values(wish)]


def gguf_facts(shelf: GgufShelf, wish: Wish,
               settings: Settings) -> tuple[list[ColumnFacts], list[str]]:
    """What is known of the columns, and what else is to be said; nothing of a wish that cannot be.
    """
    from studio.hardware.gguf_memory import gguf_context_tokens

    try:
        model, columns = gguf_choice(shelf, wish, settings)
        tokens = gguf_context_tokens(read_gguf_header(Path(model.source)))
    except StudioError:
        return [], []
    alone = ONE_BY_ONE if len(columns) > 1 else ""
    facts = [ColumnFacts(value, column.name.partition(" × ")[0], value == BASE_VALUE, "", alone)
             for value, column in zip(chosen_values(wish), columns, strict=True)]
    notes = [f"llama.cpp answers from {Path(model.source).name}, in a process of its own and "
             f"through the file's own template. It keeps {tokens:,} tokens of a conversation. How "
             "likely an answer was, and its distance to the base, cannot be measured there."]
    if not shelf.adapters:
        notes.append("An adapter answers over it, too, once the Export tab has written it as a "
                     "GGUF.")
    if wish.loading != AS_TRAINED:
        notes.append("The file is held as it was written, whatever is chosen above.")
    return facts, notes


def _column(shelf: GgufShelf, value: str, wish: Wish) -> Column:
    if value == BASE_VALUE:
        return Column(BASE_COLUMN)
    known = {f"{_VALUE}{path.name}": path for path in shelf.adapters}
    if value not in known:
        raise ModelError(
            f"{value.removeprefix(_VALUE)} does not answer over a GGUF file: llama.cpp takes "
            "adapters that are GGUF files, too.", "Write the adapter as a GGUF on the Export tab "
            "and choose that, or choose the base that it was trained on.")
    strength = wish.strengths.get(value, 1.0)
    return Column(column_name(known[value].stem, strength), known[value], strength)
