"""Settings come from arguments first, then the environment."""

from __future__ import annotations

import os
from pathlib import Path

from studio.settings import load_settings


def test_data_folders_are_separated_as_the_system_separates_paths(tmp_path: Path) -> None:
    value = os.pathsep.join([str(tmp_path / "a"), "", f" {tmp_path / 'b'} "])
    settings = load_settings(tmp_path, environment={"ADAPTER_STUDIO_DATA_FOLDERS": value})
    assert settings.data_folders == (tmp_path / "a", tmp_path / "b")


def test_without_data_folders_none_is_named(tmp_path: Path) -> None:
    assert load_settings(tmp_path, environment={}).data_folders == ()
