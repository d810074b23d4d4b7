"""Lays runs over one another: curves on a common axis, the fields in which recipes differ, figures.

Pure: works on stories, recipes, and recorded samples handed in. Reads no file and draws nothing.
"""

from __future__ import annotations

import bisect
import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from studio.errors import RunError
from studio.measures import MEASURES, SHOWN, Measure
from studio.recipe import Recipe, form_fields, form_from_recipe, is_used
from studio.recipe.usual import usual_values
from studio.story import Point, Story

By = Literal["step", "token", "time"]
"""What a curve runs along: optimizer steps, tokens trained on, or seconds of training."""

MISSING = "–"
_BY_COLUMN = {"step": "step", "token": "tokens", "time": "seconds"}


class Sampled(Protocol):
    """The part of a telemetry sample that is compared. `time` is Unix time in seconds."""

    @property
    def time(self) -> float: ...
    @property
    def cpu_percent(self) -> float: ...
    @property
    def rss_bytes(self) -> int: ...
    @property
    def gpu_used_bytes(self) -> int | None: ...
    @property
    def gpu_utilization_percent(self) -> int | None: ...


@dataclass(frozen=True)
class Metric:
    """One thing that runs are compared in: by step from the story, or over time from samples."""

    name: str
    label: str
    unit: str = ""
    of_story: Callable[[Story], Iterable[tuple[int, float]]] | None = None
    of_sample: Callable[[Sampled], float | None] | None = None


def _of_points(take: Callable[[Point], float | None]) -> Callable[[Story], list[tuple[int, float]]]:
    def values(story: Story) -> list[tuple[int, float]]:
        found = ((point.step, take(point)) for point in story.points)
        return [(step, value) for step, value in found if value is not None]

    return values


def perplexity(loss: float) -> float:
    """exp(loss): between how many equally likely tokens the model hesitates. Infinite if huge."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf


def gigabytes(count: int | None) -> float | None:
    """Bytes in decimal gigabytes, None where they are not known."""
    return None if count is None else count / 1e9


def _of_measure(measure: Measure, *, held_out: bool) -> Metric:
    """What a method measures beside its loss, shares in percent; `held_out` at evaluations."""
    name, scale = measure.name, 100 if measure.is_share else 1

    def values(story: Story) -> list[tuple[int, float]]:
        found = story.eval_measures if held_out else [
            (point.step, point.measures) for point in story.points]
        return [(step, scale * one[name]) for step, one in found if name in one]

    unit = "%" if measure.is_share else ""
    if held_out:
        return Metric(f"eval_{name}", f"{measure.label}, held out", unit, of_story=values)
    return Metric(name, measure.label, unit, of_story=values)


_ALL = (
    Metric("loss", "Loss", of_story=_of_points(lambda point: point.loss)),
    Metric("eval_loss", "Held-out loss", of_story=lambda story: story.evals),
    Metric("perplexity", "Held-out perplexity", of_story=lambda story: [
        (step, perplexity(loss)) for step, loss in story.evals if story.has_perplexity]),
    Metric("learning_rate", "Learning rate",
           of_story=_of_points(lambda point: point.learning_rate)),
    Metric("grad_norm", "Gradient norm", of_story=_of_points(lambda point: point.grad_norm)),
    Metric("tokens_per_second", "Tokens per second",
           of_story=_of_points(lambda point: point.tokens_per_second)),
    Metric("score", "Score of the answers", "%", of_story=lambda story: [
        (found.step, 100 * found.value) for found in story.scores]),
    Metric("forgetting", "Loss on general text, above the base model", "%",
           of_story=lambda story: [
               (found.step, 100 * found.rise) for found in story.forgetting
               if found.rise is not None]),
    *(_of_measure(measure, held_out=False) for measure in MEASURES.values()),
    *(_of_measure(measure, held_out=True) for measure in MEASURES.values()),
    Metric("gpu_memory", "GPU memory in use", "GB",
           of_sample=lambda sample: gigabytes(sample.gpu_used_bytes)),
    Metric("gpu_load", "GPU busy", "%", of_sample=lambda sample: sample.gpu_utilization_percent),
    Metric("memory", "Memory of the program", "GB",
           of_sample=lambda sample: gigabytes(sample.rss_bytes)),
    Metric("cpu_load", "Processor busy", "%", of_sample=lambda sample: sample.cpu_percent),
)
METRICS = {metric.name: metric for metric in _ALL}


def metrics_of(methods: Iterable[str]) -> list[Metric]:
    """Those that runs of these training methods can have, in order."""
    measured = {name for method in methods for name in SHOWN.get(method, ())}
    return [metric for metric in _ALL if metric.name.removeprefix("eval_") not in MEASURES
            or metric.name.removeprefix("eval_") in measured]


def metric_named(name: str) -> Metric:
    """The metric of that name. Raises RunError listing all of them if there is none."""
    if name not in METRICS:
        raise RunError(f"There is no metric named {name!r}.",
                       f"Choose one of {', '.join(METRICS)}.")
    return METRICS[name]


def series(
    story: Story, samples: Sequence[Sampled], metric: str, by: By = "step"
) -> tuple[list[float], list[float]]:
    """x and y of one curve, x rising: steps, tokens, or seconds of training without pauses.

    A loss that was no number stays NaN. Empty where the run has no such values, or where it was
    recorded without what `by` asks for. Raises RunError for an unknown metric.
    """
    wanted = metric_named(metric)
    clock = _Clock(story, by)
    if wanted.of_sample is not None:
        pairs = [(clock.at_time(sample.time), wanted.of_sample(sample)) for sample in samples]
    else:
        assert wanted.of_story is not None
        pairs = [(clock.at_step(step), value) for step, value in wanted.of_story(story)]
    known = [(x, float(y)) for x, y in pairs if x is not None and y is not None]
    return [x for x, _ in known], [y for _, y in known]


class _Clock:
    """Where on the axis a step or a moment lies, between the points that were logged."""

    def __init__(self, story: Story, by: By) -> None:
        points = story.points
        self._steps = [0, *(point.step for point in points)]
        self._x = [0.0, *(_position(point, by) for point in points)]
        self._elapsed = [0.0, *(point.elapsed_seconds for point in points)]
        self._times = [point.time for point in points]
        self._is_step = by == "step"
        self._is_known = self._is_step or self._x[-1] > 0

    def at_step(self, step: int) -> float | None:
        """Steps after the last logged one lie where that one does."""
        if self._is_step:
            return float(step)
        if not self._is_known:
            return None
        after = bisect.bisect_left(self._steps, step)
        if after == len(self._steps):
            return self._x[-1]
        if self._steps[after] == step:
            return self._x[after]
        span = self._steps[after] - self._steps[after - 1]
        return self._between(after, (step - self._steps[after - 1]) / span)

    def at_time(self, time_seconds: float) -> float | None:
        """None while nothing was trained: before the first step, in a pause, after the end."""
        after = bisect.bisect_left(self._times, time_seconds) + 1
        if not self._is_known or after == len(self._x):
            return None
        # What was trained up to a log took the seconds right before it, whatever lay before them.
        seconds = self._elapsed[after] - self._elapsed[after - 1]
        before_log = self._times[after - 1] - time_seconds
        if seconds <= 0 or before_log > seconds:
            return None
        return self._between(after, 1 - before_log / seconds)

    def _between(self, after: int, fraction: float) -> float:
        return self._x[after - 1] + fraction * (self._x[after] - self._x[after - 1])


def _position(point: Point, by: By) -> float:
    if by == "token":
        return float(point.tokens)
    return point.elapsed_seconds if by == "time" else float(point.step)


@dataclass(frozen=True)
class Difference:
    """A field of the recipe that is not the same in all runs. `values` are as a form shows them."""

    key: str
    label: str
    values: dict[str, str]


def differences(
    recipes: Mapping[str, Recipe | None], adapted: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Difference]:
    """The fields in which the recipes of runs differ, in the order of the recipe.

    A recipe that cannot be read is None and shows a dash everywhere, and so does every recipe for
    what it makes no use of. `adapted` holds, by run, what
    memory forced a run to change (`Story.adapted`); both values are shown.
    """
    shown = {name: _shown(recipe, (adapted or {}).get(name, {}))
             for name, recipe in recipes.items()}
    found = []
    for field in form_fields():
        values = {name: texts.get(field.key, MISSING) for name, texts in shown.items()}
        if len({text for name, text in values.items() if shown[name]}) > 1:
            found.append(Difference(field.key, field.label, values))
    return found


def _shown(recipe: Recipe | None, adapted: Mapping[str, Any]) -> dict[str, str]:
    if recipe is None:
        return {}
    usual = usual_values(recipe)
    texts = {key: usual[key] if value == "" and key in usual else value_text(value)
             for key, value in form_from_recipe(recipe).items() if is_used(key, recipe)}
    changed = {key: f"{value_text(value)} (for memory; {texts[key]} in the recipe)"
               for key, value in adapted.items()
               if key in texts and value_text(value) != texts[key]}
    return {**texts, **changed}


def value_text(value: Any) -> str:
    """A value of a recipe as a person reads it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) or MISSING


