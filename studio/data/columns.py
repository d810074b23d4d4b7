"""What each training method takes from the data: which formats, and how a row becomes columns.

One table. `prepare.py` writes these columns, the trainers in `training/methods/` read them. Columns
that end in `ids` hold the tokens of one text, those that end in `labels` the same tokens with -100
where nothing is learned. Rows come tokenised and uncut; every text is cut behind, never in
front, or divided.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy

from studio.data.answer_spans import Span, answers_of
from studio.data.dividing import divided
from studio.data.example import labels_of
from studio.data.samples import (
    Conversation,
    Judged,
    PromptOnly,
    Sample,
    answer_text,
    shown_turns,
)

if TYPE_CHECKING:
    import datasets
    import pyarrow

Kind = Literal["tokens", "flag", "text"]
"""Of a column: a list of int32, a bool, or a string."""

_ANSWERS = ("alpaca", "messages", "sharegpt", "dialogue", "prompt_completion")


@dataclass(frozen=True)
class Stored:
    """A row as the data lab keeps it, uncut: `loss` are (first, behind the last) numbers of the
    tokens that are learned. `other_ids` is the rejected text of a pair, else None.

    `sample` is what the row means; None unless the method's columns ask for it.
    """

    ids: list[int]
    loss: list[Span]
    other_ids: list[int] | None = None
    other_loss: list[Span] | None = None
    sample: Sample | None = None


@dataclass(frozen=True)
class Columns:
    """What a method learns from. `formats` are those it can be given, `needs` says it in words.

    `name` keys the files; methods with the same columns share them. `rows(stored, max_length)`
    gives the values of each row that is made of one stored row, in the order of `kinds`.
    """

    name: str
    formats: tuple[str, ...]
    needs: str
    kinds: dict[str, Kind]
    rows: Callable[[Stored, int], Iterable[tuple[Any, ...]]]
    needs_sample: bool = False

    def schema(self) -> pyarrow.Schema:
        """The columns as Arrow knows them."""
        import pyarrow

        types = {"tokens": pyarrow.list_(pyarrow.int32()), "flag": pyarrow.bool_(),
                 "text": pyarrow.string()}
        return pyarrow.schema([(name, types[kind]) for name, kind in self.kinds.items()])


def _labelled(stored: Stored, max_length: int) -> list[tuple[Any, ...]]:
    return [_cut(stored.ids, stored.loss, max_length)]


def _divided(stored: Stored, max_length: int) -> list[tuple[Any, ...]]:
    """The rows of a document; every token of it is learned, and that it ends there."""
    return [_cut(stored.ids[start:end], [(0, max_length)], max_length)
            for start, end in divided(len(stored.ids), max_length)]


def _pair(stored: Stored, max_length: int) -> list[tuple[Any, ...]]:
    assert stored.other_ids is not None and stored.other_loss is not None
    return [(*_cut(stored.ids, stored.loss, max_length),
             *_cut(stored.other_ids, stored.other_loss, max_length))]


def _judged(stored: Stored, max_length: int) -> list[tuple[Any, ...]]:
    """One judged answer, or of a pair the chosen as a good and the rejected as a bad one."""
    if stored.other_ids is not None:
        chosen, chosen_labels, rejected, rejected_labels = _pair(stored, max_length)[0]
        return [(chosen, chosen_labels, True), (rejected, rejected_labels, False)]
    assert isinstance(stored.sample, Judged)
    return [(*_cut(stored.ids, stored.loss, max_length), stored.sample.label)]


def _prompt(stored: Stored, max_length: int) -> list[tuple[Any, ...]]:
    """What stands before the last answer, and that answer as text, empty where there is none; the
    prompt as a person reads it, and its turns as JSON."""
    start = stored.loss[-1][0]
    match stored.sample:
        case PromptOnly(turns):
            prompt, expected = turns, ""
        case Conversation(turns):
            at = answers_of(turns, "last_response")[0]
            prompt, expected = turns[:at], answer_text(turns[at])
        case _:
            raise AssertionError(f"no prompt in a {type(stored.sample).__name__}")
    return [(stored.ids[:start], expected, shown_turns(prompt),
             json.dumps(prompt, ensure_ascii=False))]


def _cut(ids: list[int], loss: list[Span], max_length: int) -> tuple[list[int], list[int]]:
    kept = ids[:max_length]
    return kept, labels_of(kept, loss)


_TOKENS: dict[str, Kind] = {"input_ids": "tokens", "labels": "tokens"}
_PAIR: dict[str, Kind] = {"chosen_ids": "tokens", "chosen_labels": "tokens",
                          "rejected_ids": "tokens", "rejected_labels": "tokens"}
_PAIRS = Columns("pair", ("preference",), "pairs of a chosen and a rejected answer", _PAIR, _pair)

_PROMPTS = Columns("prompt", ("prompts", *_ANSWERS), "prompts to answer",
                   {"prompt_ids": "tokens", "expected": "text", "shown": "text",
                    "turns": "text"}, _prompt,
                   needs_sample=True)

COLUMNS: dict[str, Columns] = {
    "sft": Columns("labelled", (*_ANSWERS, "text"), "answers to imitate", _TOKENS, _labelled),
    "pretrain": Columns("divided", ("text",), "plain text", _TOKENS, _divided),
    "dpo": _PAIRS,
    "orpo": _PAIRS,
    "kto": Columns("judged", ("kto", "preference"), "answers judged good or bad",
                   {**_TOKENS, "is_good": "flag"}, _judged, needs_sample=True),
    "reward": _PAIRS,
    "grpo": _PROMPTS,
    "rloo": _PROMPTS,
}
"""By training method."""


def columns_of(method: str) -> Columns:
    """What training.method `method` takes from the data."""
    return COLUMNS[method]


def methods_for(data_format: str) -> list[str]:
    """The training methods that can learn from data of this format."""
    return [method for method, columns in COLUMNS.items() if data_format in columns.formats]


def row_lengths(dataset: datasets.Dataset) -> list[int]:
    """Tokens of each row's longest text, in order."""
    return [length for batch in _lengths(dataset) for length in batch.tolist()]


def longest(dataset: datasets.Dataset) -> int:
    """Tokens of the longest text."""
    return max(int(batch.max()) for batch in _lengths(dataset))


def _lengths(dataset: datasets.Dataset) -> Iterator[numpy.ndarray]:
    import pyarrow.compute

    names = _ending(dataset, "ids")
    for batch in dataset.with_format("arrow").iter(10_000):
        yield numpy.max([pyarrow.compute.list_value_length(batch[name]).to_numpy()
                         for name in names], axis=0)


def labelled_share(dataset: datasets.Dataset) -> float:
    """Share of all tokens that carry loss; 1 where nothing tells."""
    import pyarrow.compute

    tokens = labelled = 0
    for batch in dataset.with_format("arrow").iter(10_000):
        for name in _ending(dataset, "labels"):
            labels = pyarrow.compute.list_flatten(batch[name])
            tokens += len(labels)
            labelled += pyarrow.compute.sum(pyarrow.compute.not_equal(labels, -100)).as_py() or 0
    return labelled / tokens if tokens else 1.0


def _ending(dataset: datasets.Dataset, end: str) -> list[str]:
    return [name for name in dataset.column_names if name.endswith(end)]
