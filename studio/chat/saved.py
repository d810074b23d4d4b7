"""Conversations kept in the home folder: one JSON file each, saved whole or not at all.

A file holds all that is needed to go on: every prompt, every answer of every column, the system
prompt, the base, the columns and the sampling. Two pages that save the same conversation replace
each other's, the last one stays. Reopening loads no model.
"""

from __future__ import annotations

import functools
import json
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from studio.chat.conversation import Conversation
from studio.chat.sampling import Sampling
from studio.chat.session import Column
from studio.errors import DataError, StudioError
from studio.files import disk_errors_told, remove_leftovers, write_json_safely
from studio.recipe import Model
from studio.settings import Settings

ENDING = ".json"
VERSION = 1
LONGEST_TITLE = 80


@dataclass(frozen=True)
class SavedConversation:
    """A conversation and what it was held with. Times in Unix seconds.

    `name` is that of its file, without the ending; it is empty until it is saved. Without a
    `title` it is called by its first prompt.
    """

    conversation: Conversation
    system: str = ""
    model: Model | None = None
    columns: tuple[Column, ...] = ()
    sampling: Sampling | None = None
    title: str = ""
    created_seconds: float = 0.0
    changed_seconds: float = 0.0
    name: str = ""


@dataclass(frozen=True)
class SavedRow:
    """A saved conversation in one line. `problem` says why it cannot be opened, else ""."""

    name: str
    title: str
    changed_seconds: float
    prompts: int = 0
    columns: tuple[str, ...] = ()
    problem: str = ""


def save_conversation(settings: Settings, kept: SavedConversation) -> SavedConversation:
    """Write it under its name, or under a new one; gives what was written, name and times set.

    Prompts that nobody answered are left out. Raises DataError where nothing is left, and
    DiskError.
    """
    answered = kept.conversation.answered()
    if not answered.exchanges:
        raise DataError("There is nothing to save: no prompt of this conversation was answered.",
                        "Ask something first.")
    now = time.time()
    saved = replace(
        kept, conversation=answered, title=title_of(kept.title or answered.exchanges[0].prompt),
        created_seconds=kept.created_seconds or now, changed_seconds=now,
        name=kept.name or _new_name(),
    )
    path = settings.conversations / f"{saved.name}{ENDING}"
    with disk_errors_told(settings.conversations, "The conversation"):
        write_json_safely(path, {"version": VERSION, **_as_json(saved)})
    remove_leftovers(settings.conversations)
    return saved


def rename_conversation(settings: Settings, name: str, title: str) -> SavedConversation:
    """Give it another title; an empty one is the first prompt again. Errors as opening."""
    return save_conversation(settings, replace(open_conversation(settings, name), title=title))


def list_conversations(settings: Settings) -> list[SavedRow]:
    """Newest first; those that cannot be opened come last and say why."""
    rows = []
    for path in _files(settings).values():
        try:
            state = path.stat()
        except FileNotFoundError:  # deleted meanwhile
            continue
        rows.append(_row(path, state.st_mtime_ns, state.st_size))
    return sorted(rows, key=lambda row: (bool(row.problem), -row.changed_seconds, row.name))


def open_conversation(settings: Settings, name: str) -> SavedConversation:
    """Raises DataError where it is gone or damaged.

    Consent to a model's own code is not taken from the file, which may be somebody else's.
    """
    return _read(_path_of(settings, name))


def delete_conversation(settings: Settings, name: str) -> None:
    """Remove its file, damaged or not. Raises DataError where there is none."""
    _path_of(settings, name).unlink(missing_ok=True)


def _as_json(saved: SavedConversation) -> dict[str, Any]:
    found: dict[str, Any] = _form().dump_python(saved, mode="json", exclude={
        "name": True, "conversation": {"loading"}})
    return found


@functools.cache
def _form() -> TypeAdapter[SavedConversation]:
    return TypeAdapter(SavedConversation)


def _read(path: Path) -> SavedConversation:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        version = found["version"]
        if version != VERSION:
            raise DataError(
                f"The conversation {path.name} has the form {version!r}, this studio reads "
                f"{VERSION}.", "Open it with a newer studio, or delete it.")
        saved = _form().validate_python({**found, "name": path.stem})
    except FileNotFoundError:
        raise _missing(path.stem, path.parent) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(path, error) from error
    except StudioError as error:
        if isinstance(error, DataError):
            raise
        raise _damaged(path, error) from error
    model = saved.model.model_copy(update={"trust_remote_code": False}) if saved.model else None
    return replace(saved, model=model)


def _damaged(path: Path, error: Exception) -> DataError:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        said = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    elif isinstance(error, KeyError):
        said = f"it has no {error}"
    else:
        said = str(error)
    return DataError(f"The conversation {path.name} is damaged: {said}.",
                     "Delete it, or bring back an earlier copy of the file.")


@functools.lru_cache(maxsize=4096)
def _row(path: Path, changed_ns: int, size_bytes: int) -> SavedRow:
    """Read once for as long as the file stays as it is."""
    try:
        saved = _read(path)
    except DataError as error:
        return SavedRow(path.stem, path.stem, changed_ns / 1e9, problem=str(error))
    talk = saved.conversation
    return SavedRow(saved.name, saved.title, saved.changed_seconds, len(talk.exchanges),
                    tuple(talk.columns))


def _files(settings: Settings) -> dict[str, Path]:
    """The saved files by name; looked up among those that exist, a name never leads elsewhere."""
    return {path.stem: path for path in settings.conversations.glob(f"*{ENDING}")}


def _path_of(settings: Settings, name: str) -> Path:
    path = _files(settings).get(name)
    if path is None:
        raise _missing(name, settings.conversations)
    return path


def _missing(name: str, folder: Path) -> DataError:
    return DataError(f"There is no saved conversation {name!r} in {folder}.",
                     "It may have been deleted; choose another one.")


def _new_name() -> str:
    """In the order of time, and free without looking: two pages may save at once."""
    return f"{time.strftime('%Y-%m-%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"


def title_of(text: str) -> str:
    """What a conversation is called by its first prompt: one line, cut at a word."""
    words = " ".join(text.split())
    if len(words) <= LONGEST_TITLE:
        return words
    cut = words[:LONGEST_TITLE - 1]
    return f"{cut.rpartition(' ')[0] or cut}…"
