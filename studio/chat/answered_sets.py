"""The answered prompt sets of a home folder: finds them, names them, deletes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from studio.chat.prompt_answers import SET_FILE, AnsweredSet
from studio.errors import BusyError, DataError
from studio.files import PARTIAL, delete_folder, remove_leftovers
from studio.settings import Settings


def set_files(settings: Settings) -> list[Path]:
    """What each set asks, in no order; the file of a damaged one may be among them."""
    return [file for file in settings.prompt_sets.glob(f"*/{SET_FILE}")
            if not file.parent.name.startswith(PARTIAL)]


def answered_sets(settings: Settings) -> list[AnsweredSet]:
    """Newest first; folders that cannot be read are left out."""
    return newest_first(opened_set(file) for file in set_files(settings))


def opened_set(file: Path) -> AnsweredSet | None:
    """The set of one of `set_files`; None where it cannot be read."""
    try:
        return AnsweredSet(file.parent)
    except DataError:
        return None


def newest_first(sets: Iterable[AnsweredSet | None]) -> list[AnsweredSet]:
    """Those that could be read."""
    return sorted((one for one in sets if one is not None),
                  key=lambda one: -one.asked.created_seconds)


def require_set(name: str, sets: list[AnsweredSet]) -> AnsweredSet:
    """The one of that name. Raises DataError where there is none."""
    for one in sets:
        if one.name == name:
            return one
    raise DataError(f"There is no prompt set {name!r}.", "It may have been deleted. There are: "
                    f"{', '.join(one.name for one in sets) or 'none'}.")


def delete_set(settings: Settings, asked: AnsweredSet) -> None:
    """Delete prompts and answers; votes on them are kept elsewhere, with what they are about.

    Raises BusyError if another program holds its files; then nothing is deleted.
    """
    try:
        delete_folder(asked.path)
    except OSError as error:
        raise BusyError(f"The prompt set {asked.name} cannot be deleted: "
                        f"{error.strerror or error}.", "A file in it may be open.") from error
    remove_leftovers(settings.prompt_sets)
