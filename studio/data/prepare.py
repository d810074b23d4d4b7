"""Everything between a recipe's `data` and the trainer: the only way in.

Reads, recognises, renders, splits, and hands over token ids and labels, which TRL's trainer and
collator take as they are. Does not pack or pad; the trainer does.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.data.detection import Detection
from studio.data.examples import render_all
from studio.data.formats import choose_format
from studio.data.records import Problem
from studio.data.render import Example
from studio.data.sources import read_records
from studio.data.statistics import Statistics, duplicate_indices, statistics_of
from studio.data.templates import template_for
from studio.errors import DataError, Stopped
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Recipe
from studio.settings import Settings

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerBase

_TEACHABLE = ("alpaca", "messages", "sharegpt", "prompt_completion", "text")
_PROBLEMS_IN_MESSAGE = 3


@dataclass
class Prepared:
    """`train` and `eval` have the columns input_ids and labels (-100: no loss), int32 lists.

    `skipped` has one Problem per record that is not taught. `chat_template` is the one that
    was rendered with; save it with the adapter so that chat renders the same.
    """

    train: datasets.Dataset
    eval: datasets.Dataset | None
    skipped: list[Problem]
    statistics: Statistics
    detection: Detection
    chat_template: str


def prepare(
    recipe: Recipe, tokenizer: PreTrainedTokenizerBase, settings: Settings, *,
    progress: Progress = silent, stop: ShouldStop = never,
) -> Prepared:
    """Read, render, and split the data of `recipe`.

    Raises DataError where nothing can be taught, naming the first problems, and Stopped.
    """
    data = recipe.data
    records = read_records(data.source, settings, split=data.split, progress=progress, stop=stop)
    detection = choose_format(records, data)
    _require_teachable(detection, recipe.training.method)
    skipped = list(records.problems)
    examples: list[Example] = []
    for rendered in render_all(records, detection, tokenizer, data, progress=progress, stop=stop):
        if rendered.example is not None:
            examples.append(rendered.example)
        elif rendered.problem is not None:
            skipped.append(rendered.problem)
    if not examples:
        raise DataError(f"None of the {records.total_rows} records of {records.name} can be "
                        f"taught: {_first(skipped)}", "Correct the records or choose other data.")
    if stop():
        raise Stopped("Preparing the data was stopped.")
    progress(Step("Splitting", 0, None))
    train, held_out = split(examples, data.eval_fraction, data.seed)
    return Prepared(
        train=to_dataset(train), eval=to_dataset(held_out) if held_out else None,
        skipped=skipped, detection=detection, chat_template=template_for(tokenizer, data),
        statistics=statistics_of(
            examples, duplicates=len(duplicate_indices(records.rows)),
            without_answer=len(records.rows) - len(examples),
        ),
    )


def split(
    examples: Sequence[Example], eval_fraction: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """(training, held-out), shuffled by `seed`. At least one example is left to train on."""
    order = list(range(len(examples)))
    random.Random(seed).shuffle(order)
    held_out = min(len(order) - 1, round(len(order) * eval_fraction))
    if eval_fraction and len(order) > 1:
        held_out = max(1, held_out)
    return [examples[i] for i in order[held_out:]], [examples[i] for i in order[:held_out]]


def to_dataset(examples: Sequence[Example]) -> datasets.Dataset:
    """The two columns that the trainer reads."""
    import datasets

    ids = datasets.List(datasets.Value("int32"))
    return datasets.Dataset.from_dict(
        {"input_ids": [example.input_ids for example in examples],
         "labels": [example.labels for example in examples]},
        features=datasets.Features({"input_ids": ids, "labels": ids}),
    )


def _require_teachable(detection: Detection, method: str) -> None:
    if detection.format is None:
        raise DataError(f"The data cannot be trained on: {_first(list(detection.problems))}",
                        detection.problems[0].hint if detection.problems else "")
    if detection.format not in _TEACHABLE:
        raise DataError(
            f"The data has the format {detection.format}, which training.method {method} cannot "
            f"learn from: {detection.why}",
            f"{method} needs answers to imitate: {', '.join(_TEACHABLE)}. To read other columns "
            "as one of these, set data.format and data.columns.",
        )


def _first(problems: list[Problem]) -> str:
    more = len(problems) - _PROBLEMS_IN_MESSAGE
    shown = "; ".join(f"{p.where + ': ' if p.where else ''}{p.what}"
                      for p in problems[:_PROBLEMS_IN_MESSAGE])
    return shown + (f" (and {more} more)" if more > 0 else "")
