"""Nothing half-written is ever left under a final name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.errors import DiskError
from studio.files import (
    folder_bytes,
    folder_written_whole,
    free_path,
    readable_bytes,
    require_free_bytes,
    safe_name,
    typed_path,
    with_spare,
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


@pytest.mark.skipif(os.name == "nt", reason="Windows has no rights for a group or others")
@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_weights_in_a_folder_may_be_read_by_whom_the_umask_says(
    tmp_path: Path, umask: int, mode: int
) -> None:
    import torch
    from safetensors.torch import save_file

    before = os.umask(umask)
    try:
        with folder_written_whole(tmp_path / "model") as folder:
            save_file({"a": torch.zeros(2)}, folder / "model.safetensors")
            (folder / "part").mkdir()
            (folder / "part" / "config.json").write_text("{}", encoding="utf-8")
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert [path.stat().st_mode & 0o777 for path in files] == [mode, mode]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link_in_the_way_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.txt").write_text("mine", encoding="utf-8")
    for target in ("elsewhere", "nowhere"):
        final = tmp_path / f"model-{target}"
        final.symlink_to(tmp_path / target)
        with folder_written_whole(final) as folder:
            (folder / "a.txt").write_text("new", encoding="utf-8")
        assert not final.is_symlink() and (final / "a.txt").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {
        "elsewhere", "model-elsewhere", "model-nowhere"}
    assert (tmp_path / "elsewhere" / "mine.txt").is_file()


def test_text_that_cannot_be_written_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_json_safely(file, {"a": "ü"})
    with pytest.raises(TypeError):
        write_json_safely(file, {"a": object()})
    assert "ü" in file.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [file]


def test_a_home_of_nobody_is_a_name_like_any_other() -> None:
    assert typed_path("~/models") == Path.home() / "models"
    for typed in ("~nobody-of-that-name/model", Path("~nobody-of-that-name/model")):
        assert typed_path(typed) == Path("~nobody-of-that-name/model")


def test_a_tenth_is_to_spare() -> None:
    assert with_spare(1000) == 1100


def test_too_little_disk_names_both_sizes(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"The merge needs 1100\.0 TB, but only .* are free"):
        require_free_bytes(tmp_path / "not" / "yet", 10**15, "The merge")


@pytest.mark.parametrize(
    ("given_name", "made"),
    [("my run", "my-run"), ("../../etc", "etc"), ("", "run"), ("con", "con-1"),
     ("a/b\\c:d", "a-b-c-d"), ("...", "run"), ("über", "ber"), ("aux.txt", "aux-1.txt"),
     ("x" * 79 + "-y", "x" * 79)],
)
def test_names_are_safe_on_every_system(given_name: str, made: str) -> None:
    assert safe_name(given_name) == made


@given(st.text(alphabet="aux.-_ con1/\\é\n", max_size=12))
def test_a_safe_name_stays_what_it_is(text: str) -> None:
    assert safe_name(safe_name(text)) == safe_name(text)


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
