"""Of two questions of one page the newer answer stays, in whatever order they are answered."""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.ui.newest import Asked, Newest
from studio.ui.reading import Reading
from studio.ui.shared import Shared


def test_an_older_question_is_overtaken_by_an_answered_newer_one_of_the_same_page() -> None:
    newest = Newest()
    assert newest.answered(Asked("a", 2))
    assert not newest.answered(Asked("a", 1)) and newest.is_overtaken(Asked("a", 1))
    assert newest.answered(Asked("b", 1)) and newest.answered(Asked("a", 3))


def _readers() -> tuple[Any, Any]:
    """The handlers of an event that shows everything, and of one that leaves a part as it is."""
    with gr.Blocks() as demo, gr.Tabs() as tabs:
        shared = Shared(demo, tabs)
        shared.add_readout(gr.HTML(), lambda reading: reading.form["of"])
        shared.add_readout(gr.HTML(), lambda reading: reading.form["of"], of_form=True)
    shared.read = lambda place, **form: Reading(form=form)
    return shared.reader(shared.readouts)["fn"], shared.reader(shared.readouts[:1])["fn"]


def test_a_reading_that_comes_after_a_newer_one_shows_nothing() -> None:
    whole, part = _readers()
    assert whole(asked=Asked("page", 2), of="newer") == ["newer", "newer"]
    assert whole(asked=Asked("page", 1), of="older") == [gr.skip(), gr.skip()]
    assert part(asked=Asked("page", 1), of="older") == [gr.skip()]
    assert whole(asked=Asked("another page", 1), of="its own") == ["its own", "its own"]


def test_what_a_newer_part_did_not_show_an_older_whole_still_does() -> None:
    whole, part = _readers()
    assert part(asked=Asked("page", 2), of="newer") == ["newer"]
    assert whole(asked=Asked("page", 1), of="older") == ["older", "older"]
