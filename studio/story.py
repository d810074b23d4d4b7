"""What the events of a run add up to: its state, its curve, its last words.

Pure: the same events always tell the same story, to the page, the command line, a second browser
tab, and after a restart. Reading the events is `runs.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from studio.recipe.method_words import method_words

ACTIVE_STATES = ("preparing", "loading", "tokenising", "training", "evaluating", "saving")
FINAL_STATES = ("done", "paused", "stopped", "cancelled", "failed")
ASKED_STATES = {"pause": "pausing", "stop": "stopping", "cancel": "cancelling"}
"""What was asked of a run at work, and the state it is in until it has obeyed."""
_TAIL_LINES = 200

_STATE_SENTENCES = {
    "preparing": "Preparing the model and the data.",
    "loading": "Loading the base model.",
    "tokenising": "Turning the examples into tokens.",
    "training": "Training.",
    "evaluating": "Measuring the loss on the held-out part.",
    "saving": "Saving the adapter.",
    "done": "Done.",
    "paused": "Paused; the memory is free, and Resume goes on from here.",
    "stopped": "Stopped; what was learned so far is kept.",
    "cancelled": "Cancelled; what was learned is thrown away.",
    "failed": "Failed.",
}


@dataclass(frozen=True)
class Point:
    """One logged optimizer step. `loss` is NaN where the run logged one."""

    step: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float | None
    tokens_per_second: float | None
    tokens: int = 0
    elapsed_seconds: float = 0.0
    time: float = 0.0
    """When it was logged, Unix time in seconds."""
    measures: dict[str, float] = field(default_factory=dict)
    """What the method measures beside the loss, by the names in `measures.py`."""


@dataclass(frozen=True)
class Alarm:
    """Something about the run's health that a person should know. `level`: "warning" or "bad"."""

    kind: str
    level: str
    step: int
    text: str
    hint: str = ""


@dataclass(frozen=True)
class Scored:
    """Answers scored at one evaluation: `value` between 0 and 1, the mean over `count` answers."""

    step: int
    scorer: str
    value: float
    count: int


@dataclass(frozen=True)
class Forgetting:
    """Loss per token on general text: `base_loss` before any training, `loss` now."""

    step: int
    loss: float
    base_loss: float

    @property
    def rise(self) -> float | None:
        """By which share of the base model's loss it is higher now; None beside a loss of zero."""
        return self.loss / self.base_loss - 1 if self.base_loss > 0 else None


