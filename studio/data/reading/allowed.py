"""Which paths may be read as data: no devices, no pipes, and only the folders of the settings."""

from __future__ import annotations

import stat
from pathlib import Path

from studio.errors import DataError
from studio.settings import DATA_FOLDERS_VARIABLE, Settings

_SYSTEM_FOLDERS = tuple(Path(name) for name in ("/proc", "/sys", "/dev"))
_WINDOWS_DEVICES = ("\\\\.\\", "\\\\?\\GLOBALROOT")
_KINDS = ((stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a disk"), (stat.S_ISFIFO, "a pipe"),
          (stat.S_ISSOCK, "a socket"))
_HINT = "Give a file or folder that lies on a disk."


def require_allowed(path: Path, settings: Settings) -> None:
    """Raises DataError where `path`, which exists, must not be read. Links are followed first."""
    if str(path).startswith(_WINDOWS_DEVICES):
        raise DataError(f"{path} is a device, not a data file.", _HINT)
    real = path.resolve()
    mode = real.stat().st_mode
    for is_kind, kind in _KINDS:
        if is_kind(mode):
            raise DataError(f"{path} is {kind}, not a data file.", _HINT)
    if any(real.is_relative_to(folder) for folder in _SYSTEM_FOLDERS):
        raise DataError(f"{path} belongs to the operating system and is no data.", _HINT)
    if not _is_inside(real, settings):
        raise DataError(
            f"{path} lies outside the folders that data may be read from.",
            f"Move it into one of {', '.join(map(str, settings.data_folders))}, or add its folder "
            f"to {DATA_FOLDERS_VARIABLE} and start the studio again.")


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a link inside `folder` points to something outside it, or to nothing."""
    if not path.is_symlink():
        return False
    real = path.resolve()
    return not real.is_relative_to(folder.resolve()) or not real.exists()


def starter_folder() -> Path:
    """The data that come with the studio; they may always be read."""
    return Path(__file__).resolve().parents[3] / "assets" / "starter"


def _is_inside(real: Path, settings: Settings) -> bool:
    if not settings.data_folders:
        return True
    allowed = (*settings.data_folders, settings.uploads, starter_folder())
    return any(real.is_relative_to(folder.resolve()) for folder in allowed)
