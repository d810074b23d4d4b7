"""Work is spread over processes in order, stops when asked, and dies with the studio."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from studio.data.lab.workers import PAYS_FROM_BYTES, mapped, worker_count
from studio.errors import DataError, Stopped
from studio.progress import never

ROOT = Path(__file__).parents[3]


def doubled(offset: int, item: int) -> tuple[int, int]:
    return offset + 2 * item, os.getpid()


def refuses(_: None, item: int) -> int:
    if item == 3:
        raise DataError("three is refused", "take four")
    return item


def ends_itself(_: None, item: int) -> int:
    os._exit(7)


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_order(workers):
    found = list(mapped(doubled, 100, range(20), workers=workers, stop=never))
    assert [value for value, _ in found] == [100 + 2 * item for item in range(20)]
    here = {process for _, process in found} == {os.getpid()}
    assert here == (workers == 0)


@pytest.mark.parametrize("workers", [0, 1])
def test_what_the_task_raises_arrives_with_its_hint(workers):
    found = mapped(refuses, None, range(10), workers=workers, stop=never)
    with pytest.raises(DataError, match="three is refused") as caught:
        list(found)
    assert caught.value.hint == "take four"


def test_few_items_are_read_ahead():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    found = mapped(doubled, 0, items(), workers=1, stop=never)
    next(found)
    assert len(taken) <= 4
    found.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stop_is_honoured(workers):
    seen = []
    with pytest.raises(Stopped):
        for value, _ in mapped(doubled, 0, range(1000), workers=workers,
                               stop=lambda: len(seen) >= 3):
            seen.append(value)
    assert len(seen) == 3


def test_a_process_that_dies_is_a_sentence():
    with pytest.raises(DataError, match="ended early"):
        list(mapped(ends_itself, None, range(3), workers=1, stop=never))


def test_small_sets_are_worked_on_right_here():
    assert worker_count(PAYS_FROM_BYTES - 1) == 0
    assert worker_count(PAYS_FROM_BYTES) >= 1
    assert worker_count(None) >= 1


def test_workers_end_when_the_studio_is_killed(tmp_path):
    script = tmp_path / "studio_killed.py"
    script.write_text(textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(ROOT)!r})
        from studio.data.lab.workers import mapped
        def wait(_, item):
            import os
            print(os.getpid(), flush=True)
            time.sleep(60)
        if __name__ == "__main__":
            list(mapped(wait, None, [1], workers=1, stop=lambda: False))
    """), encoding="utf-8")
    studio = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert studio.stdout is not None
    worker = psutil.Process(int(studio.stdout.readline()))
    studio.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    studio.wait()
    deadline = time.monotonic() + 30
    while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the worker outlived the studio"
        time.sleep(0.1)
