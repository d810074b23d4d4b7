"""Main memory inside and outside of containers, on hand-made control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.main_memory import limited_groups, read_main_memory, within_limits

GB = 10**9


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


def test_this_pc_has_memory() -> None:
    found = read_main_memory()
    assert 0 < found.available_bytes <= found.total_bytes <= found.machine_bytes


def test_a_docker_container_is_limited_at_the_root_that_it_sees(tmp_path: Path, own: Path) -> None:
    groups = tmp_path / "fs"
    own.write_text("0::/\n", encoding="utf-8")
    write(groups, memory__max=f"{8 * GB}\n", memory__current=f"{3 * GB}\n",
          memory__stat=f"anon 5\ninactive_file {GB}\nactive_file 7\n")
    found = within_limits(32 * GB, 20 * GB, limited_groups(groups, own))
    assert (found.total_bytes, found.available_bytes, found.limit_bytes) == (8 * GB, 6 * GB, 8 * GB)


def test_the_narrowest_group_above_the_process_counts(tmp_path: Path, own: Path) -> None:
    groups = tmp_path / "fs"
    own.write_text("0::/jobs/one\n", encoding="utf-8")
    write(groups / "jobs", memory__max=f"{4 * GB}", memory__current="0")
    write(groups / "jobs" / "one", memory__max="max", memory__current="0")
    found = within_limits(32 * GB, 20 * GB, limited_groups(groups, own))
    assert (found.total_bytes, found.available_bytes) == (4 * GB, 4 * GB)


def test_version_one_groups_are_read_too(tmp_path: Path, own: Path) -> None:
    groups = tmp_path / "fs"
    own.write_text("5:cpu:/x\n4:memory:/docker/not-here\n0::/\n", encoding="utf-8")
    write(groups / "memory", memory__limit_in_bytes=str(2 * GB), memory__usage_in_bytes=str(GB),
          memory__stat="inactive_file 1\ntotal_inactive_file 500\n")
    found = within_limits(32 * GB, 20 * GB, limited_groups(groups, own))
    assert (found.total_bytes, found.available_bytes) == (2 * GB, GB + 500)


@pytest.mark.parametrize("text", ["max", "9223372036854771712", "", "strange"])
def test_no_limit_leaves_the_machines_memory(tmp_path: Path, own: Path, text: str) -> None:
    groups = tmp_path / "fs"
    own.write_text("0::/\n4:memory:/\n", encoding="utf-8")
    write(groups, memory__max=text)
    write(groups / "memory", memory__limit_in_bytes=text)
    found = within_limits(32 * GB, 20 * GB, limited_groups(groups, own))
    assert (found.total_bytes, found.available_bytes, found.limit_bytes) == (32 * GB, 20 * GB, None)


def test_where_there_are_no_groups_nothing_is_limited(tmp_path: Path) -> None:
    assert limited_groups(tmp_path, tmp_path / "missing") == ()
