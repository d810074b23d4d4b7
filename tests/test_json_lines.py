"""A growing file of JSON lines is read once, whatever happens to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.json_lines import JsonLines, append_json_lines


def reader(path: Path) -> JsonLines[int]:
    return JsonLines(path, lambda found: found.get("n"))


def test_only_whole_lines_count_and_a_torn_one_waits(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    lines = reader(path)
    assert lines.read() == []
    path.write_text('{"n": 1}\n{"n": 2', encoding="utf-8")
    assert lines.read() == [1]
    with path.open("a", encoding="utf-8") as file:
        file.write('}\nbroken\n[3]\n{"other": 4}\n{"n": 5}\n')
    assert lines.read() == [1, 2, 5]


def test_a_file_that_was_cut_or_replaced_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"n": 1}\n{"n": 2}\n', encoding="utf-8")
    lines = reader(path)
    assert lines.read() == [1, 2]
    path.write_text('{"n": 7}\n', encoding="utf-8")
    assert lines.read() == [7]
    path.unlink()
    assert lines.read() == []


def test_what_is_added_stands_behind_a_line_that_a_crash_tore(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    append_json_lines(path, [{"n": 1}, {"n": 2}])
    with path.open("ab") as file:
        file.write(b'{"n": 9, "torn')
    append_json_lines(path, [{"n": 3}])
    assert reader(path).read() == [1, 2, 3]
    with pytest.raises(ValueError):
        append_json_lines(path, [{"n": 4}, {"n": float("nan")}])
    assert reader(path).read() == [1, 2, 3]
