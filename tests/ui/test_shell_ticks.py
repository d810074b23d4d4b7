"""All readers of a page travel in one request per tick, and none spoils another."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.errors import RunError
from studio.settings import Settings
from studio.ui import app
from studio.ui.studio import Studio
from studio.ui.ticks import Ticks


def test_each_reader_gets_its_own_values_and_gives_its_own_updates() -> None:
    ticks = Ticks()
    with gr.Blocks():
        one, two, three = gr.Textbox(), gr.Textbox(), gr.Textbox()
        ticks.add(lambda a, b: [a + b, b], [one, two], [one, two])
        ticks.add(lambda rank: f"rank {rank}", outputs=[three], named={"rank": two})
    assert ticks.read_all("a", "b", 8) == ["ab", "b", "rank 8"]


def test_one_skip_stands_for_every_output_of_a_reader() -> None:
    ticks = Ticks()
    with gr.Blocks():
        one, two = gr.Textbox(), gr.Textbox()
        ticks.add(lambda: gr.skip(), outputs=[one, two])
        ticks.add(lambda: "new", outputs=[two])
    assert ticks.read_all() == [gr.skip(), gr.skip(), "new"]


def test_a_reader_that_meets_an_error_leaves_the_others_alone() -> None:
    def damaged() -> Any:
        raise RunError("The run folder is damaged.")

    ticks = Ticks()
    with gr.Blocks():
        one, two = gr.Textbox(), gr.Textbox()
        ticks.add(damaged, outputs=[one])
        ticks.add(lambda: "new", outputs=[two])
    assert ticks.read_all() == [gr.skip(), "new"]


def test_a_tick_of_the_page_is_one_event_past_the_queue(settings: Settings) -> None:
    page = app.build_app(Studio(settings))
    ticks = [event for event in page.config["dependencies"]
             if any(name == "tick" for _, name in event["targets"])]
    assert len(ticks) == 1
    assert ticks[0]["queue"] is False
    assert len(ticks[0]["outputs"]) == len(set(ticks[0]["outputs"]))


def test_an_idle_page_does_not_keep_a_core_busy(settings: Settings) -> None:
    page = app.build_app(Studio(settings)).queue()
    # The attribute is gradio's; if it ever goes, the poll in start_app does nothing.
    assert hasattr(page._queue, "sleep_when_free")
