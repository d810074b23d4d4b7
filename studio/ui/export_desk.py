"""The export that is at work, or was at work last: any page starts it, and none owns it.

Keeps what each format became, so that a page that is opened later shows the same. What was written
before the program started is read from the exports folder instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.progress import Progress, ShouldStop
from studio.ui.tasks import Tasks, TaskView, Work

if TYPE_CHECKING:
    from studio.export.chain import Made, Way
    from studio.export.plan import Plan


@dataclass(frozen=True)
class Exporting:
    """A moment of an export: the labels of all its formats in order, and those that have ended."""

    task: TaskView
    labels: tuple[str, ...] = ()
    made: tuple[Made, ...] = ()


class ExportDesk:
    """Starts exports on a thread. Every method may be called from any thread."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._last: tuple[Plan | None, list[Made]] = (None, [])

    def start(self, plan: Plan, way: Way) -> None:
        """Begin. Raises BusyError while something else holds the device, ExportError and DiskError
        for what cannot end well."""
        from studio.export.chain import require_possible

        require_possible(plan, way)
        made: list[Made] = []

        def work(progress: Progress, stop: ShouldStop) -> None:
            from studio.export.chain import run_plan

            run_plan(plan, way, progress=progress, stop=stop, tell=made.append)

        self._tasks.start(f"Exporting {plan.name}", work)
        self._last = (plan, made)

    def begin(self, title: str, work: Work) -> None:
        """Begin other work with an export. Raises BusyError."""
        self._tasks.start(title, work)
        self._last = (None, [])

    def stop(self) -> None:
        """Ask it to end soon; finished formats stay."""
        self._tasks.stop()

    def wait(self, seconds: float | None = None) -> Exporting:
        """How it stands after it has ended, or after so long."""
        self._tasks.wait(seconds)
        return self.snapshot()

    def snapshot(self) -> Exporting:
        """How it stands now; never waits."""
        task = self._tasks.snapshot()
        plan, made = self._last
        labels = tuple(stage.door.label for stage in plan.stages) if plan else ()
        return Exporting(task, labels, tuple(made))
