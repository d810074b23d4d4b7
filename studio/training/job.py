"""The one training job of a program: a thread that trains, and the handles to start and stop it.

Started by the page or the command line and owned by neither. What happened lies in the run
folder; a failed run is recorded there, not raised here.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from studio.arbiter import Arbiter, Holder
from studio.errors import BusyError, StudioError
from studio.recipe import Recipe
from studio.runs import Run, create_run, open_run
from studio.settings import Settings
from studio.training.checkpoints import require_resumable

_FREE = "Stop it on the Train tab, or wait until it is done."


@dataclass
class _Job:
    run: Run
    recipe: Recipe
    holder: Holder
    stopping: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def should_stop(self) -> bool:
        """Asked to, or the program is closing: its main thread has ended."""
        return self.stopping.is_set() or not threading.main_thread().is_alive()


class JobRunner:
    """Runs one training at a time on a background thread. Safe to use from several threads.

    The thread is no daemon: a program that ends without asking makes it stop at the next
    micro-batch and save what it has, and only then ends.
    """

    def __init__(self, settings: Settings, arbiter: Arbiter) -> None:
        self._settings = settings
        self._arbiter = arbiter
        self._lock = threading.Lock()
        self._job: _Job | None = None
        self._last: _Job | None = None

    @property
    def active(self) -> Run | None:
        """The run that is being trained by this program, None when there is none."""
        with self._lock:
            return self._job.run if self._job else None

    def start(self, recipe: Recipe, name: str | None = None) -> Run:
        """Make a run and train it. Raises BusyError naming what runs already, RunError."""
        with self._device_taken() as begin:
            return begin(create_run(self._settings, recipe, name), False)

    def resume(self, name: str) -> Run:
        """Go on with a run.

        Raises BusyError, RunError for a missing, finished, or elsewhere active run, RecipeError.
        """
        with self._device_taken() as begin:
            run = open_run(self._settings, name)
            require_resumable(run)
            return begin(run, True)

    def stop(self) -> None:
        """Ask the running job to stop and keep what it has; returns at once."""
        with self._lock:
            if self._job is not None:
                self._job.stopping.set()

    def wait(self, timeout_seconds: float | None = None) -> None:
        """Until the last job has ended, or so many seconds."""
        with self._lock:
            job = self._last
        if job is None:
            return
        if timeout_seconds is not None:
            job.ended.wait(timeout_seconds)
            return
        # Not Thread.join: interrupted by Ctrl+C, Python 3.11's takes the thread for ended, and the
        # program would end without it. Short waits, since on Windows a long one hears no Ctrl+C.
        while not job.ended.wait(0.5):
            pass

    @contextmanager
    def _device_taken(self) -> Iterator[Callable[[Run, bool], Run]]:
        """Gives the function that starts the thread; the device is given back if it is not used."""
        with self._lock:
            if self._job is not None:
                raise BusyError(f"The run {self._job.run.name} is training right now.", _FREE)
            holder = Holder("A training run", _FREE)
            self._arbiter.acquire(holder)
            try:
                yield functools.partial(self._begin, holder)
            finally:
                if self._job is None:
                    self._arbiter.release(holder)

    def _begin(self, holder: Holder, run: Run, resume: bool) -> Run:
        job = _Job(run, run.recipe, holder)
        holder.what = f"The training run {run.name}"
        thread = threading.Thread(target=self._work, args=(job, resume),
                                  name=f"training {run.name}", daemon=False)
        self._job = self._last = job
        thread.start()
        return run

    def _work(self, job: _Job, resume: bool) -> None:
        from studio.training.loop import train

        try:
            train(job.recipe, job.run, job.should_stop, settings=self._settings,
                  resume=resume)
        except StudioError:
            # The run's events hold it, and every surface tells the story from there.
            return
        finally:
            self._arbiter.release(job.holder)
            with self._lock:
                self._job = None
            job.ended.set()
