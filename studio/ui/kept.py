"""Choices of a page that the browser keeps, so that a reload and a restarted studio show the same.

They travel as JSON in a hidden component. What a browser has kept may be anything: whoever reads it
takes what is still possible.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr

NOTHING = "{}"
_RESTORE = """() => {
    try { return localStorage.getItem('KEY') || 'NOTHING'; } catch (error) { return 'NOTHING'; }
}""".replace("NOTHING", NOTHING)
_KEEP = """(asked, ...values) => {
    if (!asked) { return; }
    try {
        if (ONLY && localStorage.getItem('KEY') === null) { return; }
        const kept = Object.fromEntries(NAMES.map((name, place) => [name, values[place]]));
        localStorage.setItem('KEY', JSON.stringify(kept));
    } catch (error) {}
}"""


def kept_by_browser() -> gr.Textbox:
    """What is kept, on its way from the browser: empty until it has answered."""
    return gr.Textbox("", visible="hidden")


def restore_script(key: str) -> str:
    """Gives what is kept under `key`, as text: `NOTHING` where that is nothing."""
    return _RESTORE.replace("KEY", key)


def keep_script(key: str, names: Sequence[str], *, only_if_kept: bool = False) -> str:
    """Keeps values under these names: the inputs of its event, behind the hidden component.

    Nothing is kept before the browser was asked. With `only_if_kept` it follows what a person has
    once chosen, and keeps nothing that the page chose by itself.
    """
    script = _KEEP.replace("NAMES", json.dumps(list(names)))
    return script.replace("ONLY", str(only_if_kept).lower()).replace("KEY", key)


def read_kept(kept: str) -> dict[str, Any]:
    """What the browser kept, by name; nothing where that is not ours."""
    try:
        found = json.loads(kept or NOTHING)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
