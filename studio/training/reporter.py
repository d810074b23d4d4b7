"""Turns what the trainer does into events of the run, and the person's stop into the trainer's.

Plain methods named after transformers' callback events; `as_callback` makes the class that the
trainer accepts. Touches no signals, prints nothing, and keeps no second copy of the curve.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from studio.measures import measures_in
from studio.progress import Step
from studio.runs import Run
from studio.training.best import is_best_so_far
from studio.training.control import what_is_asked
from studio.training.observer import Live, Observers

_PROGRESS_EVERY_SECONDS = 2.0
_STEPS_FOR_TIME_LEFT = 50


class StateReporter:
    """Appends `state` events, with the progress of the present state as its detail."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.state = ""
        self._next_progress = 0.0
        self._told_progress = False

    def enter(self, state: str, detail: str = "") -> None:
        """The run is in `state` from now on."""
        self.state = state
        self._next_progress = 0.0
        self._told_progress = False
        self._run.append("state", state=state, detail=detail)

    def progress(self, step: Step) -> None:
        """A `Progress`: at most one event in two seconds."""
        now = time.monotonic()
        if now >= self._next_progress:
            self._next_progress = now + _PROGRESS_EVERY_SECONDS
            share = "" if step.fraction is None else f": {step.fraction:.0%}"
            self._run.append("state", state=self.state, detail=f"{step.what}{share}")
            self._told_progress = True

    def settle(self) -> None:
        """What took time inside the present state is over: its progress is no longer shown."""
        if self._told_progress:
            self._next_progress, self._told_progress = 0.0, False
            self._run.append("state", state=self.state, settled=True)


@dataclass
class Before:
    """What earlier segments of a resumed run already spent, up to the step it resumes from."""

    tokens: int = 0
    elapsed_seconds: float = 0.0


def spent_before(run: Run, start_step: int) -> Before:
    """Read from the log events up to `start_step`."""
    before = Before()
    for event in run.events():
        if event["type"] == "log" and event["step"] <= start_step:
            before = Before(event.get("tokens") or 0, event.get("elapsed_seconds") or 0.0)
    return before if start_step else Before()


@dataclass
class TrainReporter:
    """The trainer's side of a run: logs, evaluations, checkpoints, and the stop."""

    run: Run
    states: StateReporter
    stop: Callable[[], bool]
    plan: dict[str, Any]
    keep_checkpoint: Callable[[int], None]
    live: Live | None = None
    observers: Observers = field(default_factory=Observers)
    """Told only where `live` is given; a dry run has none."""
    evaluate: Callable[[], Any] = dict
    """The trainer's; it is called for the evaluation that a pause or stop broke off."""
    _before: Before = field(default_factory=Before)
    _started: float = 0.0
    _step_started: float | None = None
    _step_seconds: deque[float] = field(
        default_factory=lambda: deque(maxlen=_STEPS_FOR_TIME_LEFT))
    _seconds_since_log: float = 0.0
    tokens_at_log: int = 0
    saved_step: int = -1
    is_applying: bool = False
    """The optimizer is at work: a part of the weights may have changed already."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        start = state.global_step
        self._before = spent_before(self.run, start)
        self._started = time.monotonic()
        self.saved_step = start
        self.run.append("plan", method=self.run.recipe.training.method, start_step=start,
                        total_steps=state.max_steps, **self.plan)
        self.states.enter("training")
        if self.live is not None:
            self.live.step, self.live.total_steps = start, state.max_steps
            self.observers.begin(self.live)
        if self._owes_evaluation(args, start):
            self.evaluate()

    def _owes_evaluation(self, args: Any, start: int) -> bool:
        """Whether the step that is resumed from should have been evaluated and was not."""
        is_due = start > 0 and args.eval_strategy == "steps" and start % args.eval_steps == 0
        return is_due and start not in dict(self.run.story().evals)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._step_started = time.monotonic()

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.stop():
            control.should_training_stop = True

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.is_applying = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.is_applying = False
        seconds = time.monotonic() - (self._step_started or time.monotonic())
        self._step_seconds.append(seconds)
        self._seconds_since_log += seconds
        if self.live is not None:
            self.live.step = state.global_step
            self.observers.step_ended(state.global_step)
        self._stop_if_finished(control)
        if self.stop():
            control.should_training_stop = control.should_log = True
            control.should_save = self._may_save

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """A stop between two micro-batches: what the last whole step made is kept."""
        if control.should_training_stop and state.global_step > self.saved_step:
            control.should_save = self._may_save

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        if "loss" not in logs:
            return
        tokens = int(logs.get("num_tokens", 0))
        speed = (tokens - self.tokens_at_log) / max(self._seconds_since_log, 1e-9)
        self.tokens_at_log, self._seconds_since_log = tokens, 0.0
        left = state.max_steps - state.global_step
        event = {
            "step": state.global_step, "epoch": float(state.epoch or 0), "loss": logs["loss"],
            "learning_rate": logs["learning_rate"], "grad_norm": logs.get("grad_norm"),
            "tokens": self._before.tokens + tokens, "tokens_per_second": speed,
            "elapsed_seconds": self.elapsed_seconds(),
            "seconds_left": left * sum(self._step_seconds) / max(len(self._step_seconds), 1),
        }
        measures = measures_in(logs, self.run.recipe.training.method)
        if measures:
            event["measures"] = measures
        self.run.append("log", **event)
        if self.live is not None:
            self.observers.logged(event)
            if self.stop():  # while they looked
                control.should_training_stop, control.should_save = True, self._may_save
        self._stop_if_finished(control)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float],
                    **_: Any) -> None:
        if self.live is not None:
            self.observers.evaluated(state.global_step, metrics["eval_loss"])
            control.should_save |= is_best_so_far(self.run, state.global_step)
        self._stop_if_finished(control)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.live is not None:
            self.observers.ended(state.global_step)

    @property
    def finish_reason(self) -> str:
        """The sentence with which an observer ended the run, or empty."""
        return self.live.finish_reason if self.live is not None else ""

    def _stop_if_finished(self, control: Any) -> None:
        if self.finish_reason:
            control.should_training_stop = control.should_log = True
            control.should_save = self._may_save

    @property
    def _may_save(self) -> bool:
        """Not what is thrown away anyway, nor weights that are worth nothing."""
        is_spoilt = self.live is not None and self.live.is_spoilt
        return not is_spoilt and what_is_asked(self.stop) != "cancel"

    def refused(self, step: int, what: str) -> None:
        """The trainer does not apply `step`: its `what` is no number."""
        if self.live is not None:
            self.live.refused_step = step
            self.observers.refused(step, what)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.saved_step = state.global_step
        self.keep_checkpoint(state.global_step)

    def elapsed_seconds(self) -> float:
        """Seconds of training so far, earlier segments included."""
        return self._before.elapsed_seconds + time.monotonic() - self._started


def as_callback(reporter: TrainReporter) -> Any:
    """`reporter` as a transformers TrainerCallback."""
    from transformers import TrainerCallback

    callback = TrainerCallback()
    for name in ("on_train_begin", "on_step_begin", "on_substep_end", "on_pre_optimizer_step",
                 "on_step_end", "on_epoch_end", "on_log", "on_evaluate", "on_save",
                 "on_train_end"):
        setattr(callback, name, getattr(reporter, name))
    return callback
