"""What can be exported: runs, their checkpoints, blends, and any adapter folder that is typed.

Reads small files only; what an adapter can become is told by `studio/export/plan.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.chat.column_names import adapter_name
from studio.errors import ExportError
from studio.ui.panels.chat_columns import blend_value, run_label
from studio.ui.words import joined

if TYPE_CHECKING:
    from studio.adapters.blend import Blend
    from studio.export.origin import Origin
    from studio.ui.adapter_shelf import Trained
    from studio.ui.studio import Studio


@dataclass(frozen=True)
class Source:
    """What the list sends and shows, and the folder that it stands for."""

    value: str
    label: str
    path: Path


def sources_now(studio: Studio) -> list[Source]:
    """Everything that can be exported now."""
    return all_sources(studio.adapters.trained(), studio.adapters.blends())


def all_sources(trained: Sequence[Trained], blends: Sequence[Blend]) -> list[Source]:
    """Runs, each before its checkpoints, then blends; newest first."""
    found = []
    for one in trained:
        found += [Source(one.name, run_label(one), one.path)] if one.is_finished else []
        found += [Source(f"{one.name}/{path.name}", adapter_name(one.title or one.name, path), path)
                  for path in reversed(one.checkpoints)]
    return found + [
        Source(blend_value(blend.name),
               f"{blend.name} (blend of {joined([parent.name for parent in blend.parents])})",
               blend.path)
        for blend in blends]


def origin_of(studio: Studio, value: str | None) -> Origin:
    """The adapter and its base that the list, or a person who typed a folder, has sent.

    Raises ExportError or ModelError where there is none.
    """
    from studio.export.origin import find_origin

    given = (value or "").strip()
    if not given:
        raise ExportError("Nothing is chosen to be exported.",
                          "Train something first, then choose it here.")
    known = {one.value: one.path for one in sources_now(studio)}
    return find_origin(known.get(given, Path(given)))
