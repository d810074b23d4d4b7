"""Keeps this PC from going to sleep while a run is at work.

Asks the system through wakepy and lets go at the end, however the run ends. Where the system
offers no way the run says so once; that is no error. Turns no screen on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from studio.runs import Run

CANNOT = ("This system offers no way to keep the PC awake during the run. If it goes to sleep by "
          "itself, switch that off in its settings for a long run.")


@contextmanager
def kept_awake(run: Run, wanted: bool = True) -> Iterator[None]:
    """Inside the block this PC does not go to sleep by itself, where the system allows it."""
    if not wanted:
        yield
        return
    from wakepy import keep

    mode = keep.running(on_fail="pass")
    mode.__enter__()
    if not mode.active:
        _note_once(run, CANNOT)
    try:
        yield
    finally:
        # Not as a `with`: wakepy would swallow an exception of its own kind, and raises where
        # the system does not answer any more, which is no reason to fail a trained run.
        try:
            mode.__exit__(None, None, None)
        except RuntimeError as error:
            _note_once(run, f"The PC may stay awake until the studio is closed: {error}")


def _note_once(run: Run, text: str) -> None:
    if not any(event.get("text") == text for event in run.events()):
        run.append("note", level="info", text=text)
