"""A training thread steps back, and no other thread with it."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from studio.training.priority import step_back


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities for threads")
def test_only_the_thread_itself_and_those_that_it_begins_step_back() -> None:
    found: dict[str, int] = {}

    def note(name: str) -> None:
        found[name] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work() -> None:
        step_back()
        note("training")
        _run(lambda: note("begun by it"))

    note("before")
    _run(work)
    note("after")
    assert found["after"] == found["before"]
    assert found["training"] == found["begun by it"] == min(19, found["before"] + 5)


def _run(work: object) -> None:
    thread = threading.Thread(target=work)  # type: ignore[arg-type]
    thread.start()
    thread.join()
