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
from studio.ui.blocks import Page
from studio.ui.loading_clock import STOP_LOADING_CLOCK
from studio.ui.pace import TICK_SECONDS, seconds_between_looks
from studio.ui.panels import chat, dataset, export, hardware, lora, train
from studio.ui.reading import Reading, read
from studio.ui.shared import DIRECT, Shared
from studio.ui.sheet import send_as_one
from studio.ui.studio import Studio

ALLOWED_HOSTS = [HOST, "localhost"]
QUEUE_POLL_SECONDS = 0.05
PROGRESS_POLL_SECONDS = 0.2
PANELS = (
    ("hardware", "Hardware", hardware), ("dataset", "Dataset", dataset), ("lora", "LoRA", lora),
    ("train", "Train", train), ("chat", "Chat", chat), ("export", "Export", export),
)
"""(id, title, module) in tab order."""
_OPENING_SCRIPT = f"() => {{ ({theme.RESTORE_THEME})(); ({STOP_LOADING_CLOCK})(); }}"
ASSETS = Path(__file__).parents[2] / "assets"


def build_app(studio: Studio) -> gr.Blocks:
    """The page over `studio`, not yet served."""
    demo = Page(title="Adapter Studio", analytics_enabled=False, fill_width=True,
                delete_cache=(3600, 86400))
    with demo:
        timer = gr.Timer(TICK_SECONDS)
        form = gr.JSON(None, visible="hidden")
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
        shared.ticks.wire(timer, lambda: seconds_between_looks(studio), **DIRECT)
        looked_at = {name: one for name, one in shared.ticks.inputs().items()
                     if not isinstance(one, gr.State)}
        place = {"place": shared.place} if shared.place else {}
        send_as_one(demo, {**shared.fields, **place, **looked_at, **shared.along}, form)
    _show_no_progress(demo, timer)
    _put_unseen_first(demo)
    return demo


def _put_unseen_first(demo: gr.Blocks) -> None:
    """What nobody sees comes before what is seen: gradio's page searches its components in order,
    for each of a tick's forty inputs at every tick."""
    unseen = [block for block in demo.blocks.values() if _is_unseen(block)]
    for block in unseen:
        assert block.parent is not None
        block.parent.children.remove(block)
        block.parent = demo
    first = [block for block in demo.children if isinstance(block, gr.Timer)]
    others = [block for block in demo.children if block not in first]
    demo.children = [*first, *unseen, *others]


def _show_no_progress(demo: gr.Blocks, first: gr.Timer) -> None:
    """Events without a progress display tell their progress to `first` alone.

    Hidden or not, gradio's page tells every output of every event that has run, before each one
    and after it, and searches all components for each: 0.2 s before a slider's question was even
    sent. The first component is found at once, and a timer shows nothing.
    """
    for event in demo.fns.values():
        if event.show_progress == "hidden":
            event.show_progress_on = [first]


def _is_unseen(block: Any) -> bool:
    return isinstance(block, gr.State) or (
        isinstance(block, gr.JSON | gr.Textbox | gr.Checkbox) and block.visible == "hidden")


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
        css_paths=[ASSETS / "studio.css", ASSETS / "work.css"], js=_OPENING_SCRIPT,
        favicon_path=ASSETS / "icon.svg",
        # No look by gradio whether it can be reached: on a busy PC it gives up after three seconds.
        _frontend=False,
        app_kwargs={
            "middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=ALLOWED_HOSTS)],
            "routes": notify.routes(studio),
        },
    )
    # Gradio looks into its queue a thousand times a second, and a hundred times whether there is
    # progress to tell: a tenth of a core, taken from training.
    demo._queue.sleep_when_free = QUEUE_POLL_SECONDS
    demo._queue.progress_update_sleep_when_free = PROGRESS_POLL_SECONDS
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
