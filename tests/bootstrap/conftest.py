"""The tiny checkout: bare, with a Python of its own, or with its first install behind it.

Making an environment takes seconds, so each kind is made once and copied.
"""

from __future__ import annotations

import shutil
import sys
import venv
from pathlib import Path

import pytest

from tests.bootstrap.tiny_checkout import TinyCheckout, make_checkout


@pytest.fixture(scope="session")
def empty_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with pip and nothing else; only copied."""
    folder = tmp_path_factory.mktemp("empty") / ".venv"
    with pytest.MonkeyPatch.context() as patch:
        # What pip is compiled to belongs beside it, to be copied with it.
        patch.delenv("PYTHONPYCACHEPREFIX", raising=False)
        venv.EnvBuilder(with_pip=True, symlinks=sys.platform != "win32").create(folder)
    return folder


@pytest.fixture(scope="session")
def installed_environment(
    tmp_path_factory: pytest.TempPathFactory, empty_environment: Path
) -> Path:
    """The environment of a tiny checkout after its first start; only copied."""
    made = make_checkout(tmp_path_factory.mktemp("installed"))
    shutil.copytree(empty_environment, made.venv, symlinks=True)
    done = made.launch("runs")
    assert done.returncode == 0, done.stderr
    return made.venv


@pytest.fixture
def bare_checkout(tmp_path: Path) -> TinyCheckout:
    """Nothing is there yet, not even an environment."""
    return make_checkout(tmp_path)


@pytest.fixture
def empty_checkout(bare_checkout: TinyCheckout, empty_environment: Path) -> TinyCheckout:
    """The environment is made, and nothing is installed into it."""
    shutil.copytree(empty_environment, bare_checkout.venv, symlinks=True)
    return bare_checkout


@pytest.fixture
def checkout(bare_checkout: TinyCheckout, installed_environment: Path) -> TinyCheckout:
    """The first start is done."""
    shutil.copytree(installed_environment, bare_checkout.venv, symlinks=True)
    return bare_checkout


@pytest.fixture
def own_python(tmp_path: Path, empty_environment: Path) -> str:
    """The Python of somebody's own environment, in a folder named `mine`."""
    shutil.copytree(empty_environment, tmp_path / "mine", symlinks=True)
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    return str(tmp_path / "mine" / scripts / "python")
