"""The base of a run as a GGUF, which a GGUF LoRA is checked over: converted once, then kept.

Converting takes longer than the check itself. Only the last one is kept, in the home's cache, and
only where the disk has plenty of room.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studio.export.gguf import gguf_bytes, write_gguf
from studio.export.output import report_file
from studio.files import free_bytes, remove_leftovers
from studio.models.folder import ModelFolder, files_state
from studio.models.tokenizer_files import tokenizer_files
from studio.progress import Progress, ShouldStop, Step
from studio.settings import Settings

_TYPE = "f16"
_FREE_TIMES = 10
"""The free disk is so many times as large as a file that is kept."""


def kept_base_gguf(base: ModelFolder, settings: Settings) -> Path:
    """Where the GGUF of `base` as it is now is kept, whether or not it is there."""
    return settings.cache / "base-gguf" / f"{_digest(base.path)}.gguf"


@contextmanager
def base_gguf_of(base: ModelFolder, settings: Settings, *, progress: Progress, stop: ShouldStop
                 ) -> Iterator[Path]:
    """The GGUF of `base`, there until the block ends at least.

    Raises ExportError (a model that llama.cpp does not take), DiskError, Stopped.
    """
    file = kept_base_gguf(base, settings)
    folder = file.parent
    if file.is_file():
        progress(Step("Taking the base that an earlier check converted"))
        yield file
        return
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    _delete_all_in(folder)
    is_kept = free_bytes(folder) > _FREE_TIMES * gguf_bytes(base.path, _TYPE, settings)
    write_gguf(base.path, file, _TYPE, settings, progress=progress, stop=stop, overwrite=True)
    report_file(file).unlink(missing_ok=True)
    try:
        yield file
    finally:
        if not is_kept:
            _delete(file)


def _digest(folder: Path) -> str:
    """Of every file that is converted: path, size, and time of change."""
    others = [(str(path), path.stat().st_size, path.stat().st_mtime_ns)
              for path in sorted(tokenizer_files(folder))]
    text = json.dumps([_TYPE, files_state(folder), others])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _delete_all_in(folder: Path) -> None:
    for file in folder.glob("*.gguf"):
        _delete(file)


def _delete(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except PermissionError:  # Windows, while another check reads it: the next one deletes it
        return
