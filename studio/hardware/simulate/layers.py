"""Few layers instead of many: which ones to run, and what all of them would need.

A model's layers repeat after a first few that may differ. Memory at a given phase of a step (the
loss, the backward pass of the second layer from the end, ...) grows by the same bytes with every
repetition, so two short runs give the whole exactly.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from studio.hardware.simulate.counting import Phase
from studio.hardware.simulate.step import StepPeaks
from studio.models.shape import ModelShape

FEWEST_LAYERS = 3
"""First, last and one between: the ends of a step differ from its middle."""
_LAYER = re.compile(r"^(.*?\.)(\d+)(\..*)$")


@dataclass(frozen=True)
class Pattern:
    """`first` layers that stand alone, then `period` that repeat, over `layers` in all."""

    layers: int
    first: int
    period: int

    def short_runs(self) -> tuple[int, int] | None:
        """Numbers of layers to run instead of all; None where all are as few."""
        tail = (self.layers - self.first) % self.period
        fewest = self.first + tail + self.period
        while fewest < max(FEWEST_LAYERS, self.first + 2):
            fewest += self.period
        if fewest + self.period >= self.layers:
            return None
        return fewest, fewest + self.period


def pattern_of(shape: ModelShape, config: Any) -> Pattern:
    """How the layers of a model repeat, by their parameters and their kinds of attention."""
    kinds = _kinds(shape, config)
    count = len(kinds)
    for repeated in range(1, count + 1):
        for first in range(count - repeated + 1):
            body = kinds[first:]
            if all(kind == body[place % repeated] for place, kind in enumerate(body)):
                if first + repeated * 2 <= count:
                    return Pattern(count, first, repeated)
                break
    return Pattern(count, 0, max(count, 1))


def _kinds(shape: ModelShape, config: Any) -> list[tuple[Any, ...]]:
    """One value per layer; equal values mean layers alike."""
    tensors: dict[int, list[tuple[str, tuple[int, ...]]]] = {}
    for path, size in shape.tensors.items():
        found = _LAYER.match(path)
        if found:
            tensors.setdefault(int(found[2]), []).append((found[3], size))
    text = config.get_text_config()
    names = [value for value in vars(text).values()
             if isinstance(value, list) and len(value) == shape.layers]
    return [(tuple(sorted(tensors.get(number, ()))), *(str(value[number]) for value in names))
            for number in range(shape.layers)]


def whole(shorter: StepPeaks, longer: StepPeaks, pattern: Pattern) -> dict[Phase, Counter[str]]:
    """Bytes by kind at the peak of each phase, with all layers.

    Phases of layers are matched from both ends; those between lie between them.
    """
    step = longer.layers - shorter.layers
    times = (pattern.layers - shorter.layers) / step
    long_phases = _by_ends(longer)
    return {phase: _extended(kinds, long_phases[phase], times)
            for phase, kinds in _by_ends(shorter).items() if phase in long_phases}


def _extended(short: Mapping[str, int], long: Mapping[str, int], times: float) -> Counter[str]:
    return Counter({kind: round(short.get(kind, 0)
                                + (long.get(kind, 0) - short.get(kind, 0)) * times)
                    for kind in {*short, *long}})


def _by_ends(peaks: StepPeaks) -> dict[Phase, Counter[str]]:
    """Phases of layers counted from the nearer end: 0, 1, ... and -1, -2, ..."""
    found = {}
    for (name, number), kinds in peaks.phases.items():
        if name not in ("forward", "backward"):
            found[name, 0] = kinds
            continue
        found[f"{name} from the start", number] = kinds
        found[f"{name} from the end", number - peaks.layers] = kinds
    return found
