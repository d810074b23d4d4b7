"""Nothing half-written is ever left under a final name."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.errors import DiskError
from studio.files import (
    folder_bytes,
    folder_written_whole,
    free_path,
    readable_bytes,
    require_free_bytes,
    safe_name,
    write_json_safely,
)


def test_a_failed_folder_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    final = tmp_path / "model"
    with folder_written_whole(final) as folder:
        (folder / "a.txt").write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError), folder_written_whole(final) as folder:
        (folder / "a.txt").write_text("new", encoding="utf-8")
        raise RuntimeError("power cut")
    assert (final / "a.txt").read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [final]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    final = tmp_path / "model"
    for name in ("one", "two"):
        with folder_written_whole(final) as folder:
            (folder / name).write_bytes(b"12345")
    assert [path.name for path in final.iterdir()] == ["two"]
    assert folder_bytes(final) == 5
    assert list(tmp_path.iterdir()) == [final]


def test_text_that_cannot_be_written_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_json_safely(file, {"a": "ü"})
    with pytest.raises(TypeError):
        write_json_safely(file, {"a": object()})
    assert "ü" in file.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [file]


def test_too_little_disk_names_both_sizes(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"The merge needs 1100\.0 TB, but only .* are free"):
        require_free_bytes(tmp_path / "not" / "yet", 10**15, "The merge")


@pytest.mark.parametrize(
    ("given", "made"),
    [("my run", "my-run"), ("../../etc", "etc"), ("", "run"), ("con", "con-1"),
     ("a/b\\c:d", "a-b-c-d"), ("...", "run"), ("über", "ber"), ("aux.txt", "aux.txt-1")],
)
def test_names_are_safe_on_every_system(given: str, made: str) -> None:
    assert safe_name(given) == made


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    for made in ("orders.jsonl.gz", "orders-2.jsonl.gz", "orders-3.jsonl.gz"):
        path = free_path(tmp_path, "orders", ".jsonl.gz")
        assert path.name == made
        path.touch()


def test_sizes_read_well() -> None:
    assert [readable_bytes(n) for n in (0, 999, 1536, 2.5e9)] == [
        "0 B", "999 B", "1.5 KB", "2.5 GB"]


def test_a_folder_that_another_made_meanwhile_stays(tmp_path: Path) -> None:
    final = tmp_path / "set"
    with folder_written_whole(final, first_wins=True) as beside:
        (beside / "a").write_text("second", encoding="utf-8")
        final.mkdir()
        (final / "a").write_text("first", encoding="utf-8")
        (final / "made by its user").write_text("", encoding="utf-8")
    assert (final / "a").read_text(encoding="utf-8") == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
