"""The examples of a run in files beside its script: one JSON object a line, split as the run was.

Conversations stand there as messages, so that lines can be added by hand. Where the script's own
way to tokens would not give those of the run, the tokens themselves are written instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from studio.data.checks.samples import sample_of
from studio.data.samples import (
    Conversation,
    Judged,
    PlainText,
    Preference,
    PromptOnly,
    RowFault,
    Sample,
)
from studio.errors import ExportError
from studio.export.output import end_if_stopped
from studio.export.script import carried
from studio.files import file_written_whole
from studio.progress import Progress, ShouldStop, Step

if TYPE_CHECKING:
    import datasets

    from studio.data.prepare import Prepared
    from studio.recipe import Recipe

TRAIN_FILE, HELD_OUT_FILE = "data/train.jsonl", "data/held_out.jsonl"
MOST_COMPARED = 5000
"""Rows of a part whose tokens are compared; comparing takes two or three milliseconds each."""
_LOOK_EVERY = 100

RowsOf = Callable[[Any, dict[str, Any], int, str], Iterator[dict[str, Any]]]
ROWS_OF: dict[str, RowsOf] = {
    "sft": carried.supervised_rows, "pretrain": carried.divided_rows, "dpo": carried.pair_rows,
    "orpo": carried.pair_rows, "kto": carried.judged_rows, "grpo": carried.prompt_rows,
    "rloo": carried.prompt_rows,
}
"""By training method: how the script makes rows of tokens of an example."""


@dataclass(frozen=True)
class WrittenRows:
    """`are_tokens`: the files hold tokens, not examples. `train` and `held_out` count rows of
    tokens."""

    are_tokens: bool
    train: int
    held_out: int = 0

    @property
    def has_held_out(self) -> bool:
        """Whether there is a file of the held-out part."""
        return self.held_out > 0


def write_rows(
    folder: Path, recipe: Recipe, data: Prepared, tokenizer: Any, progress: Progress,
    stop: ShouldStop,
) -> WrittenRows:
    """Write the examples of both parts below `folder`. `tokenizer` renders as the run's did."""
    parts = [(folder / TRAIN_FILE, data.whole.split.train, _as_read(data.train))]
    if data.eval is not None:
        parts.append((folder / HELD_OUT_FILE, data.whole.split.held_out, _as_read(data.eval)))
    progress(Step("Comparing the script's tokens with those of the run"))
    are_tokens = not all(_makes_the_same(recipe, data, rows, made, tokenizer, stop)
                         for _, rows, made in parts)
    for file, rows, made in parts:
        file.parent.mkdir(parents=True, exist_ok=True)
        values = iter(made) if are_tokens else _examples(data, rows)
        _write(file, values, len(made) if are_tokens else len(rows), progress, stop)
    return WrittenRows(are_tokens, *(len(made) for _, _, made in parts))


def _as_read(made: datasets.Dataset) -> datasets.Dataset:
    """The columns that the script's trainer reads, by its names."""
    if "prompt_ids" not in made.column_names:
        return made
    return made.rename_column("prompt_ids", "prompt").remove_columns("turns")


def _makes_the_same(
    recipe: Recipe, data: Prepared, rows: numpy.ndarray, made: datasets.Dataset, tokenizer: Any,
    stop: ShouldStop,
) -> bool:
    """Whether the script's functions give the very tokens and labels of the run."""
    from jinja2 import TemplateError

    taught = recipe.taught_data
    of = ROWS_OF[recipe.training.method]
    ours = chain.from_iterable(of(tokenizer, example, taught.max_length, taught.loss_on)
                               for example in _examples(data, rows))
    try:
        for number, theirs in enumerate(made.select(range(min(len(made), MOST_COMPARED)))):
            if number % _LOOK_EVERY == 0:
                end_if_stopped(stop)
            if next(ours, None) != theirs:
                return False
    except (TemplateError, ValueError, IndexError, TypeError):
        return False  # the template refuses what precedes an answer, such as no turn at all
    return True


def _examples(data: Prepared, rows: numpy.ndarray) -> Iterator[dict[str, Any]]:
    """In the order and as often as the run was given them."""
    for row in numpy.sort(rows):
        sample = sample_of(data.whole, int(row))
        if isinstance(sample, RowFault):  # in no part, unless the file changed meanwhile
            raise ExportError(f"The data changed while they were read: {sample.message}",
                              "Write the script again.")
        yield example_of(sample)


def example_of(sample: Sample) -> dict[str, Any]:
    """The sample as the script reads it, in the shapes that TRL's documentation has."""
    match sample:
        case PlainText(text):
            return {"text": text}
        case Conversation(turns, tools):
            found: dict[str, Any] = {"messages": turns}
        case Preference(prompt, chosen, rejected, tools):
            found = {"prompt": prompt, "chosen": chosen, "rejected": rejected}
        case Judged(prompt, completion, label, tools):
            found = {"prompt": prompt, "completion": completion, "label": label}
        case PromptOnly(prompt, tools):
            found = {"prompt": prompt}
    return found | ({"tools": tools} if tools else {})


def _write(file: Path, values: Iterator[dict[str, Any]], count: int, progress: Progress,
           stop: ShouldStop) -> None:
    with file_written_whole(file) as opened:
        for number, value in enumerate(values):
            if number % _LOOK_EVERY == 0:
                end_if_stopped(stop)
                progress(Step(f"Writing {file.name}", number, count, "examples"))
            opened.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
