"""Carries out a plan: writes each format in order, and asks each whether it answers alike.

The whole model is made once for all formats that are made of it; where nobody asked for it, it
lies under a passing name and is deleted at the end. What is finished stays when a later format
fails or is stopped.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from studio.errors import DiskError, ExportError, Stopped, StudioError
from studio.export.door import Door, Work
from studio.export.doors import MERGED
from studio.export.output import Written, end_if_stopped
from studio.export.plan import Plan, Stage
from studio.export.verify import Verification
from studio.files import (
    PARTIAL,
    disk_errors_told,
    remove_leftovers,
    require_free_bytes,
)
from studio.progress import Progress, ShouldStop, never, silent


@dataclass(frozen=True)
class Made:
    """How one format ended: what was written and how it answers, or message and hint of why not.

    With both `written` and `problem` it is there, and could not be checked.
    """

    door: Door
    output: Path
    written: Written | None = None
    verification: Verification | None = None
    problem: tuple[str, str] | None = None


Told = Callable[[Made], None]


def nobody(made: Made) -> None:
    """Hears of a format that has ended, and tells no one."""


@dataclass(frozen=True)
class Way:
    """How a plan is carried out: `check` asks each format the same as the model in training,
    `overwrite` replaces earlier exports."""

    check: bool = True
    overwrite: bool = False


def run_plan(plan: Plan, way: Way, *, progress: Progress = silent, stop: ShouldStop = never,
             tell: Told = nobody) -> tuple[Made, ...]:
    """Write everything in order; `tell` hears of each format as it ends.

    One that fails is told, and the next one is written. Raises what `require_possible` does,
    Stopped, and what keeps the whole model from being made.
    """
    require_possible(plan, way)
    _make_folder(plan.subject.settings.exports)
    return _Chain(plan, way, progress, stop, tell).run()


def _make_folder(exports: Path) -> None:
    """The exports folder, without what work that was broken off has left in it."""
    try:
        exports.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"The folder {exports} cannot be made: {error.strerror}.",
                        "Move away what is in its place, or start the studio with another --home."
                        ) from error
    remove_leftovers(exports)


def require_possible(plan: Plan, way: Way) -> None:
    """Raise ExportError where a place is taken or a format is closed to this model, and DiskError
    where there is no room for the whole chain."""
    for stage in plan.stages:
        if stage.why_not:
            raise ExportError(f"{stage.door.label} cannot be written: {stage.why_not}",
                              "Take this format out of the choice.")
    if plan.taken and not way.overwrite:
        names = ", ".join(stage.output.name for stage in plan.taken)
        raise ExportError(f"There are exports of this name already: {names}.",
                          "Choose another name, or allow them to be replaced (--overwrite).")
    require_free_bytes(plan.subject.settings.exports, plan.needed_bytes, "The export")


class _Chain:
    """One pass through a plan."""

    def __init__(self, plan: Plan, way: Way, progress: Progress, stop: ShouldStop,
                 tell: Told) -> None:
        self._plan, self._way = plan, way
        self._progress, self._stop, self._tell = progress, stop, tell
        self._live: Any = None

    def run(self) -> tuple[Made, ...]:
        made: list[Made] = []
        with self._passing_model() as passing:
            model = passing or self._plan.model
            for _, family in groupby(self._plan.stages, _family):
                end_if_stopped(self._stop)
                for one in self._make(tuple(family), len(made), model):
                    made.append(one)
                    self._tell(one)
                    if one.door is MERGED and one.written is not None:
                        model = one.output
        return tuple(made)

    def _make(self, stages: tuple[Stage, ...], done: int, model: Path | None) -> Iterator[Made]:
        """Write what is written in one go, then check each. Only a stop, and a merge that others
        wait for, end the whole chain."""
        outputs = {stage.door.key: stage.output for stage in stages}
        told = self._told(done, [stage.door.label for stage in stages])
        try:
            exports = self._plan.subject.settings.exports
            with disk_errors_told(exports, stages[0].door.label):
                written = self._write(stages[0].door, outputs, model, told)
        except Stopped:
            raise
        except StudioError as error:
            if MERGED.key in outputs and self._others_need_model:
                raise
            for stage in stages:
                yield Made(stage.door, stage.output, problem=(error.message, error.hint))
            return
        for number, (stage, one) in enumerate(zip(stages, written, strict=True)):
            made = Made(stage.door, stage.output, one)
            if self._way.check and stage.door.is_checked:
                made = self._check(made, self._told(done + number, [stage.door.label]))
            yield made

    def _check(self, made: Made, told: Progress) -> Made:
        from studio.export.verify import live_reference, verify

        subject = self._plan.subject
        asked: dict[str, Any] = {"progress": told, "stop": self._stop}
        try:
            # The model in training is loaded and asked once for all formats.
            self._live = self._live or live_reference(subject.origin, subject.settings, **asked)
            found = verify(made.output, subject.origin, subject.settings, reference=self._live,
                           **asked)
        except Stopped:
            raise
        except StudioError as error:
            return replace(made, problem=(error.message, error.hint))
        return replace(made, verification=found)

    def _write(self, door: Door, outputs: Mapping[str, Path], model: Path | None,
               told: Progress) -> Sequence[Written]:
        """`door` is the only one, or any of the family: each writes all of it."""
        plan = self._plan
        work = Work(plan.subject, model or plan.subject.origin.path, plan.name, outputs,
                    self._way.overwrite, told, self._stop)
        return door.write(work)

    def _told(self, done: int, labels: list[str]) -> Progress:
        """Progress that says of which format it is, and how many have ended."""
        place = f"{done + 1} of {len(self._plan.stages)}, {', '.join(labels)}: "
        return lambda step: self._progress(replace(step, what=f"{place}{step.what}"))

    @property
    def _others_need_model(self) -> bool:
        return any(stage.door.needs_model for stage in self._plan.stages)

    @contextmanager
    def _passing_model(self) -> Iterator[Path | None]:
        """The merge that nobody wants to keep, if one is needed: gone when the block ends."""
        if not self._plan.passing_model_bytes:
            yield None
            return
        exports = self._plan.subject.settings.exports
        around = exports / f"{PARTIAL}{uuid.uuid4().hex[:8]}"
        try:
            with disk_errors_told(exports, "The merged model"):
                around.mkdir()
                # By its own name: a GGUF is called after the folder that it is made of.
                output = {MERGED.key: around / self._plan.name}
                (made,) = self._write(MERGED, output, None, self._progress)
            yield made.path
        finally:
            shutil.rmtree(around, ignore_errors=True)


def _family(stage: Stage) -> str:
    return stage.door.family or stage.door.key
