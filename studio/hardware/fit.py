"""Make it fit: the fewest and mildest changes with which a recipe fits a device, with headroom.

With headroom means that even the high end of the estimate is within the free memory. Steps are
taken in the order of `fit_steps.py` until it fits; then each that turns out unnecessary is taken
back, the most painful first, so that no change could be left out. Computes only; milliseconds.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from studio.hardware.fit_steps import STEPS, Situation, Step, Values
from studio.hardware.memory import Estimate, estimate
from studio.hardware.workload import UNKNOWN, Examples
from studio.recipe import form_fields

if TYPE_CHECKING:
    from studio.device import Device
    from studio.models.shape import ModelShape
    from studio.recipe import Recipe

LENGTH = "data.max_length"


@dataclass(frozen=True)
class Change:
    """One setting that has to change, with what moves along so that the rest stays as it was.

    `saved_bytes` is counted on top of the changes before it; together they are the difference
    between before and after.
    """

    key: str
    old: Any
    new: Any
    why: str
    saved_bytes: int
    along: tuple[tuple[str, Any, Any], ...] = ()

    @property
    def label(self) -> str:
        """The setting as forms call it."""
        return setting_label(self.key)

    @property
    def values(self) -> Values:
        """All dotted keys with their new values."""
        return {self.key: self.new, **{key: new for key, _, new in self.along}}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"key": self.key, "old": self.old, "new": self.new, "why": self.why,
                "saved_bytes": self.saved_bytes,
                "along": [{"key": key, "old": old, "new": new} for key, old, new in self.along]}


@dataclass(frozen=True)
class Fit:
    """What was found. Where nothing fits, `recipe` is the leanest one, and does not fit either."""

    recipe: Recipe
    changes: tuple[Change, ...]
    before: Estimate
    after: Estimate
    free_bytes: int

    @property
    def fits(self) -> bool:
        """Whether even the high end of the changed recipe's estimate is free."""
        return self.after.high_bytes <= self.free_bytes

    @property
    def fitted_already(self) -> bool:
        """Whether it was so before any change."""
        return self.before.high_bytes <= self.free_bytes

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "fits": self.fits, "fitted_already": self.fitted_already,
            "free_bytes": self.free_bytes,
            "changes": [change.to_dict() for change in self.changes],
            "before": self.before.to_dict(self.free_bytes),
            "after": self.after.to_dict(self.free_bytes),
            "recipe": self.recipe.model_dump(mode="json"),
        }


def make_fit(
    recipe: Recipe, shape: ModelShape, device: Device, free_bytes: int, *,
    examples: Examples = UNKNOWN,
    has_bitsandbytes: bool | None = None, keep: Collection[str] = (),
) -> Fit:
    """`recipe` changed so that it fits into `free_bytes` of `device`, as little as possible.

    `examples` is what the estimate may count on. `keep` names
    dotted keys that must not change. `has_bitsandbytes` is looked up where not given. Raises
    ModelError for target modules that the model does not have.
    """
    situation = _situation(recipe, shape, device, examples, has_bitsandbytes)
    ladder = _Ladder(situation, free_bytes, keep)
    ladder.climb()
    ladder.step_back()
    before = ladder.estimate_at(ladder.ground)
    return Fit(ladder.recipe_at(ladder.levels), _changes(ladder), before,
               ladder.estimate_at(ladder.levels), free_bytes)


def least_bytes(
    recipe: Recipe, shape: ModelShape, device: Device, *, examples: Examples = UNKNOWN,
    has_bitsandbytes: bool | None = None, keep: Collection[str] = (),
) -> int:
    """What must be free so that `make_fit` finds something: the high end after every step."""
    ladder = _Ladder(_situation(recipe, shape, device, examples, has_bitsandbytes), 0, keep)
    ladder.climb()
    return ladder.estimate_at(ladder.levels).high_bytes


def with_cut_share(fit: Fit, cut_share: Callable[[Recipe], float | None]) -> Fit:
    """`fit` telling which share of the person's own examples a shorter length would cut.

    `cut_share` is asked with the changed recipe, and only where the length changed: it may have
    to read the data. It gives a share from 0 to 1, or None where that is unknown.
    """
    shorter = next((change for change in fit.changes if change.key == LENGTH), None)
    share = cut_share(fit.recipe) if shorter else None
    if shorter is None or share is None:
        return fit
    shown = f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else "less than 1 %"
    told = replace(shorter, why=f"{shorter.why} That is {shown} of your examples.")
    return replace(fit, changes=tuple(told if change is shorter else change
                                      for change in fit.changes))


