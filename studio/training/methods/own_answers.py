"""The model in training writes the answers that it will learn from.

Drawn at the recipe's temperature with the cache on and without dropout; a stop is honoured between
two tokens. What an answer is worth is `rewards/`; what is learned from it is the trainer's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from studio.data.templates import end_ids_of
from studio.hardware.objectives import WRITTEN_TOGETHER
from studio.models.generation import pad_id_of, readable
from studio.progress import Step
from studio.recipe import Recipe
from studio.training.answering import answer_limit, generated
from studio.training.reporter import TrainReporter
from studio.training.rewards import Written
from studio.training.rows import measuring

_QUIET_SECONDS = 2.0
_WHAT = "Writing answers to learn from"


class BrokenOff(Exception):
    """The person asked for a stop while answers were written: the step is not taken."""


@dataclass
class OwnAnswers:
    """Writes answers with the trainer's model."""

    recipe: Recipe
    tokenizer: Any
    reporter: TrainReporter
    _ends: frozenset[int] | None = None

    def write(self, model: Any, prompts: list[list[int]]) -> list[list[int]]:
        """One answer to each prompt, the token that ends it included. Raises BrokenOff."""
        progress = _Told(self.reporter, len(prompts), self.recipe.reinforcement.answer_tokens)
        at_once = self.recipe.training.batch_size * WRITTEN_TOGETHER
        ends = self.ends(model)
        answers: list[list[int]] = []
        with measuring(model):
            for first in range(0, len(prompts), at_once):
                rows = prompts[first:first + at_once]
                progress.begin(len(answers), len(rows))
                found = generated(model, rows, self._config(model, rows), ends, progress.stops)
                if self.reporter.stop():
                    raise BrokenOff
                answers += [_until_end(ids, ends) for ids in found]
        progress.settle()
        return answers

    def ends(self, model: Any) -> frozenset[int]:
        """The tokens that end an answer: by the model's configuration, and by the template."""
        if self._ends is None:
            # A dry run has nobody to watch it, and measures answers of full length.
            is_dry = self.reporter.live is None
            self._ends = frozenset() if is_dry else end_ids_of(
                self.tokenizer, model.generation_config)
        return self._ends

    def as_written(self, row: dict[str, Any], answer: list[int]) -> Written:
        """An answer in tokens to the prompt of a row, as its rewards see it."""
        assert self._ends is not None
        is_over = bool(answer) and answer[-1] in self._ends
        text = readable(self.tokenizer, answer[:-1] if is_over else answer)
        return Written(row["shown"], row["turns"], row["expected"], text, len(answer) - is_over,
                       not is_over)

    def _config(self, model: Any, rows: list[list[int]]) -> Any:
        from transformers import GenerationConfig

        wanted = self.recipe.reinforcement
        # Set in full, or generate() would take the model's own values, such as its top-k.
        return GenerationConfig(
            max_new_tokens=answer_limit(model, rows, wanted.answer_tokens), do_sample=True,
            num_beams=1, temperature=wanted.temperature, top_p=wanted.top_p, top_k=0,
            repetition_penalty=1.0, use_cache=True, pad_token_id=pad_id_of(self.tokenizer),
            disable_compile=True)


def _until_end(ids: list[int], ends: frozenset[int]) -> list[int]:
    at = next((number for number, token in enumerate(ids, 1) if token in ends), len(ids))
    return ids[:at]


class _Told:
    """How far the writing is, told only where it takes long, since it comes in every step."""

    def __init__(self, reporter: TrainReporter, answers: int, answer_tokens: int) -> None:
        self._reporter, self._answer_tokens = reporter, answer_tokens
        self._total = answers * answer_tokens
        self._began = time.monotonic()
        self._done = self._rows = 0
        self._is_told = False

    def begin(self, written: int, rows: int) -> None:
        """`rows` more answers are begun, behind `written` ones."""
        self._done, self._rows = written * self._answer_tokens, rows

    def stops(self) -> bool:
        """Asked before each token."""
        self._done = min(self._done + self._rows, self._total)
        if time.monotonic() - self._began > _QUIET_SECONDS:
            self._is_told = True
            self._reporter.states.progress(Step(_WHAT, self._done, self._total, "tokens"))
        return self._reporter.stop()

    def settle(self) -> None:
        """All are written."""
        if self._is_told:
            self._reporter.states.settle()
