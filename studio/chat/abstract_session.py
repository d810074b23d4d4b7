"""What every loaded chat is to whoever opens, asks, and closes it, whatever computes its answers.

`session.py` answers with Transformers and PEFT, `gguf_session.py` with llama.cpp; `opening.py`
chooses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from studio.chat.exclusive import OneAtATime
from studio.errors import ModelError
from studio.progress import Progress, ShouldStop, never, silent

if TYPE_CHECKING:
    from studio.chat.context import ContextUse
    from studio.chat.prompt import Message
    from studio.chat.sampling import Sampling
    from studio.chat.scoring import AnswerScore
    from studio.chat.session import Column
    from studio.chat.turn import Turn
    from studio.recipe import Model

ANSWERING = ("The chat is answering right now.", "Wait until the answer is complete, or stop it.")
"""What somebody is told who comes meanwhile, and what to do."""
LOADING = ("The chat is loading a model right now.", "Wait a moment and send it again.")


class Session(ABC):
    """Loads on creation; `close()` frees. One answer at a time: a second one is a BusyError."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.columns: list[Column] = []
        self.turns: dict[str, Turn] = {}
        """The latest answer of each column, with its timings."""
        self.is_broken = False
        """After a computation failed it answers no more: close it and open a new one."""
        self._work = OneAtATime(*ANSWERING)

    @property
    def is_answering(self) -> bool:
        """Whether an answer is under way."""
        return self._work.is_held

    @property
    def makes_room(self) -> bool:
        """Whether who computes now makes room as soon as somebody wants to be answered."""
        return self._work.makes_room

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for one that had the weights lent and makes room."""
        return self._work.is_wanted

    @property
    @abstractmethod
    def is_outdated(self) -> bool:
        """Whether a file was made anew since it was loaded: `show` then loads it again."""

    @property
    @abstractmethod
    def in_turn(self) -> list[str]:
        """Names of the columns that cannot be computed beside the others."""

    @abstractmethod
    def show(self, columns: list[Column], *, progress: Progress = silent) -> None:
        """Change the columns: loads and drops adapters; the base stays in memory.

        Raises ModelError for an adapter that is unsafe or does not fit, and BusyError while an
        answer is under way; the columns are then as before.
        """

    def set_strength(self, name: str, strength: float) -> None:
        """Let that column's adapter count `strength` times from the next answer on.

        Nothing is loaded. Raises ModelError for a kind of adapter that has no strength, and
        BusyError while an answer is under way.
        """
        self._require_columns({name})
        self.show([replace(column, strength=strength) if column.name == name else column
                   for column in self.columns])

    @abstractmethod
    def tokens(self, text: str) -> list[int]:
        """Ids of `text` by the base's tokenizer, nothing added."""

    @abstractmethod
    def answer(self, histories: dict[str, list[Message]], sampling: Sampling,
               stop: ShouldStop = never) -> Iterator[dict[str, str]]:
        """Answer each history in the column of its name; yields all texts so far.

        Raises DataError for an empty prompt and ModelError for one that exceeds the context
        before anything is computed. Closing the iterator stops the computation. Afterwards, and
        meanwhile, `turns` has the timings.
        """

    @abstractmethod
    def scores(self, histories: dict[str, list[Message]],
               token_ids: dict[str, list[int]]) -> dict[str, AnswerScore]:
        """How likely each answer was to its column, and how far the column is from the base there.

        `histories` and `token_ids` (as in `Turn`) are by column. Raises what `answer` raises, and
        ModelError where that cannot be measured.
        """

    @abstractmethod
    def context_uses(self, histories: dict[str, list[Message]]) -> list[ContextUse]:
        """How many tokens each of these prompts takes of what its column can read.

        Raises what `answer` raises but for a prompt that is too long.
        """

    def stop_column(self, name: str) -> None:
        """End the answer of one column; the others go on. From any thread; nothing to stop is
        no error."""
        turn = self.turns.get(name)
        if turn is not None and self.is_answering and not turn.ending:
            turn.ending = "stopped"

    @abstractmethod
    def close(self) -> None:
        """Free the memory. An answer under way is a BusyError."""

    def _asked(self, histories: dict[str, list[Message]]) -> list[tuple[Column, list[Message]]]:
        """Each column that has a history, with it. Raises ModelError for a name of none."""
        self._require_columns(set(histories))
        return [(column, histories[column.name]) for column in self.columns
                if column.name in histories]

    def _require_columns(self, names: set[str]) -> None:
        unknown = names - {column.name for column in self.columns}
        if unknown or not names:
            raise ModelError(f"There is no column {', '.join(sorted(unknown)) or 'to answer'}.",
                             f"Loaded: {', '.join(column.name for column in self.columns)}.")


def require_names(columns: list[Column]) -> None:
    """Raise ModelError unless there is a column and each has a name of its own."""
    names = [column.name for column in columns]
    if not names or len(set(names)) < len(names):
        raise ModelError(f"The columns are {', '.join(names) or 'none'}, but each needs a name "
                         "of its own, and there must be one.", "Choose the columns again.")
