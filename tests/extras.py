"""An environment that has the optional packages too, beside the one that runs the tests.

Made once by pip with the project's own lists and lock, so it also shows that the extras can be
installed without changing any locked version. Takes a minute; only tests marked slow use it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from studio.bootstrap.requirements import LOCK_NAME, read_requirements

ROOT = Path(__file__).parent.parent
EXTRAS = ("trackers", "lm-eval", "quantize", "mergekit", "keyring")


def extras_python(folder: Path) -> Path:
    """The interpreter of the environment in `folder`; everything else is found where it is."""
    wanted = [requirement.text for requirement in read_requirements(ROOT, EXTRAS)]
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    mark = folder / "installed.sha256"
    lists = hashlib.sha256("\n".join(wanted).encode() + (ROOT / LOCK_NAME).read_bytes())
    if mark.exists() and mark.read_text(encoding="utf-8") == lists.hexdigest():
        return python
    venv.create(folder, clear=True, with_pip=True)
    inside = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, encoding="utf-8").stdout.strip()
    (Path(inside) / "beside.pth").write_text(
        f"{sysconfig.get_path('purelib')}\n{ROOT}\n", encoding="utf-8")
    done = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "-c", ROOT / LOCK_NAME, *wanted],
        capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    mark.write_text(lists.hexdigest(), encoding="utf-8")
    return python


def call_with_extras(
    python: Path, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A verb of the studio in that environment."""
    return subprocess.run(
        [python, "-m", "studio.cli", *arguments], capture_output=True, encoding="utf-8",
        env={**os.environ, **(environment or {})}, cwd=ROOT, timeout=500)


if __name__ == "__main__":
    sys.stdout.write(f"{extras_python(Path(sys.argv[1]))}\n")
