"""One long piece of work at a time that a page starts and no page owns: a merge, an export.

The work runs on a thread of the program, holds the device for its length, and reports into a
snapshot that any page may read: closing or reloading a page changes nothing. Training has its
own runner; this is for everything else.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from studio.arbiter import Arbiter, Holder
from studio.errors import BusyError, Stopped, StudioError
from studio.progress import Progress, ShouldStop, Step

State = Literal["idle", "running", "stopping", "done", "stopped", "failed"]
Work = Callable[[Progress, ShouldStop], Any]


@dataclass(frozen=True)
class TaskView:
    """What is known of the latest piece of work. `version` grows with every change."""

    state: State = "idle"
    title: str = ""
    step: Step | None = None
    result: Any = None
    error: tuple[str, str] | None = None
    started_seconds: float = 0.0
    ended_seconds: float = 0.0
    version: int = 0

    @property
    def is_active(self) -> bool:
        """True while the thread works."""
        return self.state in ("running", "stopping")

    @property
    def elapsed_seconds(self) -> float:
        """How long it took, or has taken so far."""
        if not self.started_seconds:
            return 0.0
        return (self.ended_seconds or time.time()) - self.started_seconds


class Tasks:
    """Runs one piece of work on a thread of its own; the next one waits for nobody: BusyError.

    `tab` is where the page shows it.
    """

    def __init__(self, arbiter: Arbiter, tab: str = "Export") -> None:
        self._arbiter = arbiter
        self._tab = tab
        self._lock = threading.Lock()
        self._view = TaskView()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def snapshot(self) -> TaskView:
        """The latest piece of work as it is now; never waits for it."""
        with self._lock:
            return self._view

    def start(self, title: str, work: Work) -> None:
        """Run `work(progress, stop)` in the background.

        `title` reads as a sentence's beginning ("Merging orders-2"). Raises BusyError when
        another piece of work, a training run, or an answering chat holds the device.
        """
        holder = Holder(title, f"Wait until it is done, or press Stop on the {self._tab} tab.")
        with self._lock:
            if self._view.is_active:
                raise BusyError(f"{self._view.title} is still at work.", holder.how_to_free)
            self._arbiter.acquire(holder)
            self._stop.clear()
            self._view = TaskView("running", title, started_seconds=time.time(),
                                  version=self._view.version + 1)
            self._thread = threading.Thread(
                target=self._run, args=(holder, work), name="studio-task", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Ask the work to end soon; it leaves nothing half-written."""
        with self._lock:
            if self._view.state == "running":
                self._stop.set()
                self._change(state="stopping")

    def wait(self, timeout_seconds: float | None = None) -> TaskView:
        """The snapshot after the work ended, or after the timeout."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_seconds)
        return self.snapshot()

    def _run(self, holder: Holder, work: Work) -> None:
        """Whatever happens, the device comes back and the page learns how it ended."""
        ending: dict[str, Any] = {"state": "failed"}
        try:
            ending = {"state": "done", "result": work(self._report, self._stop.is_set)}
        except Stopped:
            ending = {"state": "stopped"}
        except StudioError as error:
            ending["error"] = (error.message, error.hint)
        finally:
            # A mistake in the program passes through to the terminal; the page names it.
            mistake = sys.exception()
            if mistake is not None:
                ending["error"] = (f"{type(mistake).__name__}: {mistake}",
                                   "The details are in the terminal window.")
            self._arbiter.release(holder)
            with self._lock:
                self._change(ended_seconds=time.time(), **ending)

    def _report(self, step: Step) -> None:
        with self._lock:
            self._change(step=step)

    def _change(self, **changes: Any) -> None:
        self._view = replace(self._view, version=self._view.version + 1, **changes)
