"""What a page has on its screen, kept by the page itself and sent with every question.

Kept on the server it would tell what was sent, not what is shown: of two answers on their way the
older may arrive last, and what it put on the screen would stay there.

Looks skip what was seen. What a person presses shows its part anew, as to a page that has seen
nothing: a look on its way may bring back what was seen before, and what is asked and taken back
would then seem to be on the screen already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

Part = tuple[Any, Callable[[], Any]]
"""A key that changes when the part does, and its update, made only if needed."""
NEVER: dict[str, str] = {}
"""What a page has seen that has seen nothing."""


def seen_by_page() -> gr.JSON:
    """A hidden component for stamps by the name of a part; nothing at first."""
    return gr.JSON({}, visible="hidden")


def stamp(key: Any) -> str:
    """A short text that is another one for another `key`, which must be told by its repr."""
    return hashlib.blake2b(repr(key).encode(), digest_size=8).hexdigest()


def unless_seen(key: Any, seen: Any, updates: Callable[[], Sequence[Any]]) -> Any:
    """Of parts that are shown as one: their updates and one for what is seen now, or a single skip
    where the page has seen `key`."""
    now = {"all": stamp(key)}
    return gr.skip() if now == seen else [*updates(), now]


def fresh_updates(
    parts: Mapping[str, Part], order: Sequence[str], seen: Mapping[str, Any],
    *, stamped: Callable[[Any], Any] = stamp,
) -> list[Any]:
    """One update for each part in `order`, those that the page has seen skipped, and one for what
    it has seen. `stamped` makes of a part's key what is kept of it."""
    keys = {name: stamped(key) for name, (key, _) in parts.items()}
    updates = [gr.skip() if name in seen and seen[name] == keys[name] else parts[name][1]()
               for name in order]
    return [*updates, gr.skip() if keys == seen else keys]
