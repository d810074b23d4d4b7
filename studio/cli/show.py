"""How the command line draws: consoles, tables, and one progress bar for any `Progress`.

Plain characters only, so that every Windows console can show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from studio.files import readable_bytes
from studio.progress import Progress as Reports
from studio.progress import Step

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def table(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; cells are plain text."""
    drawn = Table(title=title, box=box.ASCII2, title_justify="left", header_style="bold")
    for header in headers:
        drawn.add_column(header, overflow="fold")
    for row in rows:
        drawn.add_row(*(escape(cell) for cell in row))
    console.print(drawn)


@contextmanager
def bar() -> Iterator[Reports]:
    """Progress on standard error; gives the callable that moves it.

    On a terminal a new `what` starts a new bar, so that finished work stays readable above. In a
    file or a pipe every new `what`, and every tenth of it, is a line of its own.
    """
    if not errors.is_terminal:
        yield _Lines().move
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24),
               TextColumn("{task.fields[amount]}"), TimeElapsedColumn())
    with Progress(*columns, console=errors) as drawn:
        bars = _Bars(drawn)
        yield bars.move
        bars.finish()


class _Bars:
    """One bar for each thing that was worked on."""

    def __init__(self, drawn: Progress) -> None:
        self._drawn = drawn
        self._bars: dict[str, TaskID] = {}

    def move(self, step: Step) -> None:
        if step.what not in self._bars:
            self.finish()
            self._bars[step.what] = self._drawn.add_task(escape(step.what), total=None, amount="")
        self._drawn.update(self._bars[step.what], total=step.total, completed=step.done,
                           amount=amount(step))

    def finish(self) -> None:
        for task in self._drawn.tasks:
            self._drawn.update(task.id, total=task.total or 1, completed=task.total or 1)


class _Lines:
    """Plain lines, few enough to read in a log."""

    def __init__(self) -> None:
        self._last: tuple[str, int] | None = None

    def move(self, step: Step) -> None:
        tenth = int(10 * (step.fraction or 0))
        if (step.what, tenth) != self._last:
            self._last = (step.what, tenth)
            errors.print(escape(f"{step.what} {amount(step)}".rstrip()), soft_wrap=True)


def amount(step: Step) -> str:
    """'12 of 40 steps', '3.2 MB of 98.4 MB', or nothing where it is unknown."""
    if step.unit == "bytes":
        done = readable_bytes(step.done)
        return f"{done} of {readable_bytes(step.total)}" if step.total else done
    if not step.total:
        return f"{step.done:,.0f} {step.unit}".strip() if step.done else ""
    return f"{step.done:,.0f} of {step.total:,.0f} {step.unit}".strip()


def duration(seconds: float | None) -> str:
    """3725 -> '1 h 02 min', 65 -> '1 min 05 s', 9 -> '9 s'."""
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
