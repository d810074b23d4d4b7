"""Calls verbs in this process, at the test's own home."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from studio.cli import main
from studio.settings import Settings


@pytest.fixture
def call(
    capfd: pytest.CaptureFixture[str], settings: Settings
) -> Callable[..., tuple[int, str, str]]:
    """Runs a verb; gives (exit code, standard output, standard error)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments, "--home", str(settings.home)])
        out, err = capfd.readouterr()
        return code, out, err

    return run
