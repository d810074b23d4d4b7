"""A disk that takes no more is a sentence, wherever it happens, and leaves nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit for the size of a file")
@pytest.mark.parametrize("largest_bytes", [20_000, 150_000])
def test_the_disk_refuses_the_store_or_what_was_found(tmp_path: Path, largest_bytes: int) -> None:
    data = tmp_path / "a.jsonl"
    data.write_text("".join(json.dumps({"prompt": f"question {n} {n * 7919 % 10007}",
                                        "completion": f"{n * 104729}"}) + "\n"
                            for n in range(4000)), encoding="utf-8")
    script = textwrap.dedent(f"""
        import resource, signal, sys
        sys.path.insert(0, {str(ROOT)!r})
        from studio.data.lab.look import inspect
        from studio.errors import DiskError
        from studio.recipe import Data
        from studio.settings import load_settings
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({largest_bytes}, {largest_bytes}))
        try:
            inspect(Data(source={str(data)!r}), load_settings({str(tmp_path / "home")!r}))
        except DiskError as error:
            print(error.message)
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          check=True)
    what = "What was read" if largest_bytes < 100_000 else "What was found"
    assert done.stdout.startswith(f"{what} cannot be written to ")
    assert list((tmp_path / "home").rglob(".partial-*")) == []
