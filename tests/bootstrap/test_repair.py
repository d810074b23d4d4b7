"""What a cut-off pip left behind is found, and what is whole is left alone."""

from __future__ import annotations

import zipfile
from pathlib import Path

from studio.bootstrap.repair import forget_half_installed
from tests.bootstrap.tiny_checkout import make_wheel


def _unpack(folder: Path, name: str, files: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    make_wheel(folder, name, "1.0", files)
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl") as wheel:
        wheel.extractall(folder / "site")


def test_whole_packages_are_left_alone_and_broken_ones_forgotten(tmp_path: Path) -> None:
    for name in ("whole", "cut", "gone", "bare"):
        _unpack(tmp_path, name, {f"{name}.py": "x = 1\n"})
    site = tmp_path / "site"
    assert forget_half_installed(site) == []
    (site / "cut.py").write_text("x")
    (site / "gone.py").unlink()
    (site / "bare-1.0.dist-info" / "METADATA").unlink()
    assert forget_half_installed(site) == ["bare", "cut", "gone"]
    assert {folder.name for folder in site.glob("*.dist-info")} == {"whole-1.0.dist-info"}


def test_a_file_that_two_packages_bring_breaks_neither(tmp_path: Path) -> None:
    _unpack(tmp_path, "first", {"shared/names.py": "short"})
    _unpack(tmp_path, "second", {"shared/names.py": "longer than the first"})
    assert forget_half_installed(tmp_path / "site") == []


def test_a_folder_that_is_not_there_has_nothing_to_forget(tmp_path: Path) -> None:
    assert forget_half_installed(tmp_path / "nowhere") == []
