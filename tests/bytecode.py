"""Keeps what Python compiles, in a folder of its own, where it is told to keep nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def keep_bytecode(folder: Path) -> None:
    """For this process and all that it starts; nothing is written beside any source.

    PYTHONDONTWRITEBYTECODE is common in containers. With it, each of the many programs that tests
    start would compile all of PyTorch and Transformers anew, which takes as long as loading them.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", "") and "PYTHONPYCACHEPREFIX" not in os.environ:
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(folder)
        sys.dont_write_bytecode = False
