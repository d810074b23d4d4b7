"""The Serve part of the Chat tab: the line-up, or a GGUF file, answers other programs too.

Wiring and handlers; what is shown is in `chat_serve_view.py`. The endpoint belongs to the program
(`studio/ui/endpoint_desk.py`): a page that is closed or reloaded changes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.errors import ModelError
from studio.models.gguf_file import is_gguf
from studio.settings import DEFAULT_API_PORT
from studio.ui import markup
from studio.ui.endpoint_desk import EndpointState
from studio.ui.guard import guarded
from studio.ui.panels import chat_serve_view
from studio.ui.panels.chat_ggufs import shelf_of
from studio.ui.panels.chat_lineup import Lineup
from studio.ui.panels.chat_lineup_page import lineup_of
from studio.ui.panels.chat_sampling import SamplingPart
from studio.ui.presses import COPY_SCRIPT
from studio.ui.seen import NEVER, Part, fresh_updates, seen_by_page
from studio.ui.shared import PRIVATE, QUIET, Shared

if TYPE_CHECKING:
    from studio.serve.listener import Endpoint
    from studio.ui.studio import Studio

LINEUP, GGUF = "lineup", "gguf"
PARTS = ("status", "usage", "setup", "key", "keys", "start", "stop", "file")


def build(studio: Studio, shared: Shared, lineup: Lineup, sampling: SamplingPart) -> None:
    """Lay out the part and wire it. Requests bring their own sampling."""
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading(
            "Let other programs ask", "An address on this PC that editors, scripts, and chat "
            "programs use as they would OpenAI's. Nothing leaves this PC, and nobody else on the "
            "network can reach it."))
        with gr.Row(visible=True, equal_height=False) as setup:
            source = gr.Radio([("The line-up above", LINEUP), ("A GGUF file", GGUF)], value=LINEUP,
                              label="What answers", elem_id="serve-source",
                              info="Each column is a model of its own, loaded at the first "
                                   "request; a GGUF file is read by llama.cpp.")
            file = gr.Dropdown([], label="GGUF file", visible=False, elem_id="serve-file",
                               info="From the exports folder; the Export tab writes them.")
            port = gr.Number(DEFAULT_API_PORT, precision=0, minimum=1, maximum=65535, label="Port",
                             elem_id="serve-port", info="If it is taken, the next free one.")
        with gr.Row(equal_height=False):
            key = gr.Textbox("", type="password", label="Key", interactive=False, max_lines=1,
                             elem_id="serve-key", buttons=["copy"], scale=3,
                             placeholder="None: any program on this PC may ask.",
                             info="Programs must send it. It is kept until the studio is closed.")
            with gr.Column(scale=1, min_width=150) as keys:
                make = gr.Button("Make a key", size="sm", elem_id="serve-make-key")
                drop = gr.Button("Use no key", size="sm", elem_id="serve-drop-key")
        with gr.Row(elem_classes="run-buttons"):
            start = gr.Button("Switch on", variant="primary", elem_id="serve-start")
            stop = gr.Button("Switch off", variant="stop", visible=False, elem_id="serve-stop")
        status = gr.HTML(elem_id="serve-status", padding=False)
        usage = gr.HTML(elem_id="serve-usage", padding=False,
                        js_on_load=COPY_SCRIPT)
    parts = {"status": status, "usage": usage, "setup": setup, "key": key, "keys": keys,
             "start": start, "stop": stop, "file": file, "source": source, "port": port,
             "make": make, "drop": drop}
    _wire(studio, shared, parts, lineup)


def _wire(studio: Studio, shared: Shared, parts: dict[str, Any], lineup: Lineup) -> None:
    seen = seen_by_page()
    shown = [*(parts[name] for name in PARTS), seen]
    desk = studio.endpoint

    def refresh(seen: dict[str, Any]) -> list[Any]:
        return page(studio, seen)

    def switch_on(**values: Any) -> list[Any]:
        desk.switch_on(endpoint_of(studio, values))
        return refresh(NEVER)

    def after(act: Any) -> Any:
        def handle() -> list[Any]:
            act()
            return refresh(NEVER)

        return guarded(handle)

    def with_whole_form() -> None:
        form = {"source": parts["source"], "file": parts["file"],
                "port": parts["port"], **lineup.inputs(shared)}
        parts["start"].click(guarded(switch_on), inputs_kwargs=form, outputs=shown, **PRIVATE)

    shared.when_complete(with_whole_form)
    shared.ticks.add(refresh, [seen], shown)
    shared.demo.load(refresh, [seen], shown, **QUIET)
    for name, act in (("stop", desk.switch_off), ("make", desk.make_key), ("drop", desk.drop_key)):
        parts[name].click(after(act), None, shown, **QUIET)
    parts["source"].change(lambda source: gr.Dropdown(visible=source == GGUF), parts["source"],
                           parts["file"], **QUIET)


def endpoint_of(studio: Studio, values: dict[str, Any]) -> Endpoint:
    """What is to be opened. Raises StudioError for a choice that cannot be served."""
    from studio.serve.gguf_server import GgufServer
    from studio.serve.server import ApiServer

    key, port = studio.endpoint.key, int(values["port"] or DEFAULT_API_PORT)
    if values["source"] == GGUF:
        files = {file.name: file for file in shelf_of(studio.settings.exports).models}
        if values["file"] not in files:
            raise ModelError("No GGUF file is chosen.", "Write one on the Export tab first.")
        return GgufServer(files[values["file"]], studio.settings, key=key, port=port)
    model, columns = lineup_of(studio, values)
    if is_gguf(model.source):
        return GgufServer(Path(model.source), studio.settings, columns, key=key, port=port)
    return ApiServer(studio.chat, model, columns, key=key, port=port)


def page(studio: Studio, seen: dict[str, Any]) -> list[Any]:
    """Updates for each of `PARTS` and for what was seen; unchanged ones are skipped."""
    files = tuple(file.name for file in shelf_of(studio.settings.exports).models)
    return fresh_updates(view(studio.endpoint.snapshot(), files), PARTS, seen)


def view(now: EndpointState, files: tuple[str, ...]) -> dict[str, Part]:
    """For each part a key that changes when the part does, and its update, made only if needed."""
    is_off = now.phase == "off"
    return {
        "status": (now, lambda: chat_serve_view.status_view(now)),
        "usage": ((now.phase, now.url, now.models, bool(now.key)),
                  lambda: chat_serve_view.usage_view(now)),
        "setup": (is_off, lambda: gr.Row(visible=is_off)),
        "key": ((is_off, now.key), lambda: gr.Textbox(value=now.key,
                                                      visible=is_off or bool(now.key))),
        "keys": (is_off, lambda: gr.Column(visible=is_off)),
        "start": (is_off, lambda: gr.Button(visible=is_off)),
        "stop": (now.phase, lambda: gr.Button(visible=not is_off,
                                              interactive=now.phase != "closing")),
        "file": (files, lambda: gr.Dropdown(choices=list(files), value=next(iter(files), None))),
    }
