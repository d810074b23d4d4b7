"""One thread at a time imports the engine's large libraries, while the program is warming up.

Python locks each module for itself: of two threads that come into the same package from different
ends, each waits for what the other has begun, and one of them is then given half a module. What
failed so stays broken until the program ends. With the gate closed, whoever imports one of them
first waits until nobody else does.

Does not import anything; `training/libraries.py` does, and whoever needs them sooner.
"""

from __future__ import annotations

import builtins
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LARGE = frozenset({
    "accelerate", "bitsandbytes", "datasets", "peft", "safetensors", "tokenizers", "torch",
    "transformers", "trl"})
"""Those that import one another. `safetensors` is small, and imports torch."""
_FETCHES_LATER = frozenset({"transformers", "trl"})
"""Of them those that import a part of themselves when it is first asked for."""
PATIENCE_SECONDS = 120.0
"""No import takes as long; after it one goes on as if there were no gate."""

_plain_import = builtins.__import__
_at_the_gate = threading.RLock()


@contextmanager
def closed_gate() -> Iterator[None]:
    """For the block, threads import the large libraries one after the other."""
    builtins.__import__ = _import_in_turn
    try:
        yield
    finally:
        builtins.__import__ = _plain_import


def _import_in_turn(
    name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
) -> Any:
    if not _needs_turn(name, globals, level):
        return _plain_import(name, globals, locals, fromlist, level)
    has_turn = _at_the_gate.acquire(timeout=PATIENCE_SECONDS)
    try:
        return _plain_import(name, globals, locals, fromlist, level)
    finally:
        if has_turn:
            _at_the_gate.release()


def _needs_turn(name: str, importer: Any, level: int) -> bool:
    """Whether it, or for a relative import the package that asks, is one of them and not there."""
    package = name if level == 0 else str((importer or {}).get("__package__") or "")
    top = package.partition(".")[0]
    return top in LARGE and (top in _FETCHES_LATER or level > 0 or not _is_whole(name))


def _is_whole(name: str) -> bool:
    """Whether the module was imported to its end. `_initializing` is what Python itself asks."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return spec is not None and not getattr(spec, "_initializing", False)
