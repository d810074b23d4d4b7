"""One call of pip: a line of progress for the person, everything else in the log."""

from __future__ import annotations

import queue
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from studio.bootstrap.console import ProgressLine
from studio.bootstrap.environment import Environment
from studio.bootstrap.handover import child_environment
from studio.bootstrap.pip_progress import PipProgress

SECONDS_BETWEEN_LOOKS = 0.3


@dataclass(frozen=True)
class PipResult:
    """How a call of pip ended."""

    ok: bool
    output: str
    fetched_bytes: int


def run_pip(
    environment: Environment, arguments: Sequence[str], log: Path, expected_packages: int
) -> PipResult:
    """Run `pip install ...` in the environment and wait for it.

    pip's configuration (proxies, mirrors, find-links) stays in force. Its temporary files lie in
    the environment's folder: there is room there, which a small /tmp may not have.
    """
    temporary = log.parent / "pip-temporary"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    # Not compiled: most modules of these packages are never imported, the others at first use.
    command = [
        str(environment.python), "-P", "-m", "pip", "install", "--no-input", "--no-color",
        "--progress-bar", "off", "--disable-pip-version-check", "--no-compile", *arguments,
    ]
    folder = str(temporary)
    variables = child_environment(
        environment.root, TMPDIR=folder, TEMP=folder, TMP=folder, PYTHONUNBUFFERED="1",
        PYTHONIOENCODING="utf-8", PYTHONPATH="",
    )
    progress = PipProgress(expected_packages, temporary, environment.site_packages)
    process = subprocess.Popen(
        command, cwd=environment.root, env=variables, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
        close_fds=False,  # the install lock goes along, see install_lock.py
    )
    try:
        with log.open("a", encoding="utf-8") as file:
            file.write(f"\n$ {subprocess.list2cmdline(command)}\n")
            output = _follow(process, progress, file)
        return PipResult(process.wait() == 0, output, progress.fetched_bytes)
    finally:
        if process.poll() is None:
            # Ctrl+C, or a full disk under the log: pip must not go on alone.
            process.kill()
            process.wait()
        shutil.rmtree(temporary, ignore_errors=True)


def _follow(process: subprocess.Popen[str], progress: PipProgress, log: IO[str]) -> str:
    """Show progress until pip closes its output; gives all of the output."""
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    shown = ProgressLine()
    kept: list[str] = []
    while True:
        try:
            line = lines.get(timeout=SECONDS_BETWEEN_LOOKS)
        except queue.Empty:
            shown.show(progress.describe())
            continue
        if line is None:
            break
        kept.append(line)
        log.write(line)
        log.flush()
        progress.feed(line)
        if lines.empty():
            shown.show(progress.describe())
    shown.end()
    return "".join(kept)


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)
