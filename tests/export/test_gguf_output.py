"""What a process that writes files says when it fails is a sentence of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from studio.errors import BusyError, DiskError, ExportError
from studio.export.gguf_output import Growth, gguf_written_whole, run_writer
from studio.progress import Step, never, silent

GROWTH = Growth("Writing", 100)


def test_a_disk_that_fills_up_and_memory_that_runs_out_are_told(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="filled up"):
        run_writer(["-c", "import errno; raise OSError(errno.ENOSPC, 'No space left')"],
                   [tmp_path / "a"], GROWTH, silent, never)
    if sys.platform == "win32":
        return  # a failed allocation is an error of the program there
    with pytest.raises(ExportError, match="memory ran out"):
        run_writer(["-c", "import os; os.kill(os.getpid(), 9)"], [tmp_path / "a"], GROWTH, silent,
                   never)


def test_growth_is_reported_up_to_what_was_foretold(tmp_path: Path) -> None:
    steps: list[Step] = []
    script = "import time; open('a', 'wb').write(bytes(150)); time.sleep(0.5)"
    ended = run_writer(["-c", script], [tmp_path / "a"], GROWTH, steps.append, never)
    assert ended.has_succeeded
    assert steps and {(step.done, step.total) for step in steps} == {(100, 100)}


def test_a_file_that_another_program_holds_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(Path, "replace", held)
    with pytest.raises(BusyError, match="Access is denied"), \
            gguf_written_whole(tmp_path / "a.gguf") as beside:
        beside.write_bytes(b"GGUF")
    assert list(tmp_path.iterdir()) == []