def _situation(
    recipe: Recipe, shape: ModelShape, device: Device, examples: Examples,
    has_bitsandbytes: bool | None,
) -> Situation:
    if has_bitsandbytes is None:
        has_bitsandbytes = device.kind != "mps" and bitsandbytes_installed()
    return Situation(recipe, shape, device, has_bitsandbytes, examples)


def setting_label(key: str) -> str:
    """What forms call the setting of a dotted key."""
    return next((field.label for field in form_fields() if field.key == key), key)


def setting_text(value: Any) -> str:
    """A value as forms show it: True -> 'on'."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def bitsandbytes_installed() -> bool:
    """Whether 8-bit and 4-bit are there at all; found without importing, which takes seconds."""
    return importlib.util.find_spec("bitsandbytes") is not None


Levels = tuple[int, ...]
"""For each step how far it is taken: 0 not at all, 1 its mildest values, and so on."""


class _Ladder:
    """The search: steps with their rungs, how far each is taken, and what that would need."""

    def __init__(self, situation: Situation, free_bytes: int, keep: Collection[str]) -> None:
        self.situation = situation
        self.free_bytes = free_bytes
        self.steps: list[Step] = []
        self.rungs: list[list[Values]] = []
        kept = set(keep)
        for step in STEPS:
            rungs = [values for values in step.rungs(situation) if not kept & values.keys()]
            if rungs:
                self.steps.append(step)
                self.rungs.append(rungs)
        self.ground: Levels = (0,) * len(self.steps)
        self.levels = self.ground
        self._known: dict[Levels, Estimate] = {}

    def climb(self) -> None:
        """Take steps in order until it fits; each as far as needed, or as far as it helps.

        Again and again while that helps: a step may bring something only after a later one, once
        another moment is the peak.
        """
        before: Levels | None = None
        while self.levels != before and not self.fits(self.levels):
            before = self.levels
            for place in range(len(self.rungs)):
                self._climb_step(place)

    def _climb_step(self, place: int) -> None:
        if self.fits(self.levels):
            return
        tried = [self._moved(place, level)
                 for level in range(self.levels[place] + 1, len(self.rungs[place]) + 1)]
        fitting = next((levels for levels in tried if self.fits(levels)), None)
        self.levels = fitting or min([self.levels, *tried], key=self._high)

    def step_back(self) -> None:
        """Take back what is not needed, wholly or in part, until nothing more can be."""
        moved = self.fits(self.levels)
        while moved:
            moved = False
            for place in reversed(range(len(self.levels))):
                milder = (self._moved(place, level) for level in range(self.levels[place]))
                found = next((levels for levels in milder if self.fits(levels)), None)
                if found is not None:
                    self.levels, moved = found, True

    def fits(self, levels: Levels) -> bool:
        return self._high(levels) <= self.free_bytes

    def _high(self, levels: Levels) -> int:
        return self.estimate_at(levels).high_bytes

    def _moved(self, place: int, level: int) -> Levels:
        return (*self.levels[:place], level, *self.levels[place + 1:])

    def values_at(self, levels: Levels) -> Values:
        found: Values = {}
        for rungs, level in zip(self.rungs, levels, strict=True):
            found |= rungs[level - 1] if level else {}
        return found

    def recipe_at(self, levels: Levels) -> Recipe:
        values = self.values_at(levels)
        return self.situation.recipe.with_values(values) if values else self.situation.recipe

    def estimate_at(self, levels: Levels) -> Estimate:
        if levels not in self._known:
            self._known[levels] = estimate(
                self.recipe_at(levels), self.situation.shape, self.situation.device,
                free_bytes=self.free_bytes, examples=self.situation.examples)
        return self._known[levels]


def _changes(ladder: _Ladder) -> tuple[Change, ...]:
    """What differs from the recipe, in the order of the steps."""
    old = ladder.situation.recipe.model_dump(mode="json")
    found = []
    reached = ladder.ground
    for place, level in enumerate(ladder.levels):
        if not level:
            continue
        before = ladder.estimate_at(reached)
        reached = (*reached[:place], level, *reached[place + 1:])
        values = ladder.rungs[place][level - 1]
        (key, new), *rest = values.items()
        found.append(Change(
            key, _value(old, key), new, ladder.steps[place].why(ladder.situation, values),
            before.total_bytes - ladder.estimate_at(reached).total_bytes,
            tuple((other, _value(old, other), value) for other, value in rest)))
    return tuple(found)


def _value(tree: dict[str, Any], dotted: str) -> Any:
    section, _, name = dotted.partition(".")
    return tree[section][name]
