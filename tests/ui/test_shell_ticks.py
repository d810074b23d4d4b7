"""All readers of a page travel in one request per tick, and none spoils another."""

from __future__ import annotations

import asyncio
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from studio.errors import RunError
from studio.settings import Settings
from studio.story import Point, Story
from studio.ui import app
from studio.ui.pace import TICK_SECONDS, seconds_between_steps_of
from studio.ui.sheet import send_as_one
from studio.ui.studio import Studio
from studio.ui.ticks import Ticks


def test_each_reader_gets_its_own_values_and_gives_its_own_updates() -> None:
    ticks = Ticks()
    with gr.Blocks():
        one, two, three = gr.Textbox(), gr.Textbox(), gr.Textbox()
        ticks.add(lambda a, b: [a + b, b], [one, two], [one, two])
        ticks.add(lambda rank: f"rank {rank}", outputs=[three], named={"rank": two})
    assert len(ticks.inputs()) == 2  # what two readers read travels once
    values = dict(zip(ticks.inputs(), ("a", "b"), strict=True))
    assert ticks.read_all(**values) == ["ab", "b", "rank b"]


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


def test_what_a_look_skips_makes_no_component(settings: Settings) -> None:
    page = app.build_app(Studio(settings))
    look = next(event for event in page.fns.values() if ("tick" in {name for _, name
                                                                    in event.targets}))
    state = SessionState(page)
    places = len(look.outputs)
    plot = next(place for place, one in enumerate(look.outputs) if isinstance(one, gr.HTML))
    told: list[Any] = [gr.skip()] * places
    told[plot] = gr.HTML("new", visible=True)
    plain = asyncio.run(gr.Blocks.postprocess_data(page, look, told, SessionState(page)))
    answers = asyncio.run(page.postprocess_data(look, told, state))
    assert answers[plot] == plain[plot]
    assert [one for one in answers if one != gr.skip()] == [answers[plot]]
    made = [block for block in look.outputs if state[block._id] is not block
            and not isinstance(block, gr.State)]
    assert made == [look.outputs[plot]]


def test_a_single_skip_leaves_every_output_as_it_is(settings: Settings) -> None:
    page = app.build_app(Studio(settings))
    look = next(event for event in page.fns.values() if len(event.outputs) > 1)
    answers = asyncio.run(page.postprocess_data(look, gr.skip(), SessionState(page)))
    assert answers == [gr.skip()] * len(look.outputs)


def told(seconds: float, steps: int = 2) -> Story:
    points = tuple(Point(step, 0.1, 1.0, 1e-4, None, None, elapsed_seconds=seconds * step)
                   for step in range(1, steps + 1))
    return Story("orders", "training", points=points)


@pytest.mark.parametrize(("seconds", "wanted"), [
    (0.05, 2.0), (1.5, 3.0), (3.4, 7.0), (60.0, 8.0)])
def test_the_page_looks_every_other_step_beside_slow_steps(seconds: float, wanted: float) -> None:
    assert seconds_between_steps_of(told(seconds)) == wanted


def test_before_the_second_step_the_page_looks_as_often_as_ever() -> None:
    assert seconds_between_steps_of(told(60.0, steps=1)) == TICK_SECONDS


def test_the_timer_is_set_when_the_pace_changes() -> None:
    ticks = Ticks()
    with gr.Blocks() as page:
        timer, one = gr.Timer(2.0), gr.Textbox()
        ticks.add(lambda: "new", outputs=[one])
        ticks.wire(timer, lambda: 7.0)
    look = next(iter(page.fns.values())).fn
    assert look is not None
    assert look(seconds=7.0) == ["new", gr.skip()]
    assert look(seconds=2.0)[1].value == 7.0


def test_what_comes_beside_the_form_finds_its_place_behind_a_field() -> None:
    with gr.Blocks() as page:
        field, beside, sheet = gr.Textbox("opening"), gr.Textbox(), gr.JSON()

        def handler(field: str, beside: str) -> str:
            return f"{field}, {beside}"

        field.submit(handler, inputs_kwargs={"field": field, "beside": beside}, outputs=beside)
        send_as_one(page, {"key": field}, sheet)
    event = next(one for one in page.fns.values() if one.input_keyword_names)
    record = {"form": {"key": "moved"}, "page": "one", "number": 1}
    places = [record if one is sheet else "beside" for one in event.inputs]
    answer = asyncio.run(page.call_function(event, places))
    assert answer["prediction"] == "moved, beside"
