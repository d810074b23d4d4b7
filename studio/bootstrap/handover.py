"""Starting other programs: the verb in the chosen environment, and quiet helpers with a log.

Ends cleanly on Ctrl+C and passes exit codes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from studio.bootstrap.console import ProgressLine
from studio.bootstrap.environment import Environment


def child_environment(root: Path, **changes: str) -> dict[str, str]:
    """The variables for a program of the studio: the checkout is importable, the rest as it was."""
    variables = dict(os.environ)
    variables["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(root), variables.get("PYTHONPATH", "")))
    )
    # macOS framework builds hand this down; it would make the .venv's Python take itself for ours.
    variables.pop("__PYVENV_LAUNCHER__", None)
    variables.update(changes)
    return variables


def run_module(
    environment: Environment, module: str, arguments: Sequence[str], folder: Path | None = None
) -> int:
    """Run `python -m module arguments` and give its exit code; on POSIX it replaces this process.

    `-P` keeps a folder named `studio` in the person's working directory from being imported.
    """
    command = [str(environment.python), "-P", "-m", module, *arguments]
    variables = child_environment(environment.root)
    if folder is not None:
        os.chdir(folder)
    if os.name == "posix":
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(command[0], command, variables)
    return _wait(subprocess.Popen(command, env=variables))


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait through Ctrl+C: the child gets it too and decides when it is done."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def run_quietly(command: Sequence[str], log: Path, what: str, **changes: str) -> int:
    """Run a program with its output in `log`, showing `what` and the elapsed seconds."""
    line = ProgressLine()
    variables = {**os.environ, **changes}
    with log.open("ab") as file:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                env=variables,
            )
        except OSError as error:
            file.write(f"{command[0]}: {error}\n".encode())
            return 127
        seconds = 0
        while True:
            try:
                code = process.wait(timeout=1.0)
                break
            except subprocess.TimeoutExpired:
                seconds += 1
                line.show(f"{what} ({seconds} s)")
    line.end()
    return code
