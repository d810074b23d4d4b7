"""A tokenizer without a model, and a short way to write a data file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import make_tokenizer


@pytest.fixture
def tokenizer():  # type: ignore[no-untyped-def]
    """The tiny model's tokenizer: byte-level, ChatML, <|im_end|> ends an answer."""
    return make_tokenizer()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """write("a.jsonl", [rows]) or write("a.csv", "text") or bytes; gives the path as text."""

    def write_file(name: str, content: list[Any] | str | bytes) -> str:
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8", newline="")
        else:
            lines = [json.dumps(row, ensure_ascii=False) for row in content]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    return write_file
