"""A chat with a GGUF file: llama.cpp answers, in a process beside this one.

The same session as over a base in Transformers, as far as llama.cpp can: its adapters are GGUF LoRA
files, or written as such (`gguf_adapters.py`), columns answer in turn, and how likely an answer was
is not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from studio.chat.abstract_session import Session, require_names
from studio.chat.context import ContextUse
from studio.chat.gguf_adapters import as_gguf_adapters, strengths_of, what_counts
from studio.chat.gguf_reader import GgufReader
from studio.chat.gguf_stream import Piece, request_of, stream_answer
from studio.chat.prompt import Message, room_in_context
from studio.chat.sampling import Sampling
from studio.chat.scoring import AnswerScore
from studio.chat.session import Column
from studio.chat.streaming import ThreadStream
from studio.chat.turn import Turn
from studio.errors import ModelError
from studio.files import stamp_of
from studio.models.gguf_file import find_gguf
from studio.models.llama_server import LlamaServer
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Model
from studio.settings import Settings


@dataclass
class CountedTurn(Turn):
    """An answer of which the number of tokens is known, and not which they are."""

    counted: int = 0

    @property
    def tokens(self) -> int:
        """Tokens answered so far."""
        return self.counted

    def take(self, piece: Piece) -> None:
        """What the answer grew by; after the end, nothing counts."""
        if self.ending:
            return
        if self.seconds_to_first_token is None:
            self.seconds_to_first_token = piece.seconds
        self.seconds, self.counted = piece.seconds, piece.tokens
        self.text += piece.text
        if piece.ended in ("eos", "word"):
            self.ending = "end"


@dataclass(frozen=True)
class _Row:
    """A column with its question; `goes_on` behind turns that were answered before."""

    column: Column
    turn: CountedTurn
    ids: list[int]
    goes_on: bool


class GgufSession(Session):
    """`model.source` names the file; how it is held in memory is the file's own affair."""

    def __init__(self, model: Model, columns: list[Column], settings: Settings, *,
                 progress: Progress = silent) -> None:
        super().__init__(model)
        self._path = find_gguf(model.source, settings)
        self._settings = settings
        require_names(columns)
        self._load(as_gguf_adapters(columns, self._path, settings, progress=progress), progress)
        self.columns = list(columns)

    @property
    def is_outdated(self) -> bool:
        """Whether a file is another one by now, or llama.cpp has ended. A file that is gone goes on
        as it was."""
        return self._llama.has_ended or any(map(self._is_another, self._loaded))

    @property
    def in_turn(self) -> list[str]:
        """All of several: llama.cpp rounds a batch as a whole, so that an answer would depend on
        the others."""
        return [column.name for column in self.columns] if len(self.columns) > 1 else []

    @property
    def process_id(self) -> int:
        """Of llama.cpp's process, which holds the model."""
        return self._llama.process_id

    def show(self, columns: list[Column], *, progress: Progress = silent) -> None:
        """As `Session.show`. With an adapter more, or a file that was made anew, llama.cpp is
        started again."""
        require_names(columns)
        with self._work.held():
            known = {path: file for path, file in self._adapters.items()
                     if not self._is_another(what_counts(path))}
            adapters = as_gguf_adapters(columns, self._path, self._settings, known,
                                        progress=progress)
            if self.is_outdated or not adapters.keys() <= known.keys():
                self._load_instead(adapters, progress)
            self.columns = list(columns)

    def tokens(self, text: str) -> list[int]:
        """Ids of `text` by the file's own tokenizer, nothing added."""
        return self._reader.tokens(text)

    def answer(self, histories: dict[str, list[Message]], sampling: Sampling,
               stop: ShouldStop = never) -> Iterator[dict[str, str]]:
        """As `Session.answer`, one column after the other."""
        rows = [self._row(column, history) for column, history in self._asked(histories)]
        return self._stream(rows, sampling, stop)

    def scores(self, histories: dict[str, list[Message]],
               token_ids: dict[str, list[int]]) -> dict[str, AnswerScore]:
        """Always raises ModelError."""
        raise ModelError(
            f"How likely an answer was, and how far it is from the base, cannot be measured on "
            f"{self._path.name}: llama.cpp does not give what the model held of every token.",
            "Measure it on the run itself, over the base that it was trained on.")

    def context_uses(self, histories: dict[str, list[Message]]) -> list[ContextUse]:
        """As `Session.context_uses`."""
        return [ContextUse(column.name, len(self._reader.prompt(history, column.name).ids),
                           self._reader.context_tokens)
                for column, history in self._asked(histories)]

    def close(self) -> None:
        """End llama.cpp's process. An answer under way is a BusyError."""
        with self._work.held():
            self.columns = []
            self._unload()

    def _is_another(self, file: Path) -> bool:
        return stamp_of(file) not in (None, self._loaded[file])

    def _load(self, adapters: dict[Path, Path], progress: Progress) -> None:
        progress(Step(f"Loading {self._path.name} into llama.cpp"))
        self._loaded = {path: stamp_of(path) for path in (self._path, *map(what_counts, adapters))}
        self._adapters, self._files = adapters, list(dict.fromkeys(adapters.values()))
        with ExitStack() as opened:
            llama = opened.enter_context(LlamaServer(self._path, self._files))
            self._reader, self._llama = GgufReader(llama), llama
            opened.pop_all()  # it is ours from here on

    def _load_instead(self, adapters: dict[Path, Path], progress: Progress) -> None:
        """Where that fails, what was loaded before is loaded again."""
        before, self.is_broken = self._adapters, True
        self._unload()
        try:
            self._load(adapters, progress)
        except ModelError:
            self._load(before, progress)
            self.is_broken = False
            raise
        self.is_broken = False

    def _unload(self) -> None:
        self._reader.close()
        self._llama.close()

    def _row(self, column: Column, history: list[Message]) -> _Row:
        prompt = self._reader.prompt(history, column.name)
        context = self._reader.context_tokens
        room_in_context(len(prompt.ids), context, column.name)
        turn = CountedTurn(column.name, len(prompt.ids), context_tokens=context,
                           opening=prompt.opening)
        return _Row(column, turn, prompt.ids,
                    goes_on=any(one["role"] == "assistant" for one in history))

    def _stream(self, rows: list[_Row], sampling: Sampling,
                stop: ShouldStop) -> Iterator[dict[str, str]]:
        with self._work.held():
            self.turns = {row.column.name: row.turn for row in rows}
            for row in rows:
                if row.turn.ending:
                    continue  # stopped while the others were answering
                for _ in self._stream_one(row, sampling, stop):
                    yield {name: turn.text for name, turn in self.turns.items()}

    def _stream_one(self, row: _Row, sampling: Sampling, stop: ShouldStop) -> Iterator[None]:
        turn = row.turn
        room = self._reader.context_tokens - len(row.ids)
        limit = min(sampling.max_new_tokens, room)
        # A first question is read anew each time, so that a seed gives the same answer again to
        # the last bit; what was read of a longer conversation is worth more than that.
        strengths = strengths_of(row.column, self._adapters, self._files)
        request = request_of(row.ids, sampling, limit, adapter_strengths=strengths,
                             keeps_what_was_read=row.goes_on)
        stream: ThreadStream[Piece] = ThreadStream(
            lambda put, should_stop: stream_answer(self._llama, request, put, should_stop),
            lambda: stop() or bool(turn.ending))
        try:
            for pieces in stream:
                for piece in pieces:
                    turn.take(piece)
                yield
        finally:
            stream.close()
            self.is_broken = stream.has_failed
            turn.ending = turn.ending or turn.ending_at(limit, sampling.max_new_tokens)
