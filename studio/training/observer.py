"""Those who watch a run from inside: health, samples, scores, forgetting, trackers.

An `Observer` is told what happens and may look at the model; it never changes what is learned.
Whoever generates or measures uses `rows.measuring` and leaves the random state as it was. What an
observer finds goes into the run's events; `Live.finish` is its only way to end a run early.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from studio.device import Device, release_memory
from studio.progress import Step
from studio.recipe import Monitor, Recipe
from studio.recipe.used import is_used
from studio.runs import Run
from studio.settings import Settings
from studio.training.out_of_memory import memory_lasts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from studio.data.prepare import Prepared
    from studio.hardware.precision import Precision
    from studio.training.untrained import Untrained


@dataclass
class Live:
    """A run in training as its observers see it.

    `stop` says whether the person asked for an end; `progress` tells the page what takes time.
    `finish_reason` is empty, or the sentence with which an observer ended the run; `is_fault`
    says that something is wrong, and `is_spoilt` that the weights in memory are worth nothing.
    """

    recipe: Recipe
    run: Run
    settings: Settings
    device: Device
    precision: Precision
    model: Any
    tokenizer: PreTrainedTokenizerBase
    data: Prepared
    stop: Callable[[], bool]
    progress: Callable[[Step], None]
    step: int = 0
    total_steps: int = 0
    finish_reason: str = ""
    is_fault: bool = False
    is_spoilt: bool = False
    refused_step: int = 0
    """The step that was not applied, since its loss or gradient was no number; 0 for none."""
    settle: Callable[[], None] = field(default=lambda: None)
    """Ends what `progress` told: the page speaks of the training again."""
    untrained: Untrained | None = None
    """The base behind an adapter that starts as nothing: it may be asked after the first step."""

    def finish(self, reason: str, *, fault: bool = False) -> None:
        """End the run after this step and keep what it has: as done, or for a fault as stopped.

        The first reason counts, a fault before any other.
        """
        if not self.finish_reason or (fault and not self.is_fault):
            self.finish_reason, self.is_fault = reason, fault


class Observer:
    """Told what happens in a run; does nothing by itself. Every method may be left as it is.

    `what` is what it does in a person's words, to follow "Memory ran out for".
    """

    what = "what watches the run"

    def begin(self, live: Live) -> None:
        """The model is ready; the first step of this stretch comes next. `live.step` is 0, or the
        step that was resumed from."""

    def logged(self, event: dict[str, Any]) -> None:
        """A `log` event was written: step, loss, learning_rate, grad_norm, tokens_per_second."""

    def evaluated(self, step: int, loss: float) -> None:
        """An `eval` event was written: loss per token on the held-out part."""

    def refused(self, step: int, what: str) -> None:
        """Step `step` is not applied, since its `what` ("loss", "gradient") is no number."""

    def step_ended(self, step: int) -> None:
        """Optimizer step `step` is done; it is logged, evaluated and saved after this."""

    def ended(self, step: int) -> None:
        """No further step comes, also after a stop; the result is saved next."""

    def close(self) -> None:
        """Let go of everything; called once, also after an error."""


class Observers(Observer):
    """Several as one, told in order. `begin` and what follows happen on the training thread.

    One that needs more memory than there is leaves out what it was about to do; one that cannot
    even begin is told nothing more.
    """

    def __init__(self, several: Sequence[Observer] = ()) -> None:
        self.several = list(several)
        self._told = list(several)
        self._live: Live | None = None

    def begin(self, live: Live) -> None:
        self._live = live
        self._told = [one for one in self.several
                      if self._memory_lasts(one, functools.partial(one.begin, live))]

    def logged(self, event: dict[str, Any]) -> None:
        self._tell(lambda one: one.logged(event))

    def evaluated(self, step: int, loss: float) -> None:
        self._tell(lambda one: one.evaluated(step, loss))

    def refused(self, step: int, what: str) -> None:
        self._tell(lambda one: one.refused(step, what))

    def step_ended(self, step: int) -> None:
        self._tell(lambda one: one.step_ended(step))

    def ended(self, step: int) -> None:
        self._tell(lambda one: one.ended(step))

    def close(self) -> None:
        for one in self.several:
            one.close()

    def _tell(self, tell: Callable[[Observer], None]) -> None:
        for one in self._told:
            self._memory_lasts(one, functools.partial(tell, one))

    def _memory_lasts(self, one: Observer, action: Callable[[], None]) -> bool:
        if memory_lasts(action):
            return True
        assert self._live is not None
        release_memory(self._live.device)
        self._live.run.append("note", level="warning", text=(
            f"Memory ran out for {one.what}, which is left out; the training goes on."))
        self._live.settle()
        return False


def observers_for(recipe: Recipe) -> Observers:
    """Everyone whom the recipe asks to watch, in the order in which they are told."""
    from studio.training.best import BestEvaluation
    from studio.training.health.watch import HealthWatch
    from studio.training.trackers import Trackers

    # A judge of answers writes none, so it cannot be asked.
    answering = _answering(recipe.monitor) if is_used("monitor.sample_tokens", recipe) else []
    # The trackers come last: they tell what the others found.
    return Observers([HealthWatch(), BestEvaluation(), *answering, Trackers(recipe)])


def _answering(monitor: Monitor) -> list[Observer]:
    """Those who ask the model in training: what it forgets, how good its answers are, samples."""
    from studio.training.forgetting import Forgetting
    from studio.training.samples import Samples
    from studio.training.scorers import scorer_for
    from studio.training.scoring import Scoring

    scorer = scorer_for(monitor)
    found: list[Observer] = [Forgetting(monitor)] if monitor.forgetting else []
    found += [Scoring(monitor, scorer)] if scorer is not None else []
    found += [Samples(monitor)] if monitor.sample_prompts or monitor.sample_records else []
    return found
