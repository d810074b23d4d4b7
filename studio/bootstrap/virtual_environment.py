"""Making `.venv`, and making it anew when its Python is gone or broken."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from studio.bootstrap.environment import Environment
from studio.bootstrap.install_lock import LOCK_FILE_NAME
from studio.errors import SetupError

_CHECK = (
    "import importlib.metadata, sys; importlib.metadata.version('pip'); "
    "from pip import __version__; sys.exit(sys.version_info < (3, 11))"
)
"""Metadata and module both: each can be there without the other after a cut-off install."""


def ensure_python(environment: Environment, log: Path) -> None:
    """Leave the environment with a Python that runs and has pip. SetupError if none can be made."""
    if works(environment):
        return
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise _venv_is_missing()
    _clear(environment.folder)
    # From inside a virtual environment its base Python makes the new one.
    maker = getattr(sys, "_base_executable", None) or sys.executable
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n$ {maker} -m venv {environment.folder}\n")
        file.flush()
        made = subprocess.run(
            [maker, "-m", "venv", str(environment.folder)], stdin=subprocess.DEVNULL,
            stdout=file, stderr=subprocess.STDOUT, check=False,
        )
    if made.returncode or not works(environment):
        text = log.read_text(encoding="utf-8", errors="replace")[-4000:]
        if "ensurepip" in text:
            raise _venv_is_missing()
        raise SetupError(
            f"Python could not make the environment {environment.folder}.",
            f"What it said is in {log}. Delete that folder and run the same command again, or use "
            "a Python from https://www.python.org/downloads/.",
        )


def works(environment: Environment) -> bool:
    """Whether the environment's Python starts, is new enough, and has pip."""
    if not environment.python.exists():
        return False
    try:
        check = subprocess.run(
            [str(environment.python), "-P", "-c", _CHECK], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        )
    except OSError:
        return False
    return check.returncode == 0


def _clear(folder: Path) -> None:
    """Empty the folder, except for what this start itself holds open."""
    for entry in folder.iterdir():
        if entry.name == LOCK_FILE_NAME or entry.suffix == ".log":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _venv_is_missing() -> SetupError:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return SetupError(
        f"This Python {version} cannot make environments: its venv or ensurepip is missing.",
        f"On Debian or Ubuntu: sudo apt install python{version}-venv. Elsewhere take Python from "
        "https://www.python.org/downloads/. Then run the same command again.",
    )
