"""Spreads work on pieces of a data set over processes, in order and with few pieces waiting.

A small set is worked on right here: a process costs about a second to start. Knows nothing of
what the work is; `task(context, item)` must be a function of a module, and everything that goes
in and comes out is pickled.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from studio.errors import DataError, Stopped
from studio.progress import ShouldStop

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_WORKERS = 8
PAYS_FROM_BYTES = 12_000_000
"""Below, starting processes costs more than they save."""
_WAITING_PER_WORKER = 2
_LOOK_SECONDS = 0.2
_ITEMS_PER_COLLECTION = 32


def worker_count(total_bytes: int | None) -> int:
    """How many processes to use for so much text; 0 means to work right here."""
    if total_bytes is not None and total_bytes < PAYS_FROM_BYTES:
        return 0
    return min(MOST_WORKERS, os.cpu_count() or 1)


def mapped(
    task: Callable[[Any, Item], Result], context: Any, items: Iterable[Item], *, workers: int,
    stop: ShouldStop,
) -> Iterator[Result]:
    """`task(context, item)` for each item, in order. Raises Stopped, and what `task` raises.

    At most a few items per worker are read ahead, so that memory does not grow with the set.
    """
    if workers == 0:
        for item in items:
            _require_going(stop)
            yield task(context, item)
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"),
                               initializer=_begin, initargs=(task, context))
    try:
        yield from _in_order(pool, items, workers * _WAITING_PER_WORKER, stop)
    except BrokenProcessPool as error:
        raise DataError("A process that worked on the data ended early; memory may have run out.",
                        "Close other programs and look at the data again.") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, items: Iterable[Item], most: int, stop: ShouldStop
) -> Iterator[Any]:
    waiting: deque[Future[Any]] = deque()
    for item in items:
        waiting.append(pool.submit(_work, item))
        if len(waiting) > most:
            yield _result(waiting.popleft(), stop)
    while waiting:
        yield _result(waiting.popleft(), stop)


def _result(future: Future[Any], stop: ShouldStop) -> Any:
    while True:
        _require_going(stop)
        try:
            return future.result(_LOOK_SECONDS)
        except TimeoutError:
            if future.done():  # the task itself raised it
                raise


def _require_going(stop: ShouldStop) -> None:
    if stop():
        raise Stopped("Looking at the data was stopped.")


_state: dict[str, Any] = {}


def _begin(task: Callable[..., Any], context: Any) -> None:
    """Runs first in every worker: leaves Ctrl+C to the studio, and ends when the studio does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _state.update(task=task, context=context)


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _work(item: Any) -> Any:
    """Without looking for circular garbage among a thousand rows again and again, which would take
    a third of the time; it is looked for once in a while instead."""
    gc.disable()
    _state["items"] = _state.get("items", 0) + 1
    if _state["items"] % _ITEMS_PER_COLLECTION == 0:
        gc.collect()
    return _state["task"](_state["context"], item)
