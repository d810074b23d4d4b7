"""What to change before training, with the numbers that speak for it; and the question before all:
should this be a fine-tune?

Rules of thumb, each said with its reason. Nothing here changes a recipe.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy

from studio.data.checks.samples import sample_of
from studio.data.lab.report import Advice, Report
from studio.data.samples import Conversation
from studio.recipe import Data, Training

if TYPE_CHECKING:
    from studio.data.lab.whole import Whole

FEW_EXAMPLES = 100
LITTLE_TEXT_TOKENS = 100_000
_LENGTH_STEP = 64
_MUCH_CUT, _MUCH_ROOM = 0.01, 2
"""More than this share cut: too short. Longest example times this still below: too long."""
_PADDING_WORTH, _PADDING_LITTLE = 0.25, 0.05
_FEWEST_STEPS = 50
_EPOCHS = ((100, 3, 10), (1_000, 2, 5), (10_000, 1, 3), (math.inf, 1, 2))
"""Up to so many examples, the fewest and the most epochs that are usual for LoRA."""
_ROWS_ASKED = 600
_LABEL_WORDS, _LABELS, _ONE_LABEL = 5, 20, 0.8

CHECKLIST: tuple[tuple[str, str], ...] = (
    ("Did a good prompt with three to five examples in it fail?",
     "Try that first: it costs minutes, changes at once, and often is enough. Write the prompt, "
     "put examples into it, and note on twenty real questions where it fails."),
    ("Is it facts that are missing, or facts that change?",
     "Then look them up and put them into the prompt (retrieval). A fine-tune learns facts badly, "
     "mixes them up, and is out of date tomorrow; it cannot say where an answer comes from."),
    ("Is it form, tone, a task, or a format that must be right every time?",
     "That is what a fine-tune is good at: a way of answering that is hard to describe but easy to "
     "show, or a narrow task for a small and fast model."),
    ("Do you have 100 or better 500 examples that you would sign?",
     "The model copies what it is shown, mistakes included. A hundred good rows beat ten thousand "
     "of which you have read none."),
    ("Do you know how you will tell that it got better?",
     "Keep examples aside that are never trained on, and compare the answers with and without the "
     "adapter on questions of your own."),
    ("May this data be in a model?",
     "What is trained can come out again: personal data, secrets, and texts whose licence forbids "
     "it belong into no training set."),
)
"""(question, why it matters), to be gone through in order: prompting, retrieval, fine-tuning."""


def advice_for(report: Report, whole: Whole, training: Training) -> tuple[Advice, ...]:
    """What the numbers of the report speak for, the weightiest first."""
    found = [_few_examples(report, whole.data), _nothing_held_out(report, whole.data),
             _length(report, whole.data), _packing(report, whole, training),
             _epochs(report, whole.data, training), _one_answer(whole)]
    return tuple(advice for advice in found if advice is not None)


def _few_examples(report: Report, data: Data) -> Advice | None:
    count = report.statistics.examples
    if not count or count >= FEW_EXAMPLES:
        return None
    if data.divides:
        return _little_text(report)
    return Advice(
        "few_examples", f"Collect more examples: there {'is' if count == 1 else 'are'} {count:,}.",
        f"Below about {FEW_EXAMPLES} a model learns the examples by heart instead of what they "
        "have in common. With so few, examples in the prompt often do as well.")


def _little_text(report: Report) -> Advice | None:
    tokens = report.statistics.tokens_total
    if tokens is None or tokens >= LITTLE_TEXT_TOKENS:
        return None
    return Advice(
        "few_examples", f"Collect more text: there are {tokens:,} tokens.",
        f"Reading on changes what a model knows from about {LITTLE_TEXT_TOKENS:,} tokens on, some "
        "hundred pages; with less it learns these pages by heart.")


def _nothing_held_out(report: Report, data: Data) -> Advice | None:
    count = report.statistics.examples
    if report.eval_examples or count < 2:
        return None
    fraction = 0.1 if count < 1_000 else 0.05
    return Advice(
        "nothing_held_out", "Keep some examples aside.",
        f"None of the {count:,} examples is held out, so nothing shows when the model begins to "
        "learn by heart. The loss of training alone falls on.",
        {"data.held_out": "fraction", "data.eval_fraction": fraction})


def _length(report: Report, data: Data) -> Advice | None:
    """On max_length: too short, or far too long."""
    numbers = report.statistics
    longest, p95 = numbers.tokens_max, numbers.tokens_p95
    if longest is None or p95 is None or not numbers.examples:
        return None
    cut = numbers.truncated or 0
    if cut > _MUCH_CUT * numbers.examples:
        wanted = _rounded_up(longest if longest <= 2 * p95 else p95)
        return Advice(
            "max_length_low", f"Raise the maximum length to {wanted:,}.",
            f"{cut:,} of {numbers.examples:,} examples ({cut / numbers.examples:.0%}) are longer "
            f"than {data.max_length:,} tokens and lose their end. 95 in 100 have at most {p95:,}, "
            f"the longest {longest:,}. Longer rows cost memory.", {"data.max_length": wanted})
    wanted = _rounded_up(longest)
    if data.max_length <= _MUCH_ROOM * wanted:
        return None
    return Advice(
        "max_length_high", f"Lower the maximum length to {wanted:,}.",
        f"The longest example has {longest:,} tokens, so nothing is cut. {data.max_length:,} only "
        "makes the memory estimate larger than need be" + (
            ", and packed rows longer." if data.packing else "."), {"data.max_length": wanted})


def _rounded_up(tokens: int) -> int:
    return -(-tokens // _LENGTH_STEP) * _LENGTH_STEP


def _packing(report: Report, whole: Whole, training: Training) -> Advice | None:
    if whole.lengths is None or report.train_examples < 2:
        return None
    data = whole.data
    lengths = whole.taught_lengths(numpy.flatnonzero(whole.teachable))
    padding = padding_share(lengths, training.batch_size)
    rows = math.ceil(int(lengths.sum(dtype=numpy.int64)) / data.max_length)
    steps = math.ceil(training.epochs * rows / training.effective_batch_size)
    numbers = (f"In micro-batches of {training.batch_size} {padding:.0%} would be padding; packed, "
               f"the {len(lengths):,} {'pieces' if data.divides else 'examples'} fill about "
               f"{rows:,} rows, {steps:,} steps in all.")
    if data.packing and (padding < _PADDING_LITTLE or steps < _FEWEST_STEPS):
        return Advice("packing_off", "Packing is not worthwhile here.",
                      f"{numbers} Few steps teach little.", {"data.packing": False})
    if not data.packing and padding > _PADDING_WORTH and steps >= _FEWEST_STEPS:
        return Advice("packing_on", "Packing is worthwhile.",
                      f"{numbers} A micro-batch of full rows needs more memory.",
                      {"data.packing": True})
    return None


def padding_share(lengths: numpy.ndarray, batch_size: int) -> float:
    """Share of the tokens that are padding when batches are drawn at random, 0 to 1."""
    shuffled = numpy.random.default_rng(0).permutation(lengths).astype(numpy.int64)
    whole_batches = shuffled[: len(shuffled) // batch_size * batch_size].reshape(-1, batch_size)
    padded = int(whole_batches.max(axis=1, initial=0).sum()) * batch_size
    return 1 - int(whole_batches.sum()) / padded if padded else 0.0


def _epochs(report: Report, data: Data, training: Training) -> Advice | None:
    count = report.train_examples
    if not count or training.max_steps or data.divides:
        return None  # more than one pass over plain text is a choice of its own
    fewest, most = next((low, high) for size, low, high in _EPOCHS if count <= size)
    steps = math.ceil(training.epochs * count / training.effective_batch_size)
    if fewest <= training.epochs <= most:
        return None
    more = training.epochs < fewest
    wanted = fewest if more else most
    passes = "One epoch" if training.epochs == 1 else f"{training.epochs:g} epochs"
    why = (f"{passes} of {count:,} examples: {steps:,} steps. "
           f"For a set of this size {fewest} to {most} are usual; ")
    return Advice(
        "epochs_few" if more else "epochs_many",
        f"{'Raise' if more else 'Lower'} the epochs to {wanted}.",
        why + ("fewer leave the model much as it was." if more else
               "with more it learns the examples by heart. Watch the held-out loss."),
        {"training.epochs": wanted})


def _one_answer(whole: Whole) -> Advice | None:
    """One label out of a few that stands in nearly every row."""
    rows = numpy.flatnonzero(whole.teachable)
    if len(rows) > _ROWS_ASKED:
        rows = numpy.sort(numpy.random.default_rng(0).choice(rows, _ROWS_ASKED, replace=False))
    answers = Counter(_answer(whole, row) for row in rows.tolist())
    if len(rows) < FEW_EXAMPLES or not 1 < len(answers) <= _LABELS or any(
            len(answer.split()) > _LABEL_WORDS for answer in answers):
        return None
    (most, count), share = answers.most_common(1)[0], answers.most_common(1)[0][1] / len(rows)
    if share <= _ONE_LABEL:
        return None
    return Advice(
        "one_answer", "Balance the answers.",
        f"{count:,} of {len(rows):,} answers that were looked at are {most!r}. A model that always "
        f"says so is right in {share:.0%}, and that is what it will learn. Add rows with the other "
        "answers.")


def _answer(whole: Whole, row: int) -> str:
    sample = sample_of(whole, row)
    return str(sample.turns[-1]["content"]).strip() if isinstance(sample, Conversation) else ""
