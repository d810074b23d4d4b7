"""A data set, written to a file and looked at whole, as the report and the cleaning get it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from studio.data.lab.look import open_whole
from studio.data.lab.whole import Whole
from studio.recipe import Data
from studio.settings import Settings


def whole_of(
    rows: list[Any], settings: Settings, tokenizer: Any = None, *, name: str = "rows.jsonl",
    **data: Any,
) -> Whole:
    """`rows` are written as JSON lines; `data` are fields of the recipe's part data."""
    path = write_rows(rows, settings.home.parent / name)
    return open_whole(Data(source=str(path), **data), settings, tokenizer)


def write_rows(rows: list[Any], path: Path) -> Path:
    """`rows` as JSON lines; a text stands as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def pair(prompt: str, completion: str, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion, **more}


def chat(*contents: str, roles: tuple[str, ...] = ("user", "assistant")) -> dict[str, Any]:
    """Turns whose roles come round again."""
    return {"messages": [{"role": roles[at % len(roles)], "content": content}
                         for at, content in enumerate(contents)]}
