"""What the bootstrap says: whole lines, and one line of progress that rewrites itself.

Plain ASCII on standard error, so that an old Windows code page shows it and `--json` verbs keep
standard output to themselves.
"""

from __future__ import annotations

import shutil
import sys
import time

from studio.errors import StudioError

SECONDS_BETWEEN_PLAIN_LINES = 10.0


def say(text: str) -> None:
    """One line for the person."""
    _write(text + "\n")


def explain(error: StudioError) -> None:
    """An error in the shape the command line uses: what happened, then what to do."""
    say(f"Error: {error.message}")
    if error.hint:
        say(f"What to do: {error.hint}")


class ProgressLine:
    """One calm line: rewritten in place on a terminal, every ten seconds in a log file."""

    def __init__(self) -> None:
        self._on_terminal = bool(sys.stderr and sys.stderr.isatty())
        self._shown = ""
        self._last_plain_line = 0.0

    def show(self, text: str) -> None:
        """Replace the line by `text`."""
        if text == self._shown:
            return
        if self._on_terminal:
            width = max(shutil.get_terminal_size().columns - 1, 20)
            _write("\r" + text[:width].ljust(min(len(self._shown), width)))
            self._shown = text
        elif time.monotonic() - self._last_plain_line >= SECONDS_BETWEEN_PLAIN_LINES:
            _write(text + "\n")
            self._shown = text
            self._last_plain_line = time.monotonic()

    def end(self) -> None:
        """Leave the line, so that the next `say` starts on a clean one."""
        if self._on_terminal and self._shown:
            width = min(len(self._shown), shutil.get_terminal_size().columns - 1)
            _write("\r" + " " * width + "\r")
        self._shown = ""


def _write(text: str) -> None:
    if sys.stderr is None:  # a windowed Python has no console at all
        return
    encoding = getattr(sys.stderr, "encoding", None) or "ascii"
    sys.stderr.write(text.encode(encoding, "replace").decode(encoding))
    sys.stderr.flush()