@dataclass(frozen=True)
class Summary:
    """A run in figures. Losses are None before they were measured, `best` is (step, loss); None
    where the run is rewarded and its loss says nothing."""

    name: str
    state: str
    method: str
    step: int
    total_steps: int
    first_loss: float | None
    last_loss: float | None
    best: tuple[int, float] | None
    score: float | None
    """Last score of the answers, 0 to 1."""
    measures: dict[str, float]
    """What the method measured last beside its loss, held out where it was evaluated."""
    elapsed_seconds: float
    tokens: int
    tokens_per_second: float | None
    """Over all of the training, evaluations included."""
    peak_gpu_bytes: int | None
    peak_rss_bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not finite is None."""
        values = dict(vars(self))
        values["best"] = None if self.best is None else dict(zip(("step", "loss"), self.best,
                                                                 strict=True))
        return {key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in values.items()}


def summary(story: Story, samples: Sequence[Sampled] = ()) -> Summary:
    """The figures of one run; the peaks are of the samples handed in."""
    points = story.points
    tokens = points[-1].tokens if points else 0
    return Summary(
        story.name, story.state, story.method, story.step, story.total_steps,
        points[0].loss if points else None, points[-1].loss if points else None,
        None if story.is_rewarded else story.best,
        story.scores[-1].value if story.scores else None, _last_measures(story),
        story.elapsed_seconds, tokens,
        tokens / story.elapsed_seconds if tokens and story.elapsed_seconds else None,
        max((sample.gpu_used_bytes for sample in samples if sample.gpu_used_bytes is not None),
            default=None),
        max((sample.rss_bytes for sample in samples), default=None),
    )


def _last_measures(story: Story) -> dict[str, float]:
    logged = story.points[-1].measures if story.points else {}
    return {**logged, **(story.eval_measures[-1][1] if story.eval_measures else {})}


def points_csv(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], titles: Mapping[str, str],
    metric: str, by: By,
) -> str:
    """Every point of every curve, one a line, unsmoothed; a loss that was no number is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "title", _BY_COLUMN[by], metric_named(metric).name])
    for name, (xs, ys) in curves.items():
        for x, y in zip(xs, ys, strict=True):
            writer.writerow([name, titles[name], f"{x:.12g}", repr(y) if math.isfinite(y) else ""])
    return text.getvalue()
