"""A stop between two weights while transformers loads a model.

transformers asks one hook of the whole process for each of its progress bars. Ours is there only
while somebody loads with a stop, and touches only bars of the very thread that does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from studio.errors import Stopped
from studio.progress import ShouldStop, never

_lock = threading.Lock()
_stops: dict[int, ShouldStop] = {}
"""By thread. The hook is in place while there is one."""
_before: Any = None
"""The hook that somebody else had set, asked for every bar."""


@contextmanager
def stoppable_loading(stop: ShouldStop) -> Iterator[None]:
    """Inside the block a load on this thread raises Stopped between two weights."""
    if stop is never:
        yield
        return
    _begin(stop)
    try:
        yield
    finally:
        _end()


def _begin(stop: ShouldStop) -> None:
    global _before
    from transformers.utils.logging import set_tqdm_hook

    with _lock:
        if not _stops:
            _before = set_tqdm_hook(_bar)
        _stops[threading.get_ident()] = stop


def _end() -> None:
    global _before
    from transformers.utils.logging import set_tqdm_hook

    with _lock:
        del _stops[threading.get_ident()]
        if not _stops:
            set_tqdm_hook(_before)
            _before = None


def _bar(factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What transformers gets where it makes a bar."""
    before = _before
    bar = before(factory, args, kwargs) if before is not None else factory(*args, **kwargs)
    stop = _stops.get(threading.get_ident())
    return bar if stop is None else _Watched(bar, stop)


class _Watched:
    """A bar that asks for the stop before it hands on the next thing."""

    def __init__(self, bar: Any, stop: ShouldStop) -> None:
        self._bar = bar
        self._stop = stop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bar, name)

    def __enter__(self) -> _Watched:
        self._bar.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._bar.__exit__(*error)

    def __iter__(self) -> Iterator[Any]:
        for item in self._bar:
            if self._stop():
                raise Stopped("Stopped while the model was loaded.")
            yield item
