"""Tokens from a thread of their own to a generator that a page can leave at any moment.

The thread calls `generate`; the consumer gets (seconds, one token per row) from a queue. Nothing
of torch's thread-local state is held across a yield, since pages resume generators on other
threads.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.progress import ShouldStop

if TYPE_CHECKING:
    import torch

UPDATES_PER_SECOND = 20


@dataclass(frozen=True)
class Tokens:
    """One step of all rows; `seconds` since the thread began."""

    seconds: float
    ids: list[int]


Item = Tokens | Future[None]
"""A finished future ends the stream, well or with its error."""


class TokenStream:
    """Runs `work(streamer, should_stop)` on a thread and iterates over what it streams."""

    def __init__(self, work: Callable[[Any, ShouldStop], None], stop: ShouldStop) -> None:
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._abandoned = threading.Event()
        self._stop = stop
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="chat-tokens")
        streamer = _QueueStreamer(self._queue)
        self._future = self._executor.submit(work, streamer, self.should_stop)
        self._future.add_done_callback(self._queue.put)

    def should_stop(self) -> bool:
        """Whether the person or the consumer has had enough."""
        return self._abandoned.is_set() or self._stop()

    @property
    def has_failed(self) -> bool:
        """Whether the thread ended with an error."""
        return self._future.done() and self._future.exception() is not None

    def close(self) -> None:
        """Ask the thread to stop and wait for its end, so that nothing is in use afterwards."""
        self._abandoned.set()
        self._executor.shutdown(wait=True)

    def __iter__(self) -> Iterator[list[Tokens]]:
        """New steps, at most UPDATES_PER_SECOND times a second; raises what the thread raised."""
        over = False
        while not over:
            batch, over = self._drain(self._queue.get())
            due = time.monotonic() + 1 / UPDATES_PER_SECOND
            if batch:
                yield batch
            if not over:
                time.sleep(max(0.0, due - time.monotonic()))
        self._future.result()

    def _drain(self, item: Item) -> tuple[list[Tokens], bool]:
        """`item` and everything that waits behind it, and whether that was all."""
        batch: list[Tokens] = []
        while isinstance(item, Tokens):
            batch.append(item)
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True


class _QueueStreamer:
    """What `generate` calls with the prompt first and then with one token per row."""

    def __init__(self, out: queue.SimpleQueue[Item]) -> None:
        self._out = out
        self._prompt_seen = False
        self._started = time.monotonic()

    def put(self, value: torch.Tensor) -> None:
        """Ids of shape (rows, prompt length) once, then (rows,) for each step."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self._out.put(Tokens(time.monotonic() - self._started, value.flatten().tolist()))

    def end(self) -> None:
        """generate() is through; the finished future says so."""
