"""A chat with one base and any number of adapters: every column answers the same question.

All columns advance together as rows of one batch (PEFT's mixed-adapter batches). Adapters that
PEFT cannot mix, such as DoRA, answer in turn after the others; `in_turn` names them. Which
token comes next is decided in `sampling.py`, threads are in `streaming.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.allocator import freed_memory_given_back
from studio.chat.abstract_session import Session, require_names
from studio.chat.batch import Batch
from studio.chat.context import ContextUse
from studio.chat.out_of_memory import say_if_memory_ran_out
from studio.chat.prompt import Message, opening_of, prompt_ids, room_in_context
from studio.chat.reader import Reader, Readers
from studio.chat.row import AnswerRow
from studio.chat.sampling import Sampling, logits_processors
from studio.chat.scoring import AnswerScore, Row, score_rows
from studio.chat.streaming import TokenStream
from studio.chat.strength import require_strength
from studio.chat.turn import Turn
from studio.chat.weights import AdapterUse, Weights
from studio.device import pick_device
from studio.errors import BusyError, StudioError
from studio.models.generation import pad_id_of, rows_end
from studio.models.quantized import mixes_rows
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Model
from studio.settings import Settings

BASE_COLUMN = "base"


@dataclass(frozen=True)
class Column:
    """A model that answers. Without an `adapter_path` it is the base as it is.

    `strength` is how much the adapter counts, from 0 (the base) over 1 (as trained) to 2.
    """

    name: str
    adapter_path: Path | None = None
    strength: float = 1.0

    def __post_init__(self) -> None:
        require_strength(self.strength, self.name)

    @property
    def use(self) -> AdapterUse | None:
        """The adapter and its strength, or None for the base."""
        return AdapterUse(self.adapter_path, self.strength) if self.adapter_path else None


class ChatSession(Session):
    """Over weights in this process, with Transformers and PEFT.

    After a failed computation PEFT may leave hooks behind, so that it is broken.
    """

    def __init__(self, model: Model, columns: list[Column], settings: Settings, *,
                 progress: Progress = silent) -> None:
        from studio.models.loading import load_base, load_tokenizer
        from studio.models.source import find_model

        super().__init__(model)
        self._device = pick_device()
        self._folder = find_model(model.source, settings, revision=model.revision,
                                  trust_remote_code=model.trust_remote_code, progress=progress)
        progress(Step(f"Loading {self._folder.name}"))
        tokenizer = load_tokenizer(self._folder, trust_remote_code=model.trust_remote_code)
        with freed_memory_given_back():
            base = load_base(model, self._folder, self._device)
            self._readers = Readers(tokenizer, base, trust_remote_code=model.trust_remote_code)
            self._weights = Weights(base, self._folder.name, self._device)
            del base  # or the weights would outlive their closing below
            try:
                self.show(columns, progress=progress)
            except StudioError:
                self.close()
                raise

    @property
    def is_outdated(self) -> bool:
        """Whether an adapter was made anew since it was loaded: `show` then loads it again."""
        return bool(self._weights.outdated())

    @property
    def in_turn(self) -> list[str]:
        """Names of the columns that cannot be computed beside the others."""
        return [column.name for column in self.columns
                if mixes_rows(self.model) or not self._weights.shares_a_batch(column.use)]

    def show(self, columns: list[Column], *, progress: Progress = silent) -> None:
        """As `Session.show`: only adapters come and go."""
        require_names(columns)
        with self._work.held():
            uses = {column.use for column in columns if column.use}
            paths = {use.path for use in uses}
            if self._readers.missing(paths):
                progress(Step(f"Loading {len(paths)} adapters"))
            readers = self._readers.read_missing(paths)
            self._weights.hold(uses)
            self._weights.expect([column.use for column in columns])
            self._readers.keep(readers)
            self.columns = list(columns)

    def tokens(self, text: str) -> list[int]:
        """Ids of `text` by the base's tokenizer, nothing added."""
        return list(self._readers.base.tokenizer.encode(text, add_special_tokens=False))

    def answer(self, histories: dict[str, list[Message]], sampling: Sampling,
               stop: ShouldStop = never) -> Iterator[dict[str, str]]:
        """As `Session.answer`: all columns that share a batch at once, then the others in turn."""
        rows = [self._row(column, history) for column, history in self._asked(histories)]
        return self._stream(rows, sampling, stop)

    def scores(self, histories: dict[str, list[Message]],
               token_ids: dict[str, list[int]]) -> dict[str, AnswerScore]:
        """As `Session.scores`, in one pass over each answer."""
        rows = [self._row(column, history) for column, history in self._asked(histories)]
        for row in rows:
            room_in_context(len(row.ids) + len(token_ids[row.column.name]) - 1,
                            self._context_of(row.column), row.column.name)
        try:
            found = self._scored(rows, token_ids)
        except (MemoryError, RuntimeError) as error:
            say_if_memory_ran_out(error, "measuring this answer")
            raise
        return {name: found[name] for name in histories}

    def context_uses(self, histories: dict[str, list[Message]]) -> list[ContextUse]:
        """As `Session.context_uses`."""
        return [ContextUse(column.name, len(self._prompt_ids(column, history)),
                           self._context_of(column))
                for column, history in self._asked(histories)]

    @contextmanager
    def lent(self, uses: set[AdapterUse], *, makes_room: bool = False) -> Iterator[Weights]:
        """The weights for whoever computes with them for a while; nobody is answered meanwhile.

        `uses` lie on the base beside those of the columns. Who `makes_room` ends soon after
        `is_wanted`, and whoever is to be answered then waits for that. Raises BusyError while an
        answer is under way, and what `show` raises. A block that fails leaves the session broken.
        """
        with self._work.held(makes_room=makes_room):
            if not self.columns:
                raise BusyError("The model was unloaded just now.", "Ask again.")
            self._weights.hold(uses | {column.use for column in self.columns if column.use})
            is_through = False
            try:
                yield self._weights
                is_through = True
            finally:
                self.is_broken = not is_through

    def reader(self, path: Path | None) -> Reader:
        """How the base, or the adapter at `path`, which need not be loaded, reads and ends."""
        return self._readers.base if path is None else self._readers.read(path)

    def close(self) -> None:
        """Free the memory. An answer under way is a BusyError."""
        with self._work.held():
            self.columns = []
            self._readers.keep({})
            self._weights.close()

    def _row(self, column: Column, history: list[Message]) -> AnswerRow:
        reader = self._readers.of(column.adapter_path)
        ids = self._prompt_ids(column, history)
        context = self._context_of(column)
        room_in_context(len(ids), context, column.name)
        turn = Turn(column.name, len(ids), context_tokens=context,
                    opening=opening_of(ids, reader.tokenizer))
        return AnswerRow(column, turn, ids, reader)

    def _prompt_ids(self, column: Column, history: list[Message]) -> list[int]:
        return prompt_ids(history, self._readers.of(column.adapter_path).tokenizer, column.name)

    def _context_of(self, column: Column) -> int | None:
        """Tokens that the model reads and writes; learned tokens in front take some of them."""
        limit = self._readers.base.context_tokens
        return None if limit is None else limit - self._weights.virtual_tokens(column.use)

    def _scored(self, rows: list[AnswerRow],
                token_ids: dict[str, list[int]]) -> dict[str, AnswerScore]:
        found: dict[str, AnswerScore] = {}
        with self.lent(set()) as weights:
            for group in self._groups(rows):
                found |= score_rows(weights, [
                    Row(row.column.name, row.column.use, row.reader.tokenizer, row.ids,
                        token_ids[row.column.name]) for row in group], self._device)
        return found

    def _groups(self, rows: list[AnswerRow]) -> list[list[AnswerRow]]:
        together = [row for row in rows if self._weights.shares_a_batch(row.column.use)]
        alone = [[row] for row in rows if row not in together]
        if not mixes_rows(self.model):
            return ([together] if together else []) + alone
        by_use: dict[AdapterUse | None, list[AnswerRow]] = {}
        for row in together:
            by_use.setdefault(row.column.use, []).append(row)
        return [*by_use.values(), *alone]

    def _stream(self, rows: list[AnswerRow], sampling: Sampling,
                stop: ShouldStop) -> Iterator[dict[str, str]]:
        with self._work.held():
            self.turns = {row.column.name: row.turn for row in rows}
            for row in rows:
                row.begin(sampling.stop_strings)
            for group in self._groups(rows):
                if all(row.is_over() for row in group):
                    continue  # stopped while the others were answering
                for _ in self._stream_group(group, sampling, stop):
                    yield {name: turn.text for name, turn in self.turns.items()}

    def _stream_group(self, rows: list[AnswerRow], sampling: Sampling,
                      stop: ShouldStop) -> Iterator[None]:
        longest = max(len(row.ids) for row in rows)
        room = room_in_context(longest, self._context_of(rows[0].column), rows[0].column.name)
        limit = sampling.max_new_tokens if room is None else min(sampling.max_new_tokens, room)
        stream = TokenStream(
            lambda streamer, should_stop: self._generate(rows, sampling, limit, streamer,
                                                         should_stop), stop)
        try:
            for steps in stream:
                for step in steps:
                    for row, token_id in zip(rows, step.ids, strict=True):
                        row.take(token_id, step.seconds)
                for row in rows:
                    row.show()
                yield
        except (MemoryError, RuntimeError) as error:
            say_if_memory_ran_out(error)
            raise
        finally:
            stream.close()
            self.is_broken = stream.has_failed
            for row in rows:
                row.end(row.turn.ending_at(limit, sampling.max_new_tokens))

    def _generate(self, rows: list[AnswerRow], sampling: Sampling, limit: int, streamer: Any,
                  should_stop: ShouldStop) -> None:
        """Runs on the stream's thread."""
        batch = Batch(self._weights, [(row.column.use, row.ids) for row in rows],
                      pad_id_of(self._readers.base.tokenizer))
        ending = rows_end([row.reader.end_ids for row in rows], should_stop,
                          [row.is_over for row in rows])
        batch.generate(limit, logits_processors(sampling, batch.mask), ending, streamer)
