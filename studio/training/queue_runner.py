"""Works the queue off, one run after the other, on a thread of its own.

Begins nothing by itself: after a restart the queue is there and waits for `run`. A run that fails
is told by its own folder and does not stop the next one.
"""

from __future__ import annotations

import threading

from studio.errors import BusyError, StudioError
from studio.runs import Run, open_run
from studio.settings import Settings
from studio.training.job import JobRunner
from studio.training.queue import Entry, Queue

_LOOK_EVERY_SECONDS = 1.0
_CLOSE_SECONDS = 60
_OVER = ("done", "failed", "cancelled")


class QueueRunner:
    """Begins the next run of the queue whenever the device is free. Safe to use from any thread."""

    def __init__(self, settings: Settings, jobs: JobRunner) -> None:
        self._settings = settings
        self._jobs = jobs
        self.queue = Queue(settings)
        self.waiting_for = ""
        """Why the next run has to wait, in a sentence; empty while nothing is in its way."""
        self.finished: list[str] = []
        """The runs that this runner has brought to an end, whatever it was, in order."""
        self.trouble: StudioError | None = None
        """Why the queue came to a halt, where that is no run's own story."""
        self._lock = threading.Lock()
        self._holding = threading.Event()
        self._holding.set()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """True while further runs will be begun."""
        return not self._holding.is_set()

    @property
    def is_working(self) -> bool:
        """True until the run at work has ended and no other will be begun."""
        return self._thread is not None and self._thread.is_alive()

    def run(self) -> None:
        """Begin the runs that wait, in order, until none is left.

        Raises BusyError while another studio works this home's queue off.
        """
        with self._lock:
            self._holding.clear()
            if self.is_working:
                return
            if not self.queue.worker.take():
                self._holding.set()
                raise BusyError("Another studio is working this queue off right now.",
                                "Hold it there first, or let it go on.")
            self.trouble = None
            self._thread = threading.Thread(target=self._work, name="queue", daemon=False)
            self._thread.start()

    def hold(self) -> None:
        """Begin no further run; the one at work goes on."""
        self._holding.set()

    def close(self) -> None:
        """Hold the queue, stop its run so that it goes on first the next time, and wait for it."""
        self._closing.set()
        self._holding.set()
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._jobs.stop()
            thread.join(_CLOSE_SECONDS)

    def wait(self, timeout_seconds: float) -> None:
        """Until the thread has ended, or so many seconds."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def _work(self) -> None:
        try:
            while self._goes_on() and self._next():
                pass
        except StudioError as error:
            self.trouble = error
        finally:
            with self._lock:
                self.waiting_for = ""
                self._holding.set()
                self.queue.worker.release()

    def _next(self) -> bool:
        """One turn; False when nothing waits."""
        entry = self.queue.take()
        if entry is None:
            return False
        run = self._begun(entry)
        if run is not None:
            while self._jobs.active is run:
                self._jobs.wait(_LOOK_EVERY_SECONDS)
            self._over(run)
        return True

    def _begun(self, entry: Entry) -> Run | None:
        """The run of `entry` at work; None where it cannot be, or the queue was held before."""
        while self._goes_on():
            try:
                run = self._jobs.begin(open_run(self._settings, entry.name),
                                       isolated=entry.isolated)
            except BusyError as error:
                self.waiting_for = str(error)
                self._holding.wait(_LOOK_EVERY_SECONDS)
            except StudioError as error:
                self.queue.notes.append(f"{entry.name} could not begin: {error}")
                self.queue.ended()
                return None
            else:
                self.waiting_for = ""
                return run
        self.waiting_for = ""
        self.queue.put_back()
        return None

    def _over(self, run: Run) -> None:
        state = run.story().state
        is_ours = self._closing.is_set() or not threading.main_thread().is_alive()
        if state == "paused" or (is_ours and state not in _OVER):
            self._holding.set()
            self.queue.put_back()
            return
        self.queue.ended()
        self.finished.append(run.name)

    def _goes_on(self) -> bool:
        return not self._holding.is_set() and threading.main_thread().is_alive()
