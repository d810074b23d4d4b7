"""A child process ends with whoever asked for it, also in the midst of a long call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from studio.child import Child

ROOT = str(Path(__file__).parents[1])
MOST_SECONDS = 30.0
WORK = """
import sys, time
sys.path.insert(0, sys.argv[1])
from studio.child import end_with
end_with(int(sys.argv[2]))
time.sleep(600)
"""


def test_a_child_ends_once_its_parent_is_gone(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with Child(["-c", WORK, ROOT, str(parent.pid)], cwd=tmp_path) as child:
            assert not child.has_ended(1.0)
            parent.communicate(b"\n")
            assert child.has_ended(MOST_SECONDS)
            assert not child.has_succeeded and child.last_words == "it said nothing"
    finally:
        parent.kill()
        parent.wait()
