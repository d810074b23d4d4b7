"""Which Python the studio runs in: the present one if it has what is needed, else `.venv`.

Chooses only; install.py fills an environment that is not complete.
"""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from studio.bootstrap.requirements import fingerprint, read_requirements, unmet
from studio.bootstrap.stamp import Stamp, read_stamp

FOLDER_NAME = ".venv"


@dataclass(frozen=True)
class Environment:
    """A Python and where its packages lie."""

    root: Path
    """The checkout: the folder of launch.py."""
    folder: Path
    """The environment's own folder, sys.prefix of its Python."""
    owned: bool
    """True for `.venv` beside launch.py, which the studio fills and repairs itself."""

    @property
    def python(self) -> Path:
        """The interpreter to start."""
        if not self.owned:
            return Path(sys.executable)
        if sys.platform == "win32":
            return self.folder / "Scripts" / "python.exe"
        return self.folder / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """Where packages are installed; of an environment that does not exist yet, a guess."""
        if not self.owned:
            return Path(sysconfig.get_path("purelib"))
        if sys.platform == "win32":
            return self.folder / "Lib" / "site-packages"
        found = sorted((self.folder / "lib").glob("python*/site-packages"))
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        return found[-1] if found else self.folder / "lib" / version / "site-packages"


def own_environment(root: Path) -> Environment:
    """`.venv` beside launch.py, there or not."""
    return Environment(root, root / FOLDER_NAME, owned=True)


def choose(root: Path) -> tuple[Environment, list[str]]:
    """The environment to run in, and what an active environment lacks if it was passed over."""
    own = own_environment(root)
    if _same_folder(Path(sys.prefix), own.folder):
        return own, []
    active = inside_an_environment()
    if not active and is_complete(own):
        return own, []
    needed = read_requirements(root)
    lacking = unmet(needed)
    if not lacking:
        return Environment(root, Path(sys.prefix), owned=False), []
    was_meant = active and 2 * len(lacking) < len(needed)
    return own, lacking if was_meant else []


def inside_an_environment() -> bool:
    """Whether a venv or a conda environment is active, rather than the system's Python."""
    return sys.prefix != sys.base_prefix or (Path(sys.prefix) / "conda-meta").is_dir()


def is_complete(environment: Environment, extras: tuple[str, ...] = ()) -> bool:
    """Whether nothing is left to install; reads a few small files, starts nothing.

    An environment that somebody else manages is complete if its packages will do.
    """
    if not environment.owned:
        return not unmet(read_requirements(environment.root, extras))
    stamp = read_stamp(environment.folder)
    return (
        stamp is not None
        and stamp.fingerprints.get(",".join(extras)) == fingerprint(environment.root, extras)
        and interpreter_is_the_same(environment, stamp)
    )


def interpreter_is_the_same(environment: Environment, stamp: Stamp) -> bool:
    """False once the Python that the environment was made from has been replaced or removed."""
    return environment.python.exists() and stamp.python == base_interpreter(environment)


def base_interpreter(environment: Environment) -> str:
    """The file behind the environment's Python, all links followed."""
    return str(environment.python.resolve())


def _same_folder(one: Path, other: Path) -> bool:
    return other.exists() and one.resolve() == other.resolve()
