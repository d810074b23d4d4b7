"""A button that lets the browser save a file which is made at that moment."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

import gradio as gr
from gradio.components import Component

from studio.files import write_text_safely
from studio.settings import Settings
from studio.ui.guard import guarded
from studio.ui.shared import PRIVATE


def save_on(
    button: gr.Button, make: Callable[..., str], inputs: Mapping[str, Component], elem_id: str
) -> None:
    """After a press on `button` the browser saves the file that `make(**inputs)` has made, as
    with `page_file`. Call where a hidden component may stand, whose id is `elem_id`."""
    file = gr.DownloadButton(visible="hidden", elem_id=elem_id)
    press = f"() => setTimeout(() => document.querySelector('#{elem_id}').click(), 50)"
    button.click(guarded(make), inputs_kwargs=dict(inputs), outputs=file, **PRIVATE).success(
        None, None, None, js=press, api_visibility="private")


def page_file(settings: Settings, name: str, text: str) -> str:
    """Write a file that the page may hand out. Gives its path."""
    path = settings.cache / "page" / uuid.uuid4().hex / name
    write_text_safely(path, text)
    return str(path)
