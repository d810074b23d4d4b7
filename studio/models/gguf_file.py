"""A GGUF file as a base model: what names one, and whether the file is one. Loads nothing."""

from __future__ import annotations

from pathlib import Path

from studio.errors import ModelError
from studio.files import typed_path
from studio.settings import Settings

ENDING = ".gguf"
_MAGIC = b"GGUF"


def is_gguf(source: str) -> bool:
    """Whether a model's source, or a file's name, means a GGUF file."""
    return source.strip().lower().endswith(ENDING)


def find_gguf(source: str, settings: Settings) -> Path:
    """The file that `source` names: a path, or the name of a file in the exports folder.

    Raises ModelError where there is none, or where it is no GGUF file.
    """
    path = typed_path(source.strip())
    exported = settings.exports / path
    if path.name == str(path) and not _is_file(path) and _is_file(exported):
        path = exported
    return checked_gguf(path)


def checked_gguf(path: Path) -> Path:
    """`path`, absolute. Raises ModelError where there is no file, or none of this kind."""
    if not _is_file(path):
        raise ModelError(f"There is no file {path}.",
                         "Choose a GGUF file; the Export tab writes them.")
    try:
        with path.open("rb") as file:
            begins = file.read(len(_MAGIC))
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {error.strerror or error}.",
                         "Choose another one, or allow this user to read it.") from error
    if begins != _MAGIC:
        raise ModelError(f"{path.name} is not a GGUF file.", "Choose another one.")
    return path.absolute()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False