@dataclass(frozen=True)
class Story:
    """A run at one moment. `version` is the same as before when there is nothing new to show."""

    name: str
    state: str
    detail: str = ""
    total_steps: int = 0
    step: int = 0
    epoch: float = 0.0
    points: tuple[Point, ...] = ()
    evals: tuple[tuple[int, float], ...] = ()
    eval_measures: tuple[tuple[int, dict[str, float]], ...] = ()
    """Step and what was measured beside the held-out loss; only where a method measures any."""
    alarms: tuple[Alarm, ...] = ()
    scores: tuple[Scored, ...] = ()
    forgetting: tuple[Forgetting, ...] = ()
    adapted: dict[str, Any] = field(default_factory=dict)
    """Recipe values by dotted key that memory forced the run to change, the latest of each."""
    adaptations: tuple[tuple[int, str], ...] = ()
    """After which step values were changed so, and the sentence that says it."""
    result_step: int | None = None
    """The step whose weights are the result; None while there is no result."""
    sample_rounds: int = 0
    """How often prompts were answered; the answers are in the run's samples.jsonl."""
    asked: str = ""
    """What the person has asked of a run at work: "pause", "stop", "cancel", or nothing."""
    tokens_per_second: float | None = None
    elapsed_seconds: float = 0.0
    seconds_left: float | None = None
    error: tuple[str, str] | None = None
    log_tail: tuple[str, ...] = ()
    plan: dict[str, Any] = field(default_factory=dict)
    version: int = 0

    @property
    def is_active(self) -> bool:
        """True while somebody is working on the run."""
        return self.state in ACTIVE_STATES or self.state in ASKED_STATES.values()

    @property
    def method(self) -> str:
        """How it is trained; runs from before this was told have all learned from answers."""
        return _method_of(self.plan)

    @property
    def has_perplexity(self) -> bool:
        """Whether exp(loss) means something."""
        return method_words(self.method).has_perplexity

    @property
    def is_rewarded(self) -> bool:
        """Whether the held-out loss is minus the mean reward of its own answers."""
        return method_words(self.method).is_rewarded

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and loss of the evaluation with the lowest held-out loss; the first of equals."""
        finite = [found for found in self.evals if math.isfinite(found[1])]
        return min(finite, key=lambda found: found[1]) if finite else None


def tell(name: str, events: Iterable[dict[str, Any]], owner_alive: bool) -> Story:
    """Fold events into a story. A run whose owner died while working reads as interrupted."""
    fold = _Fold()
    count = 0
    for event in events:
        count += 1
        handler = getattr(fold, f"on_{event['type']}", None)
        if handler is not None:
            handler(event)
            fold.after_state = event["type"] == "state" and not event.get("settled")
    state = fold.state
    if state in ACTIVE_STATES and not owner_alive:
        state, fold.detail, fold.seconds_left = "interrupted", _interrupted(fold), None
        fold.tail.append(fold.detail)
    elif state in ACTIVE_STATES and fold.asked:
        state = ASKED_STATES[fold.asked]
    return Story(
        name=name, state=state, detail=fold.detail, total_steps=fold.plan.get("total_steps", 0),
        step=fold.step, epoch=fold.epoch, points=tuple(fold.points[s] for s in sorted(fold.points)),
        evals=tuple(sorted(fold.evals.items())),
        eval_measures=tuple(sorted(fold.eval_measures.items())), alarms=tuple(fold.alarms),
        scores=tuple(fold.scores), forgetting=tuple(fold.forgetting), adapted=dict(fold.adapted),
        adaptations=tuple(fold.adaptations), result_step=fold.result_step,
        sample_rounds=fold.sample_rounds, asked=fold.asked,
        tokens_per_second=fold.tokens_per_second,
        elapsed_seconds=fold.elapsed_seconds, seconds_left=fold.seconds_left, error=fold.error,
        log_tail=tuple(fold.tail[-_TAIL_LINES:]), plan=fold.plan,
        # Twice the count, so that an owner's death alone is a change too.
        version=2 * count + (state == "interrupted"),
    )


def _interrupted(fold: _Fold) -> str:
    return (f"The program ended during step {fold.step + 1}. Resume continues from the last "
            "checkpoint." if fold.points else
            "The program ended before the first step. Resume starts it again.")


class _Fold:
    """The running totals of `tell`; one method per type of event."""

    def __init__(self) -> None:
        self.state = "queued"
        self.detail = "Not started yet."
        self.step = 0
        self.epoch = 0.0
        self.points: dict[int, Point] = {}
        self.evals: dict[int, float] = {}
        self.eval_measures: dict[int, dict[str, float]] = {}
        self.alarms: list[Alarm] = []
        self.scores: list[Scored] = []
        self.forgetting: list[Forgetting] = []
        self.adapted: dict[str, Any] = {}
        self.adaptations: list[tuple[int, str]] = []
        self.result_step: int | None = None
        self.sample_rounds = 0
        self.asked = ""
        self.tokens_per_second: float | None = None
        self.elapsed_seconds = 0.0
        self.seconds_left: float | None = None
        self.error: tuple[str, str] | None = None
        self.tail: list[str] = []
        self.after_state = False
        self.plan: dict[str, Any] = {}

    def on_state(self, event: dict[str, Any]) -> None:
        repeated, self.state = event["state"] == self.state, event["state"]
        self.detail = event.get("detail") or _STATE_SENTENCES.get(self.state, self.state)
        if self.state == "preparing":
            self.error, self.asked, self.result_step = None, "", None
        if self.state not in ACTIVE_STATES:
            self.seconds_left = None
            self.asked = ""
        if repeated and self.after_state:
            self.tail.pop()  # the progress of one state is one line
        # An error says more than "failed"; what took time inside a state leaves no line behind.
        if self.state != "failed" and not event.get("settled"):
            self.tail.append(self.detail)

    def on_plan(self, event: dict[str, Any]) -> None:
        self.plan = {key: value for key, value in event.items() if key not in ("type", "time")}
        self._forget_after(event.get("start_step", 0))
        self.tail += event.get("choices", [])

    def _forget_after(self, start_step: int) -> None:
        """A resumed run repeats the steps after its checkpoint; the new ones count."""
        self.points = {step: point for step, point in self.points.items() if step <= start_step}
        self.evals = {step: loss for step, loss in self.evals.items() if step <= start_step}
        self.eval_measures = {step: found for step, found in self.eval_measures.items()
                              if step <= start_step}
        self.alarms = [found for found in self.alarms if found.step <= start_step]
        self.scores = [found for found in self.scores if found.step <= start_step]
        self.forgetting = [found for found in self.forgetting if found.step <= start_step]
        self.step = start_step
        self.epoch = max((point.epoch for point in self.points.values()), default=0.0)

    def on_log(self, event: dict[str, Any]) -> None:
        point = point_of(event)
        self.points[point.step] = point
        self.step, self.epoch = point.step, point.epoch
        self.tokens_per_second = point.tokens_per_second
        self.elapsed_seconds = event.get("elapsed_seconds") or self.elapsed_seconds
        self.seconds_left = event.get("seconds_left")
        total = self.plan.get("total_steps", 0)
        speed = f", {point.tokens_per_second:.0f} tokens/s" if point.tokens_per_second else ""
        self.tail.append(f"Step {point.step}{f' of {total}' if total else ''}: "
                         f"loss {point.loss:.4f}, "
                         f"learning rate {point.learning_rate:.2e}{speed}")

    def on_eval(self, event: dict[str, Any]) -> None:
        loss = _number(event.get("loss"))
        self.evals[event["step"]] = loss
        if event.get("measures"):
            self.eval_measures[event["step"]] = event["measures"]
        rewarded = method_words(_method_of(self.plan)).is_rewarded
        self.tail.append(f"{'Mean held-out reward' if rewarded else 'Held-out loss'} after step "
                         f"{event['step']}: {-loss if rewarded else loss:.4f}")

    def on_alarm(self, event: dict[str, Any]) -> None:
        alarm = Alarm(event["kind"], event.get("level", "warning"), event["step"], event["text"],
                      event.get("hint", ""))
        self.alarms.append(alarm)
        self.tail.append(f"Alarm: {alarm.text} {alarm.hint}".rstrip())

    def on_score(self, event: dict[str, Any]) -> None:
        found = Scored(event["step"], event["scorer"], _number(event.get("value")), event["count"])
        self.scores = [*(one for one in self.scores if one.step != found.step), found]
        self.tail.append(f"Answers scored after step {found.step}: {100 * found.value:.1f} % "
                         f"by {found.scorer} over {found.count}.")

    def on_forgetting(self, event: dict[str, Any]) -> None:
        found = Forgetting(event["step"], _number(event.get("loss")),
                           _number(event.get("base_loss")))
        self.forgetting = [*(one for one in self.forgetting if one.step != found.step), found]
        self.tail.append(f"Loss on general text after step {found.step}: {found.loss:.4f}, of the "
                         f"base model {found.base_loss:.4f}.")

    def on_samples(self, event: dict[str, Any]) -> None:
        self.sample_rounds += 1
        if event.get("count"):
            self.tail.append(f"{event['count']} sample prompts answered after step "
                             f"{event['step']}, in {event['seconds']:.1f} s.")

    def on_adapted(self, event: dict[str, Any]) -> None:
        self.adapted |= event["changes"]
        self.adaptations.append((event["step"], event["text"]))
        self.tail.append(event["text"])

    def on_result(self, event: dict[str, Any]) -> None:
        self.result_step = event["step"]
        self.tail += [event["text"]] if event["text"] else []

    def on_asked(self, event: dict[str, Any]) -> None:
        self.asked = event["what"]
        self.tail.append(f"Asked to {self.asked}.")

    def on_checkpoint(self, event: dict[str, Any]) -> None:
        self.tail.append(f"Checkpoint saved at step {event['step']}.")

    def on_note(self, event: dict[str, Any]) -> None:
        prefix = "Warning: " if event.get("level") == "warning" else ""
        self.tail.append(f"{prefix}{event['text']}")

    def on_error(self, event: dict[str, Any]) -> None:
        self.error = (event["message"], event.get("hint", ""))
        self.tail.append(f"Error: {event['message']} {event.get('hint', '')}".rstrip())


def _method_of(plan: dict[str, Any]) -> str:
    return str(plan.get("method", "sft"))


def point_of(event: dict[str, Any]) -> Point:
    """The point of a `log` event."""
    return Point(
        step=event["step"], epoch=event.get("epoch") or 0.0,
        loss=_number(event.get("loss")), learning_rate=event.get("learning_rate") or 0.0,
        grad_norm=event.get("grad_norm"), tokens_per_second=event.get("tokens_per_second"),
        tokens=event.get("tokens") or 0, elapsed_seconds=event.get("elapsed_seconds") or 0.0,
        time=event.get("time") or 0.0, measures=event.get("measures") or {},
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
