"""The page as a whole: header, plan, six tabs, one timer; and the server that shows it.

Serves this PC only. Everything an environment variable could switch on (sharing, telemetry,
run history, open endpoints) is switched off by name.
"""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from studio.bootstrap.ports import HOST, next_free_port
from studio.files import remove_leftovers
from studio.settings import Settings, prepare_environment
from studio.ui import header, notify, plan, theme, used_fields
from studio.ui.panels import chat, dataset, export, hardware, lora, train
from studio.ui.reading import Reading, read
from studio.ui.shared import DIRECT, Shared
from studio.ui.studio import Studio

ALLOWED_HOSTS = [HOST, "localhost"]
TICK_SECONDS = 2.0
QUEUE_POLL_SECONDS = 0.02
PANELS = (
    ("hardware", "Hardware", hardware), ("dataset", "Dataset", dataset), ("lora", "LoRA", lora),
    ("train", "Train", train), ("chat", "Chat", chat), ("export", "Export", export),
)
"""(id, title, module) in tab order."""
ASSETS = Path(__file__).parents[2] / "assets"


def build_app(studio: Studio) -> gr.Blocks:
    """The page over `studio`, not yet served."""
    demo = gr.Blocks(title="Adapter Studio", analytics_enabled=False, fill_width=True,
                     delete_cache=(3600, 86400))
    with demo:
        timer = gr.Timer(TICK_SECONDS)
        top = header.build()
        strip = plan.build()
        sheet = used_fields.build()
        tabs = gr.Tabs(elem_id="tabs", selected="hardware")
        shared = Shared(demo, tabs)
        with tabs:
            for name, title, panel in PANELS:
                with gr.Tab(title, id=name, elem_id=f"tab-{name}"):
                    panel.build(studio, shared)
        header.wire(top, studio, shared)
        plan.wire(strip, studio, shared)
        used_fields.wire(sheet, shared)
        _wire_readouts(studio, shared)
        shared.complete()
        shared.ticks.wire(timer, **DIRECT)
    return demo


def _wire_readouts(studio: Studio, shared: Shared) -> None:
    """One handler refreshes every readout when a person changes any field, and on page load."""
    def read_form(place: str = "", **form: Any) -> Reading:
        return read(studio, form, place)

    shared.read = read_form
    moved = [trigger for field in shared.controls() for trigger in _edits(field)]
    moved += [shared.place.input] if shared.place else []
    gr.on(moved, trigger_mode="always_last", **shared.reader(shared.readouts))
    shared.demo.load(**shared.reader(shared.readouts))


def _edits(field: Any) -> list[Any]:
    """Events of a person's edit. Text counts when it is finished, not at every key."""
    if isinstance(field, gr.Textbox):
        return [field.blur, field.submit]
    return [field.input]


@dataclass
class Running:
    """A served page. `close` ends the server and the jobs behind it."""

    url: str
    studio: Studio
    demo: gr.Blocks

    def close(self) -> None:
        """Stop jobs first, so that a run can save while the page still tells."""
        self.studio.close()
        self.demo.close(verbose=False)


def start_app(settings: Settings, *, port: int, studio: Studio | None = None) -> Running:
    """Serve the page on `port` of this PC and return at once. `port` 0 takes any free one."""
    prepare_environment(settings)
    studio = studio or Studio(settings)
    demo = build_app(studio)
    demo.queue(default_concurrency_limit=4)
    _, url, _ = demo.launch(
        server_name=HOST, server_port=next_free_port(port)[0], prevent_thread_lock=True,
        inbrowser=False, share=False, quiet=True, show_error=False, footer_links=[],
        run_history=False, enable_monitoring=False, mcp_server=False, ssr_mode=False, pwa=False,
        max_file_size="4gb", allowed_paths=[], theme=theme.StudioTheme(),
        css_paths=[ASSETS / "studio.css", ASSETS / "work.css"], js=theme.RESTORE_THEME,
        favicon_path=ASSETS / "icon.svg",
        app_kwargs={
            "middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=ALLOWED_HOSTS)],
            "routes": notify.routes(studio),
        },
    )
    # Gradio looks into its queue a thousand times a second: 8 % of a core, taken from training.
    demo._queue.sleep_when_free = QUEUE_POLL_SECONDS
    return Running(url, studio, demo)


def serve(
    settings: Settings, *, port: int, open_browser: bool,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until Ctrl+C, then stop a running job so that it keeps what it has.

    A taken port moves to the next free one; `ready` is given the address that answers.
    """
    running = start_app(settings, port=port)
    running.studio.warm_up_soon()
    remove_leftovers(settings.exports)
    try:
        if ready:
            ready(running.url)
        if open_browser:
            webbrowser.open(running.url)
        while True:
            # Short waits: on Windows a wait without end does not notice Ctrl+C.
            threading.Event().wait(0.5)
    except KeyboardInterrupt:
        pass
    finally:
        running.close()
