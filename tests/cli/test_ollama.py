"""`ollama` takes an exported GGUF in, or says what is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from studio.settings import Settings


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_an_export_is_taken_in_by_its_name(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings.exports.mkdir(parents=True)
    (settings.exports / "orders-q8_0.gguf").write_bytes(b"GGUF")
    code, _, err = call("ollama", "orders-q8_0.gguf")
    assert code == 1 and "no orders-q8_0.Modelfile" in " ".join(err.split())
    (settings.exports / "orders-q8_0.Modelfile").write_text("FROM ./orders-q8_0.gguf\n")
    code, _, err = call("ollama", "orders-q8_0.gguf")
    assert code == 1 and "not installed" in " ".join(err.split())
    program = tmp_path / "ollama"
    program.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/taken"\n', encoding="utf-8")
    program.chmod(0o755)
    code, out, _ = call("ollama", "orders-q8_0.gguf", "--json")
    assert code == 0 and json.loads(out)["name"] == "orders-q8_0"
    assert "create orders-q8_0 -f orders-q8_0.Modelfile" in (tmp_path / "taken").read_text()
    code, _, err = call("ollama", "gone.gguf")
    assert code == 1 and "gone.gguf" in err
