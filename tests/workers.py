"""Tests shared out among processes by pytest-xdist: how many, and which tests stay together."""

from __future__ import annotations

import os
from typing import Any

import psutil

from studio.main_memory import read_main_memory

MOST_WORKERS = 4
"""The page tests, which stay together, take as long as a quarter of all others."""
BYTES_OF_A_WORKER = 4_000_000_000
"""What a process with all libraries holds at most, and the programs that it starts."""
PAGE_TESTS = "tests/browser"


def workers_with_room() -> int:
    """How many processes the processor and the free memory have room for; 0 to share nothing."""
    cores = len(psutil.Process().cpu_affinity() if hasattr(psutil.Process, "cpu_affinity")
                else range(os.cpu_count() or 1))
    room = read_main_memory().available_bytes // BYTES_OF_A_WORKER
    workers = min(cores, room, MOST_WORKERS)
    return workers if workers > 1 else 0


def take_a_share_of_the_cores() -> None:
    """In a worker: each computes with its share of the cores. Call it before torch is imported."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        threads = max(1, (os.cpu_count() or 1) // workers)
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))


def what_stays_together(node_id: str) -> str:
    """The file of a test, whose tests share what they prepare; all page tests are one share, so
    that only one browser and one studio are at work."""
    file = node_id.partition("::")[0]
    return PAGE_TESTS if file.startswith(f"{PAGE_TESTS}/") else file


def longest_share_first(items: list[Any]) -> None:
    """The page tests are the longest share: begun last, everybody would wait for them."""
    items.sort(key=lambda item: what_stays_together(item.nodeid) != PAGE_TESTS)


def sharing_by_file(config: Any, log: Any) -> Any:
    """A scheduler of pytest-xdist that hands out what stays together, in the order of the tests."""
    from xdist.scheduler import LoadScopeScheduling

    class SharingByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return what_stays_together(nodeid)

    config.option.loadscopereorder = False
    return SharingByFile(config, log)
