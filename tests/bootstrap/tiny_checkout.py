"""A checkout as small as it gets: the real launch.py and bootstrap, a studio.cli that echoes, and
four hand-made wheels. It installs for real, into a real .venv, in a second, without a network.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny-studio"
version = "1.0"
dependencies = ["tiny-dep>=1,<2", "torch>=2.13"]
[project.optional-dependencies]
test = ["tiny-test>=1"]
"""

BACKEND = '''\
"""An editable install without setuptools; waits as long as a file named `hold` is there."""
import pathlib, time, zipfile

ROOT = pathlib.Path(__file__).parent
METADATA = """Metadata-Version: 2.1
Name: tiny-studio
Version: 1.0
Requires-Dist: tiny-dep>=1,<2
Requires-Dist: torch>=2.13
Provides-Extra: test
Requires-Dist: tiny-test>=1; extra == "test"
"""

def build_editable(folder, config_settings=None, metadata_directory=None):
    (ROOT / "reached").write_text("")
    while (ROOT / "hold").exists():
        time.sleep(0.05)
    name = "tiny_studio-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        info = "tiny_studio-1.0.dist-info/"
        wheel.writestr("tiny_studio.pth", str(ROOT))
        wheel.writestr(info + "METADATA", METADATA)
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\n"
                       "Root-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
'''

ECHO = '''\
import json, os, sys
import torch.version
print(json.dumps({"arguments": sys.argv[1:], "prefix": sys.prefix, "folder": os.getcwd()}))
sys.exit(int(os.environ.get("EXIT_CODE", "0")))
'''


@dataclass
class TinyCheckout:
    """The folder, its wheels, and a way to call its launch.py."""

    root: Path
    wheels: Path
    path: Path
    """The only folder on PATH, where a test may put a fake nvidia-smi."""

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def site_packages(self) -> Path:
        return next(self.venv.rglob("site-packages"))

    def variables(self, **more: str) -> dict[str, str]:
        """Pip sees only the hand-made wheels; nothing of this PC's settings is inherited."""
        kept = {name: os.environ[name] for name in ("SYSTEMROOT", "TEMP", "TMP", "USERPROFILE")
                if name in os.environ}
        return {**kept, "PATH": str(self.path), "HOME": str(self.root.parent),
                "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": str(self.wheels), **more}

    def command(self, *arguments: str, python: str | None = None) -> list[str]:
        maker = python or getattr(sys, "_base_executable", sys.executable)
        return [maker, str(self.root / "launch.py"), *arguments]

    def launch(
        self, *arguments: str, python: str | None = None, folder: Path | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments, python=python), capture_output=True, encoding="utf-8",
            env=self.variables(**more), cwd=folder or self.root.parent, timeout=300, check=False,
        )

    def torch_version(self) -> str:
        from studio.bootstrap.torch_check import read_torch

        torch = read_torch(self.site_packages)
        assert torch is not None
        return torch.version

    def add_nvidia_driver(self, answer: str) -> None:
        """A fake nvidia-smi that answers every question with these lines."""
        add_fake_nvidia_smi(self.path, answer)


def make_checkout(folder: Path) -> TinyCheckout:
    root, wheels, path = folder / "checkout", folder / "wheels", folder / "path"
    for made in (root / "studio" / "cli", wheels, path):
        made.mkdir(parents=True)
    shutil.copy(REPOSITORY / "launch.py", root)
    for name in ("__init__.py", "errors.py", "files.py"):
        shutil.copy(REPOSITORY / "studio" / name, root / "studio")
    shutil.copytree(REPOSITORY / "studio" / "bootstrap", root / "studio" / "bootstrap",
                    ignore=shutil.ignore_patterns("__pycache__"))
    (root / "studio" / "cli" / "__init__.py").write_text("")
    (root / "studio" / "cli" / "__main__.py").write_text(ECHO)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "backend.py").write_text(BACKEND)
    (root / "requirements.lock").write_text(
        "tiny-dep==1.1\ntorch==2.13.0\ntiny-test==1.0  # tests\n"
    )
    for version in ("1.0", "1.1", "1.2"):
        make_wheel(wheels, "tiny_dep", version, {"tiny_dep/__init__.py": f"V = '{version}'\n" * 50})
    make_wheel(wheels, "tiny_test", "1.0", {"tiny_test.py": ""})
    make_torch(wheels, "2.13.0", None)
    return TinyCheckout(root, wheels, path)


def make_torch(wheels: Path, version: str, cuda: str | None) -> None:
    text = (f"from typing import Optional\n__version__ = '{version}'\n"
            f"cuda: Optional[str] = {cuda!r}\nhip: Optional[str] = None\n")
    make_wheel(wheels, "torch", version, {"torch/__init__.py": "", "torch/version.py": text})


def make_wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> None:
    info = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\n"
                         "Tag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in files.items()
    )
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")


def add_fake_nvidia_smi(folder: Path, answer: str) -> Path:
    if sys.platform == "win32":
        program = folder / "nvidia-smi.bat"
        lines = "\r\n".join(f"@echo {line}" for line in answer.splitlines())
        program.write_text(lines + "\r\n")
        return program
    program = folder / "nvidia-smi"
    lines = "\n".join(f"echo '{line}'" for line in answer.splitlines())
    program.write_text(f"#!/bin/sh\n{lines}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
