"""Tries torch's CUDA and bitsandbytes in a process of its own, and tells what came of it.

Importing them takes seconds, and a broken native library must not take the studio down. What is
not installed is not tried.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRIAL_SECONDS = 90
_MARK = "trial:"

# bitsandbytes' import succeeds without its native library; a stand-in fails at the first use
# instead. `get_arch_list` and `cuda.init` work on any build and say why CUDA cannot be used.
_SCRIPT = """
import json, sys
found = {}
def tell():
    print("trial:" + json.dumps(found), flush=True)
if "torch" in sys.argv:
    import torch
    found["architectures"] = torch.cuda.get_arch_list()
    if torch.version.cuda:
        try:
            torch.cuda.init()
            found["gpu_uuid"] = str(torch.cuda.get_device_properties(0).uuid)
            found["cuda_works"] = True
        except (RuntimeError, AssertionError, OSError) as error:
            found["cuda_works"] = False
            found["cuda_error"] = (str(error).strip().splitlines() or [""])[0]
    tell()
if "bitsandbytes" in sys.argv:
    try:
        import bitsandbytes.cextension as extension
        if type(extension.lib).__name__.startswith("ErrorHandler"):
            found["bitsandbytes_error"] = "its native library does not load."
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        found["bitsandbytes_error"] = f"{type(error).__name__}: {error}".splitlines()[0]
    found["bitsandbytes_tried"] = True
    tell()
"""


@dataclass(frozen=True)
class Trial:
    """What the libraries did. `cuda_works` is None where CUDA was not tried; `architectures` are
    torch's, such as ("sm_80", "sm_90"); `bitsandbytes_error` is None where it loads."""

    cuda_works: bool | None = None
    cuda_error: str = ""
    gpu_uuid: str | None = None
    architectures: tuple[str, ...] = ()
    bitsandbytes_error: str | None = None


def try_libraries(installed: Collection[str]) -> Trial:
    """Import what is there of torch and bitsandbytes. Takes 5 to 15 seconds."""
    wanted = [name for name in ("torch", "bitsandbytes") if name in installed]
    if not wanted:
        return Trial()
    command = [sys.executable, "-c", _SCRIPT, *wanted]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8",
                              errors="replace", timeout=TRIAL_SECONDS, check=False,
                              cwd=Path(tempfile.gettempdir()))
    except subprocess.TimeoutExpired as slow:
        said = slow.stdout or ""
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        return read_trial(text, wanted, f"loading takes more than {TRIAL_SECONDS} seconds.")
    lines = done.stderr.strip().splitlines()
    ending = lines[-1] if lines else f"it ends with code {done.returncode}."
    return read_trial(done.stdout, wanted, ending)


def read_trial(output: str, wanted: list[str], ending: str) -> Trial:
    """The trial from what the process said; `ending` is its last word where it broke off."""
    found: dict[str, Any] = {}
    for line in output.splitlines():
        if line.startswith(_MARK):
            found = json.loads(line.removeprefix(_MARK))
    error = found.get("bitsandbytes_error")
    if "bitsandbytes" in wanted and not found.get("bitsandbytes_tried"):
        error = ending
    works = found.get("cuda_works")
    if "torch" in wanted and "architectures" not in found:
        return Trial(False, ending, bitsandbytes_error=error)
    return Trial(works, found.get("cuda_error", ""), found.get("gpu_uuid"),
                 tuple(found.get("architectures", ())), error)
