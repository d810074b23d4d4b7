"""A chat with one base and any number of adapters: every column answers the same question.

All columns advance together as rows of one batch (PEFT's mixed-adapter batches). Adapters that
PEFT cannot mix, such as DoRA, answer in turn after the others; `in_turn` names them. Which
token comes next is decided in `sampling.py`, threads are in `streaming.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.chat.exclusive import only_one
from studio.chat.prompt import Message, prompt_ids, room_in_context
from studio.chat.sampling import Sampling, logits_processors
from studio.chat.streaming import TokenStream
from studio.chat.turn import Ending, Turn
from studio.chat.weights import Weights
from studio.data.templates import end_ids_of
from studio.device import pick_device
from studio.errors import ModelError, StudioError
from studio.models.generation import left_padded, pad_id_of, readable, rows_end
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Model
from studio.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BASE_COLUMN = "base"


@dataclass(frozen=True)
class Column:
    """A model that answers. Without an `adapter_path` it is the base as it is."""

    name: str
    adapter_path: Path | None = None


@dataclass(frozen=True)
class _Row:
    """A column with its question, ready to be computed."""

    column: Column
    ids: list[int]
    tokenizer: PreTrainedTokenizerBase
    end_ids: frozenset[int]
    turn: Turn


class ChatSession:
    """Loads on creation; `close()` frees. One answer at a time: a second one is a BusyError."""

    def __init__(self, model: Model, columns: list[Column], settings: Settings, *,
                 progress: Progress = silent) -> None:
        from studio.models.loading import load_base, load_tokenizer
        from studio.models.source import find_model

        self.model = model
        self.columns: list[Column] = []
        self.turns: dict[str, Turn] = {}
        """The latest answer of each column, with its timings."""
        self.is_broken = False
        """After a failed computation PEFT may leave hooks behind: close and open a new one."""
        self._busy = threading.Lock()
        self._device = pick_device()
        self._folder = find_model(model.source, settings, revision=model.revision,
                                  trust_remote_code=model.trust_remote_code, progress=progress)
        progress(Step(f"Loading {self._folder.name}"))
        self._base_tokenizer = load_tokenizer(
            self._folder, trust_remote_code=model.trust_remote_code)
        self._tokenizers: dict[Path, PreTrainedTokenizerBase] = {}
        self._weights = Weights(load_base(model, self._folder, self._device),
                                self._folder.name, self._device)
        try:
            self.show(columns, progress=progress)
        except StudioError:
            self.close()
            raise

    @property
    def is_answering(self) -> bool:
        """Whether an answer is under way."""
        return self._busy.locked()

    @property
    def in_turn(self) -> list[str]:
        """Names of the columns that cannot be computed beside the others."""
        return [column.name for column in self.columns
                if not self._weights.shares_a_batch(column.adapter_path)]

    def show(self, columns: list[Column], *, progress: Progress = silent) -> None:
        """Change the columns: loads and drops adapters; the base stays in memory.

        Raises ModelError for an adapter that is unsafe or does not fit, and BusyError while an
        answer is under way; the columns are then as before.
        """
        names = [column.name for column in columns]
        if not names or len(set(names)) < len(names):
            raise ModelError(f"The columns are {', '.join(names) or 'none'}, but each needs a name "
                             "of its own, and there must be one.", "Choose the columns again.")
        with self._alone():
            paths = {column.adapter_path for column in columns if column.adapter_path}
            if paths:
                progress(Step(f"Loading {len(paths)} adapters"))
            self._weights.hold(paths)
            self._tokenizers = {path: self._adapter_tokenizer(path) for path in paths}
            self.columns = list(columns)

    def tokens(self, text: str) -> list[int]:
        """Ids of `text` by the base's tokenizer, nothing added."""
        return list(self._base_tokenizer.encode(text, add_special_tokens=False))

    def answer(self, histories: dict[str, list[Message]], sampling: Sampling,
               stop: ShouldStop = never) -> Iterator[dict[str, str]]:
        """Answer each history in the column of its name; yields all texts so far.

        Raises DataError for an empty prompt and ModelError for one that exceeds the context
        before anything is computed. Closing the iterator stops the computation. Afterwards, and
        meanwhile, `turns` has the timings.
        """
        rows = [self._row(column, histories[column.name]) for column in self.columns
                if column.name in histories]
        unknown = histories.keys() - {column.name for column in self.columns}
        if unknown or not rows:
            raise ModelError(f"There is no column {', '.join(sorted(unknown)) or 'to answer'}.",
                             f"Loaded: {', '.join(column.name for column in self.columns)}.")
        return self._stream(rows, sampling, stop)

    def close(self) -> None:
        """Free the memory. Waits for nothing: an answer under way is a BusyError."""
        with self._alone():
            self.columns = []
            self._tokenizers.clear()
            self._weights.close()

    def _alone(self) -> AbstractContextManager[None]:
        return only_one(self._busy, "The chat is answering right now.",
                        "Wait until the answer is complete, or stop it.")

    def _adapter_tokenizer(self, path: Path) -> PreTrainedTokenizerBase:
        """The adapter's own, since its chat template is what it learned; else the base's."""
        from studio.models.loading import load_tokenizer
        from studio.models.source import ModelFolder

        if not (path / "tokenizer_config.json").is_file():
            return self._base_tokenizer
        folder = ModelFolder(path=path, name=path.name, source=str(path), revision=None)
        return load_tokenizer(folder, trust_remote_code=self.model.trust_remote_code)

    def _row(self, column: Column, history: list[Message]) -> _Row:
        tokenizer = self._base_tokenizer
        if column.adapter_path is not None:
            tokenizer = self._tokenizers[column.adapter_path]
        ids = prompt_ids(history, tokenizer, column.name)
        room_in_context(len(ids), self._context_of(column), column.name)
        ends = end_ids_of(tokenizer, self._weights.model.generation_config)
        return _Row(column, ids, tokenizer, ends, Turn(column.name, len(ids)))

    def _context_of(self, column: Column) -> int | None:
        """Tokens that the model reads and writes; learned tokens in front take some of them."""
        limit = getattr(self._weights.model.config, "max_position_embeddings", None)
        return int(limit) - self._weights.virtual_tokens(column.adapter_path) if limit else None

    def _groups(self, rows: list[_Row]) -> list[list[_Row]]:
        together = [row for row in rows if self._weights.shares_a_batch(row.column.adapter_path)]
        alone = [[row] for row in rows if row not in together]
        return ([together] if together else []) + alone

    def _stream(self, rows: list[_Row], sampling: Sampling,
                stop: ShouldStop) -> Iterator[dict[str, str]]:
        with self._alone():
            self.turns = {row.column.name: row.turn for row in rows}
            for group in self._groups(rows):
                for _ in self._stream_group(group, sampling, stop):
                    yield {name: turn.text for name, turn in self.turns.items()}

    def _stream_group(self, rows: list[_Row], sampling: Sampling,
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
                        row.turn.add(token_id, step.seconds, row.end_ids)
                for row in rows:
                    row.turn.text = readable(row.tokenizer, row.turn.token_ids)
                yield
        finally:
            stream.close()
            self.is_broken = stream.has_failed
            cut: Ending = "length" if limit == sampling.max_new_tokens else "context"
            for row in rows:
                if not row.turn.ending:
                    row.turn.ending = cut if row.turn.tokens >= limit else "stopped"

    def _generate(self, rows: list[_Row], sampling: Sampling, limit: int, streamer: Any,
                  should_stop: ShouldStop) -> None:
        """Runs on the stream's thread."""
        import torch
        from transformers import GenerationConfig, StoppingCriteriaList

        pad_id = pad_id_of(self._base_tokenizer)
        ids, mask = left_padded([row.ids for row in rows], pad_id)
        # Set in full, or generate() would take the model's own values, such as its penalty.
        config = GenerationConfig(max_new_tokens=limit, do_sample=False, num_beams=1,
                                  repetition_penalty=1.0, pad_token_id=pad_id)
        # First, since it puts the adapter of these rows on the model.
        which = self._weights.rows([row.column.adapter_path for row in rows])
        with torch.inference_mode():
            self._weights.model.generate(
                input_ids=ids.to(self._device.torch_name),
                attention_mask=mask.to(self._device.torch_name),
                generation_config=config,
                logits_processor=logits_processors(sampling, mask.to(self._device.torch_name)),
                stopping_criteria=StoppingCriteriaList(
                    [rows_end([row.end_ids for row in rows], should_stop)]),
                streamer=streamer,
                **which,
            )
