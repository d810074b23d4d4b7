"""The lists in pyproject.toml, the lock, and what counts as installed."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from pathlib import Path

import pytest

from studio.bootstrap.lock import needed
from studio.bootstrap.requirements import (
    fingerprint,
    normalised,
    parse_requirement,
    read_lock,
    read_requirements,
    unmet,
)
from tests.bootstrap.tiny_checkout import REPOSITORY


def test_every_dependency_of_the_project_is_locked_at_a_version_it_allows() -> None:
    lock = read_lock(REPOSITORY)
    for requirement in read_requirements(REPOSITORY, ("test",)):
        assert requirement.allows(lock[normalised(requirement.name)]), requirement.text


def test_what_the_dependencies_need_in_turn_is_locked_too() -> None:
    roots = [requirement.text for requirement in read_requirements(REPOSITORY, ("test",))]
    everything = set(needed(roots))
    assert "starlette" in everything
    # CUDA libraries come with some builds of torch only, which pins them itself.
    extra = {name for name in everything if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert everything - extra - {"nvidia-ml-py"} <= set(read_lock(REPOSITORY))


def test_torch_is_locked_without_a_local_suffix_so_that_cuda_builds_fit() -> None:
    version = read_lock(REPOSITORY)["torch"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert parse_requirement(f"torch=={version}").allows(f"{version}+cu130")


def test_pytest_is_locked_for_tests_only() -> None:
    assert "pytest" in read_lock(REPOSITORY)
    assert "pytest" not in read_lock(REPOSITORY, tests=False)
    assert "gradio" in read_lock(REPOSITORY, tests=False)


@pytest.mark.parametrize(
    ("text", "version", "allowed"),
    [
        ("gradio>=6.31,<7", "6.31.0", True), ("gradio>=6.31,<7", "7.0.0", False),
        ("gradio>=6.31,<7", "6.9", False), ("peft==0.21", "0.21.0", True),
        ("a!=1.5", "1.5.0", False), ("a>1,<=2", "2", True),
        ("a[x,y]>=1; sys_platform == 'linux'", "1", True),
        ("a", "0.0.1", True),
    ],
)
def test_versions_are_compared_as_numbers(text: str, version: str, allowed: bool) -> None:
    assert parse_requirement(text).allows(version) is allowed


@pytest.mark.parametrize("text", ["a @ file:///x", "a~=1.2", "a==1.*", ""])
def test_a_requirement_of_another_kind_is_refused_rather_than_misread(text: str) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        parse_requirement(text)


def test_missing_and_old_packages_are_said_in_words(tmp_path: Path) -> None:
    info = tmp_path / "peft-0.18.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: peft\nVersion: 0.18.0\n")
    wanted = [parse_requirement("peft>=0.21"), parse_requirement("trl>=1")]
    assert unmet(wanted, tmp_path) == ["peft>=0.21 (has 0.18.0)", "trl>=1 (missing)"]


def test_what_is_installed_here_is_found() -> None:
    assert unmet([parse_requirement(f"pytest=={importlib.metadata.version('pytest')}")]) == []


def test_the_fingerprint_changes_with_the_lock_and_the_lists_only(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "requirements.lock"):
        (tmp_path / name).write_bytes((REPOSITORY / name).read_bytes())
    before = fingerprint(tmp_path), fingerprint(tmp_path, ("test",))
    assert before[0] != before[1]
    project = tmp_path / "pyproject.toml"
    project.write_text(project.read_text() + "\n[tool.other]\nx = 1\n")
    lock = tmp_path / "requirements.lock"
    lock.write_bytes(lock.read_bytes().replace(b"\n", b"\r\n"))  # a Windows checkout
    assert (fingerprint(tmp_path), fingerprint(tmp_path, ("test",))) == before
    lock.write_text(lock.read_text() + "new==1\n")
    assert fingerprint(tmp_path) != before[0]


@pytest.mark.parametrize(
    ("marker", "is_for_this_pc"),
    [
        ("", True), ("; python_version >= '3.11'", True), ("; python_version < '3.9'", False),
        (f"; sys_platform == '{sys.platform}'", True),
        (f"; sys_platform != '{sys.platform}'", False),
        (f"; platform_machine in 'PDP11 {platform.machine()}'", True),
        ("; platform_machine in 'PDP11 VAX'", False),
        ("; python_version >= '3.11' and platform_machine in 'PDP11'", False),
    ],
)
def test_a_package_is_missed_only_where_its_markers_hold(
    marker: str, is_for_this_pc: bool, tmp_path: Path,
) -> None:
    wanted = parse_requirement(f"no-such-package>=1{marker}")
    assert wanted.is_for_this_pc is is_for_this_pc
    assert bool(unmet([wanted], tmp_path)) is is_for_this_pc


def test_a_marker_that_is_not_understood_is_no_silent_yes() -> None:
    with pytest.raises(ValueError, match="cannot read the marker"):
        parse_requirement("a>=1; sys_platform == 'linux' or python_version < '3.9'")
