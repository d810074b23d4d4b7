"""What is missing is named by the command that fetches it, in versions that the studio knows."""

from __future__ import annotations

import importlib.metadata

import pytest

from studio.extras import install_command, is_installed


class _Recorded(dict[str, str]):
    """What pip wrote down of an installed package, as far as it is asked for."""

    def get_all(self, name: str) -> list[str]:
        return ["quantize", "test"] if name == "Provides-Extra" else []


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ['rounder<2,>=1; extra == "quantize"',
             'kernels-for-mars<3; sys_platform == "mars" and extra == "quantize"',
             'kernels-for-here<3; sys_platform != "mars" and extra == "quantize"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: texts)
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: _Recorded())


def test_the_command_has_versions_and_only_what_is_made_for_this_system(recorded: None) -> None:
    command = install_command(["rounder", "kernels-for-mars", "kernels-for-here", "unknown"])
    assert command.endswith('-m pip install "rounder<2,>=1" "kernels-for-here<3" "unknown"')


def test_a_studio_that_was_never_installed_names_packages_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", missing)
    assert install_command(["rounder"]).endswith('-m pip install "rounder"')


def test_whether_a_package_is_there_is_found_without_importing_it() -> None:
    assert is_installed("json") and not is_installed("no_package_of_this_name")
