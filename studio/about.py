"""A person's own name and note for a run: `about.json` in the run folder.

The folder keeps its name; a title is only what is shown instead of it. A file that is missing or
damaged is an empty title and note, since nothing depends on it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from studio.errors import RunError
from studio.files import disk_errors_told, write_json_safely

FILE_NAME = "about.json"
LONGEST_TITLE = 120
LONGEST_NOTE = 20_000


@dataclass(frozen=True)
class About:
    """`title` is one line, `note` any text; both may be empty."""

    title: str = ""
    note: str = ""


def read_about(run_path: Path) -> About:
    """What the person wrote about the run in this folder."""
    try:
        found = json.loads((run_path / FILE_NAME).read_text(encoding="utf-8"))
        return About(str(found.get("title") or ""), str(found.get("note") or ""))
    except (OSError, ValueError, AttributeError):
        return About()


def write_about(run_path: Path, about: About) -> About:
    """Keep `about`, its title in one line and without spaces around; gives what was kept.

    Raises RunError where a text is too long or the folder is gone, DiskError on a full disk.
    """
    kept = About(" ".join(about.title.split()), about.note.strip())
    for what, text, longest in (("title", kept.title, LONGEST_TITLE),
                                ("note", kept.note, LONGEST_NOTE)):
        if len(text) > longest:
            raise RunError(f"The {what} has {len(text):,} characters, allowed are {longest:,}.",
                           "Shorten it.")
    if not run_path.is_dir():
        raise RunError(f"The run {run_path.name} is no longer there.", "Choose another run.")
    with disk_errors_told(run_path, f"What was written about {run_path.name}"):
        write_json_safely(run_path / FILE_NAME, asdict(kept))
    return kept
