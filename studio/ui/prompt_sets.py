"""The answered prompt sets of the home, kept open so that looking again reads only what was added.

A page looks every two seconds; `answered_sets` alone would read every set anew.
"""

from __future__ import annotations

import threading
from pathlib import Path

from studio.chat.answered_sets import (
    delete_set,
    newest_first,
    opened_set,
    require_set,
    set_files,
)
from studio.chat.prompt_answers import ANSWERS_FILE, AnsweredSet
from studio.errors import DataError
from studio.settings import Settings


class PromptSets:
    """The sets under `settings.prompt_sets`, shared by all pages."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._open: dict[tuple[Path, int], AnsweredSet | None] = {}

    def all(self) -> list[AnsweredSet]:
        """Newest first; those that cannot be read are left out."""
        found = {}
        with self._lock:
            for file in set_files(self._settings):
                try:
                    key = (file, file.stat().st_mtime_ns)
                except FileNotFoundError:  # deleted meanwhile
                    continue
                found[key] = self._open[key] if key in self._open else opened_set(file)
            self._open = found
        return newest_first(found.values())

    def get(self, name: str) -> AnsweredSet:
        """The set of that name. Raises DataError where there is none."""
        return require_set(name, self.all())

    def of_id(self, set_id: str) -> AnsweredSet:
        """The same by what no later set has. Raises DataError where it is no more."""
        found = next((one for one in self.all() if one.asked.id == set_id), None)
        if found is None:
            raise DataError("There is no prompt set with this ballot any more.",
                            "It was deleted; choose another set.")
        return found

    def delete(self, name: str) -> None:
        """Delete the set of that name. Raises DataError where there is none, and BusyError."""
        delete_set(self._settings, self.get(name))

    def answers_bytes(self, name: str) -> int:
        """Grows with every answer of that set; 0 for none."""
        try:
            return (self._settings.prompt_sets / name / ANSWERS_FILE).stat().st_size
        except FileNotFoundError:
            return 0
