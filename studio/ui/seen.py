"""What a page has on its screen, kept by the page itself and sent with every question.

Kept on the server it would tell what was sent, not what is shown: of two answers on their way the
older may arrive last, and what it put on the screen would stay there.
"""

from __future__ import annotations

import hashlib
from typing import Any

import gradio as gr


def seen_by_page() -> gr.JSON:
    """A hidden component for stamps by the name of a part; nothing at first."""
    return gr.JSON({}, visible="hidden")


def stamp(key: Any) -> str:
    """A short text that is another one for another `key`, which must be told by its repr."""
    return hashlib.blake2b(repr(key).encode(), digest_size=8).hexdigest()
