"""What a person wants of a run at work: pause, stop and keep, or cancel.

A `Control` is asked by the training at every micro-batch and between all stages. The page asks it
directly; another process leaves a small file in the run folder. What each wish means is obeyed in
`loop.py` and `stages.py`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from studio.errors import RunError
from studio.files import write_json_safely
from studio.progress import ShouldStop, never
from studio.runs import Run, require_run_folder

Ask = Literal["", "pause", "stop", "cancel"]
"""Nothing; or free the memory and keep the checkpoint; or also save the adapter; or throw away
what was learned. A later one is stronger."""
_STRENGTH: tuple[Ask, ...] = get_args(Ask)
_LOOK_EVERY_SECONDS = 0.25
"""Between two looks at the file of another process."""


class Control:
    """The wish for one run. Call it: True once the run shall end. Safe to use from any thread.

    `also` is another reason to stop and keep, such as a program that is closing.
    """

    def __init__(self, also: ShouldStop = never) -> None:
        self._also = also
        self._lock = threading.RLock()
        self._asked: Ask = ""
        self._told: Ask = ""
        self._run: Run | None = None
        self._next_look = 0.0

    @property
    def asked(self) -> Ask:
        """The strongest wish so far."""
        return self._asked

    def ask(self, what: Ask) -> None:
        """Wish `what`; a weaker wish than the present one changes nothing."""
        with self._lock:
            self._asked = max(self._asked, what, key=_STRENGTH.index)
            self._tell()

    def __call__(self) -> bool:
        if self._also():
            self.ask("stop")
        run, now = self._run, time.monotonic()
        if run is not None and now >= self._next_look:
            self._next_look = now + _LOOK_EVERY_SECONDS
            self.ask(_requested(run))
        return bool(self._asked)

    @contextmanager
    def attending(self, run: Run) -> Iterator[None]:
        """Inside the block wishes become events of `run`, and its request file is looked at.

        For the owner of the run, whose first state is there already.
        """
        with self._lock:
            self._run, self._next_look = run, 0.0
            self._tell()
        try:
            yield
        finally:
            with self._lock:
                self._run = None
            forget_request(run)

    def _tell(self) -> None:
        if self._run is None or self._asked == self._told:
            return
        try:
            self._run.append("asked", what=self._asked)
        except OSError:
            return  # The training itself writes next, meets the same disk, and tells it.
        self._told = self._asked


def what_is_asked(stop: ShouldStop) -> Ask:
    """The wish behind a `ShouldStop`; a plain one knows only "stop"."""
    wished = stop()
    if isinstance(stop, Control):
        return stop.asked
    return "stop" if wished else ""


def request_end(run: Run, what: Ask) -> None:
    """Ask the process that trains `run`, whichever it is. Raises RunError if nobody does."""
    story = run.story()
    if not story.is_active:
        raise RunError(f"The run {run.name} is not being trained right now; it is {story.state}.",
                       "See what runs with: launch.py runs")
    leave_request(run, what)


def leave_request(run: Run, what: Ask) -> None:
    """Leave the wish in the run folder, for a process that is about to look there.

    Raises RunError where the folder is gone.
    """
    require_run_folder(run)
    write_json_safely(_request_file(run), {"what": what})


def forget_request(run: Run) -> None:
    """Remove a wish that is obeyed, or that an earlier process did not live to see."""
    _request_file(run).unlink(missing_ok=True)


def _requested(run: Run) -> Ask:
    try:
        found = json.loads(_request_file(run).read_text(encoding="utf-8"))["what"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return found if found in _STRENGTH else ""


def _request_file(run: Run) -> Path:
    return run.path / "asked.json"
