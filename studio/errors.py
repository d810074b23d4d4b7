"""The one family of errors that a person is meant to read.

Every error says what happened, what was given, what is allowed (the message), and what to do
next (the hint). The engine raises them; `studio/ui/guard.py` and `studio/cli` each
translate them in one place. Programming mistakes are not wrapped: they keep their traceback.
"""

from __future__ import annotations


class StudioError(Exception):
    """Something that the person can mend. `message` says what happened, `hint` what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class RecipeError(StudioError):
    """The recipe cannot be read or holds values that cannot work.

    `mistakes` has one line for each where there may be several.
    """

    def __init__(self, message: str, hint: str = "", mistakes: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint)
        self.mistakes = mistakes


class DataError(StudioError):
    """The data cannot be read, recognised, rendered, or trained on."""


class ModelError(StudioError):
    """The model or adapter is missing, unsafe, or does not fit."""


class RunError(StudioError):
    """A run cannot be started, found, resumed, or read."""


class ExportError(StudioError):
    """A merge or an export cannot be made or did not pass its check."""


class BusyError(StudioError):
    """Somebody else holds the device (training, chat, or export) right now."""


class DiskError(StudioError):
    """Not enough room where the studio wants to write."""


class SetupError(StudioError):
    """A library, driver, or program on this PC is missing or does not work."""


class Stopped(StudioError):
    """The person asked for a stop while a long piece of work was under way."""
