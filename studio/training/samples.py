"""Fixed prompts, answered again and again by the model in training: one sees it learn.

At step 0, every `monitor.sample_steps`, and at the end. The answers go into the run's
samples.jsonl (`kept_answers.py`); a `samples` event says that a round is there and what it cost.
"""

from __future__ import annotations

import time

from studio.recipe import Monitor
from studio.training.answering import (
    answer_all,
    answer_all_as_base,
    fitting,
    recalled_answers,
)
from studio.training.kept_answers import SAMPLES_FILE, Answered, AnswerFile
from studio.training.observer import Live
from studio.training.prompts import Prompt, held_out_prompts, own_prompts
from studio.training.untrained import AsksBase

_WHAT = "Answering the sample prompts"


class Samples(AsksBase):
    """Answers the recipe's prompts, and those of the first held-out records."""

    what = "the sample prompts"

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._live: Live | None = None
        self._prompts: list[Prompt] = []
        self._file: AnswerFile | None = None

    def begin(self, live: Live) -> None:
        self._live = live
        self._prompts = self._chosen(live)
        self._file = AnswerFile(live.run, SAMPLES_FILE)
        self._file.resume_from(live.step)
        if self.owes_base(live, self._file.steps):
            self.begin_with_base(live)
        if live.step and self._is_due(live.step):
            self._round(live, live.step)

    def recalls_base(self, live: Live) -> bool:
        return recalled_answers(live, self._prompts, self._monitor.sample_tokens) is not None

    def ask_base(self, live: Live) -> None:
        self._round(live, 0)

    def step_ended(self, step: int) -> None:
        if self._live is not None and self._is_due(step):
            self.settle_base()
            self._round(self._live, step)

    def ended(self, step: int) -> None:
        self.settle_base()
        live = self._live
        if live is not None and (step >= live.total_steps or live.finish_reason):
            self._round(live, step)

    def close(self) -> None:
        self._live = None

    def _is_due(self, step: int) -> bool:
        every = self._monitor.sample_steps
        return every > 0 and step % every == 0

    def _chosen(self, live: Live) -> list[Prompt]:
        wanted, whole = self._monitor, live.data.whole
        chosen = [*own_prompts(wanted.sample_prompts, whole, live.tokenizer),
                  *held_out_prompts(wanted.sample_records, whole, live.tokenizer)]
        kept = fitting(live, chosen)
        if len(kept) < len(chosen):
            live.run.append("note", level="warning", text=(
                f"{len(chosen) - len(kept)} of {len(chosen)} sample prompts are longer than the "
                "model can read, and are left out."))
        return kept

    def _round(self, live: Live, step: int) -> None:
        """One answer to each prompt; nothing is kept of a round that a stop cut short."""
        assert self._file is not None
        if not self._prompts or step in self._file.steps or live.stop() or live.is_spoilt:
            return
        began = time.monotonic()
        ask = answer_all if step else answer_all_as_base
        answers = ask(live, self._prompts, self._monitor.sample_tokens, _WHAT)
        live.settle()
        if answers is None:
            return
        self._file.append([
            Answered(step, prompt.shown, prompt.expected, found.text, found.tokens,
                     round(found.seconds, 3), found.cut)
            for prompt, found in zip(self._prompts, answers, strict=True)])
        live.run.append("samples", step=step, count=len(answers),
                        seconds=round(time.monotonic() - began, 3))
