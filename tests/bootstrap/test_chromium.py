"""A browser for the page tests, and how pytest is called."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from studio.bootstrap import chromium
from studio.bootstrap.environment import Environment
from studio.bootstrap.main import pytest_arguments
from studio.errors import SetupError


def _program(folder: Path, name: str, exit_code: int) -> Path:
    file = folder / name
    file.write_text(f"#!/bin/sh\nexit {exit_code}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


@pytest.fixture
def only_this_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "browsers"))
    monkeypatch.setattr(chromium, "_usual_places", lambda: [])
    return tmp_path


pytestmark = pytest.mark.skipif(os.name != "posix", reason="the stand-ins are shell scripts")


def test_a_browser_that_starts_is_found_and_one_that_does_not_is_passed_over(
    only_this_path: Path,
) -> None:
    assert chromium.find_chromium() is None
    _program(only_this_path, "chromium", exit_code=1)
    chrome = _program(only_this_path, "google-chrome", exit_code=0)
    assert chromium.find_chromium() == chrome


@pytest.mark.skipif(sys.platform != "linux", reason="the folder is named as on Linux")
def test_what_playwright_downloaded_is_found(only_this_path: Path) -> None:
    folder = only_this_path / "browsers" / "chromium-1200" / "chrome-linux64"
    folder.mkdir(parents=True)
    assert chromium.find_chromium() is None
    assert _program(folder, "chrome", exit_code=0) == chromium.find_chromium()


def test_without_a_browser_tests_are_skipped_with_a_reason_unless_required(
    only_this_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A checkout with no Python in it: each way to install fails at once.
    nowhere = Environment(tmp_path, tmp_path / ".venv", owned=True)
    log = tmp_path / "chromium.log"
    assert chromium.ensure_chromium(nowhere, log, required=False) is None
    assert chromium.WHY_SKIPPED in capsys.readouterr().err
    with pytest.raises(SetupError, match="could not be installed"):
        chromium.ensure_chromium(nowhere, log, required=True)


def test_slow_tests_are_left_out_unless_all_or_a_selection_is_asked_for() -> None:
    assert pytest_arguments(["-k", "memory"]) == ["-m", "not slow", "-k", "memory"]
    assert pytest_arguments(["--all", "-k", "memory"]) == ["-k", "memory"]
    assert pytest_arguments(["-m", "browser"]) == ["-m", "browser"]


def test_all_tests_at_once_are_shared_out_and_chosen_ones_are_not() -> None:
    assert pytest_arguments([]) == ["-m", "not slow", "-n", "auto"]
    assert pytest_arguments(["--all", "-x"]) == ["-n", "auto", "-x"]
    for chosen in (["tests/cli"], ["-k", "memory"], ["-n", "3"], ["--pdb"]):
        assert pytest_arguments(chosen) == ["-m", "not slow", *chosen]
