"""The one training job of a program: a thread that trains, and the handles to start and end it.

Started by the page, the queue, or the command line and owned by none. What happened lies in the
run folder; a failed run is recorded there, not raised here.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from studio.arbiter import Arbiter, Holder
from studio.errors import BusyError, RunError, StudioError
from studio.ownership import OwnerLock
from studio.recipe import Recipe
from studio.runs import Run, create_run, list_runs, open_run
from studio.settings import Settings
from studio.training.checkpoints import require_resumable
from studio.training.control import Ask, Control, forget_request
from studio.training.footprint import Footprint
from studio.training.priority import step_back
from studio.training.shelf import Shelf

_FREE = "Stop it on the Train tab, or wait until it is done."
ROOM_SECONDS = 60.0
"""So long a training whose memory ran out waits for an answer of the chat to end."""
_BETWEEN_ASKING_SECONDS = 0.2


@dataclass
class _Job:
    run: Run
    recipe: Recipe
    holder: Holder
    footprint: Footprint
    resume: bool
    isolated: bool
    control: Control = field(default_factory=lambda: Control(_program_is_closing))
    ended: threading.Event = field(default_factory=threading.Event)


def _program_is_closing() -> bool:
    return not threading.main_thread().is_alive()


class JobRunner:
    """Runs one training at a time on a background thread. Safe to use from several threads.

    With `isolated` the thread only watches over a process of its own that trains. The thread is
    no daemon: a program that ends without asking makes it stop at the next micro-batch and save
    what it has, and only then ends.
    """

    def __init__(self, settings: Settings, arbiter: Arbiter) -> None:
        self._settings = settings
        self._arbiter = arbiter
        self._home = OwnerLock(settings.home / "training.json")
        self._shelf = Shelf()
        arbiter.give_up_for_others(self._shelf.clear)
        self._lock = threading.Lock()
        self._job: _Job | None = None
        self._last: _Job | None = None
        self._trouble: StudioError | None = None

    @property
    def active(self) -> Run | None:
        """The run that is being trained by this program, None when there is none."""
        with self._lock:
            return self._job.run if self._job else None

    @property
    def asked(self) -> Ask:
        """What was asked of the active run, empty when nothing was or there is none."""
        with self._lock:
            return self._job.control.asked if self._job else ""

    @property
    def trouble(self) -> StudioError | None:
        """Why the last job ended where its folder cannot tell, e.g. because it is gone."""
        return self._trouble

    def start(self, recipe: Recipe, name: str | None = None, *, isolated: bool = False) -> Run:
        """Make a run and train it. Raises BusyError naming what runs already, RunError."""
        with self._device_taken(recipe, isolated) as begin:
            return begin(create_run(self._settings, recipe, name))

    def resume(self, name: str, *, isolated: bool = False) -> Run:
        """Go on with a run; one that only waited in the queue begins.

        Raises BusyError, RunError for a missing, finished, cancelled, or elsewhere active run,
        RecipeError.
        """
        return self.begin(open_run(self._settings, name), isolated=isolated)

    def begin(self, run: Run, *, isolated: bool = False) -> Run:
        """Train a run that exists: begin it, or go on with it. Raises like `resume`."""
        with self._device_taken(run.recipe, isolated) as begin:
            return begin(run)

    def pause(self) -> None:
        """Ask the running job to free the memory and keep its checkpoint; returns at once."""
        self._ask("pause")

    def stop(self) -> None:
        """Ask the running job to stop and keep what it has; returns at once."""
        self._ask("stop")

    def cancel(self) -> None:
        """Ask the running job to end and throw away what it learned; returns at once."""
        self._ask("cancel")

    def _ask(self, what: Ask) -> None:
        with self._lock:
            job = self._job
        if job is not None:
            job.control.ask(what)

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
    def _device_taken(self, recipe: Recipe, isolated: bool) -> Iterator[Callable[[Run], Run]]:
        """Gives the function that starts the thread; the device is given back if it is not used."""
        with self._lock:
            if self._job is not None:
                raise BusyError(f"The run {self._job.run.name} is training right now.",
                                "Add this one to the queue, or stop the other one first.")
            footprint = Footprint(recipe, self._settings, isolated=isolated)
            holder = Holder("A training run", _FREE, uses_what_is_kept=True, need=footprint)
            self._arbiter.acquire(holder)
            try:
                self._take_home()
                yield functools.partial(self._begin, holder, footprint, isolated)
            finally:
                if self._job is None:
                    self._home.release()
                    self._arbiter.release(holder)

    def _take_home(self) -> None:
        """One training at a time in a home, whichever process does it. Raises BusyError."""
        self._settings.home.mkdir(parents=True, exist_ok=True)
        is_ours = self._home.take()
        # Also after taking it: the isolated process of a studio that is gone may still be saving.
        elsewhere = next((run.name for run in list_runs(self._settings) if run.is_owned), "")
        if elsewhere or not is_ours:
            what = f"The run {elsewhere}" if elsewhere else "A run"
            raise BusyError(
                f"{what} of {self._settings.home} is being trained by another program right now.",
                "Add this one to the queue, stop the other one there, or start the studio with "
                "another --home.")

    def _begin(self, holder: Holder, footprint: Footprint, isolated: bool, run: Run) -> Run:
        resume = bool(run.events())
        if resume:
            require_resumable(run)
        job = _Job(run, run.recipe, holder, footprint, resume, isolated)
        footprint.run = run
        forget_request(run)
        holder.what = f"The training run {run.name}"
        thread = threading.Thread(target=self._work, args=(job,),
                                  name=f"training {run.name}", daemon=False)
        self._job, self._last, self._trouble = job, job, None
        thread.start()
        return run

    def _work(self, job: _Job) -> None:
        try:
            self._train(job)
        except StudioError as error:
            # The run's events hold it, and every surface tells the story from there.
            self._trouble = None if job.run.story().error else error
        except OSError as error:
            self._trouble = RunError(f"The run {job.run.name} broke off: {error}.",
                                     "See whether its folder and the disk are still there.")
        finally:
            self._home.release()
            self._arbiter.release(job.holder)
            with self._lock:
                self._job = None
            job.ended.set()

    def _train(self, job: _Job) -> None:
        if job.isolated:
            from studio.training.isolated import train_isolated

            self._shelf.clear()
            train_isolated(job.run, job.control, settings=self._settings, resume=job.resume,
                           make_room=functools.partial(self._make_room, job))
            return
        from studio.training.loop import train

        step_back()
        train(job.recipe, job.run, job.control, settings=self._settings, resume=job.resume,
              shelf=self._shelf, make_room=functools.partial(self._make_room, job))

    def _make_room(self, job: _Job) -> str:
        """A `MakeRoom`. The estimate was wrong, so from now on nobody comes beside the job."""
        others = self._arbiter.others(job.holder)
        job.footprint.ran_out = True
        until = time.monotonic() + ROOM_SECONDS
        while not self._arbiter.clear(job.holder):
            if job.control() or time.monotonic() >= until:
                return ""
            time.sleep(_BETWEEN_ASKING_SECONDS)
        return " and ".join(one.what for one in others)
