"""What a thread of its own computes, to a generator that a page can leave at any moment.

The thread writes, such as by calling `generate`; the consumer gets (seconds, one token per row)
from a queue. Nothing of torch's thread-local state is held across a yield, since pages resume
generators on other threads.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from studio.errors import StudioError
from studio.progress import ShouldStop

if TYPE_CHECKING:
    import torch

UPDATES_PER_SECOND = 20
T = TypeVar("T")


@dataclass(frozen=True)
class Tokens:
    """One step of all rows; `seconds` since the thread began."""

    seconds: float
    ids: list[int]


class ThreadStream(Generic[T]):
    """Runs `work(put, should_stop)` on a thread and iterates over what it puts."""

    def __init__(self, work: Callable[[Callable[[T], None], ShouldStop], None],
                 stop: ShouldStop) -> None:
        # A finished future ends the stream, well or with its error.
        self._queue: queue.SimpleQueue[T | Future[None]] = queue.SimpleQueue()
        self._abandoned = threading.Event()
        self._stop = stop
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="chat-tokens")
        self._future = self._executor.submit(work, self._queue.put, self.should_stop)
        self._future.add_done_callback(self._queue.put)

    def should_stop(self) -> bool:
        """Whether the person or the consumer has had enough."""
        return self._abandoned.is_set() or self._stop()

    @property
    def has_failed(self) -> bool:
        """Whether the thread ended with an error that nobody foresaw."""
        if not self._future.done():
            return False
        return not isinstance(self._future.exception(), StudioError | None)

    def close(self) -> None:
        """Ask the thread to stop and wait for its end, so that nothing is in use afterwards."""
        self._abandoned.set()
        self._executor.shutdown(wait=True)

    def __iter__(self) -> Iterator[list[T]]:
        """What is new, at most UPDATES_PER_SECOND times a second; raises what the thread raised."""
        over = False
        while not over:
            batch, over = self._drain(self._queue.get())
            due = time.monotonic() + 1 / UPDATES_PER_SECOND
            if batch:
                yield batch
            if not over:
                # Until the next update is due, or until nothing more will come.
                wait([self._future], max(0.0, due - time.monotonic()))
        self._future.result()

    def _drain(self, item: T | Future[None]) -> tuple[list[T], bool]:
        """`item` and everything that waits behind it, and whether that was all."""
        batch: list[T] = []
        while not isinstance(item, Future):
            batch.append(item)
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True


class TokenStream(ThreadStream[Tokens]):
    """Runs `work(streamer, should_stop)`, where `generate` takes the streamer."""

    def __init__(self, work: Callable[[Any, ShouldStop], None], stop: ShouldStop) -> None:
        super().__init__(lambda put, should_stop: work(_PuttingStreamer(put), should_stop), stop)


class _PuttingStreamer:
    """What `generate` calls with the prompt first and then with one token per row."""

    def __init__(self, put: Callable[[Tokens], None]) -> None:
        self._put = put
        self._prompt_seen = False
        self._started = time.monotonic()

    def put(self, value: torch.Tensor) -> None:
        """Ids of shape (rows, prompt length) once, then (rows,) for each step."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self._put(Tokens(time.monotonic() - self._started, value.flatten().tolist()))

    def end(self) -> None:
        """generate() is through; the finished future says so."""
