"""A file that the studio wrote becomes the only data of the form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from studio.errors import DataError
from studio.recipe import Recipe, form_from_recipe
from studio.ui.open_as_data import NewData, open_as_data, values_for
from studio.ui.shared import Shared


def test_what_told_how_to_read_the_data_before_is_forgotten() -> None:
    before = Recipe().with_values({
        "data.source": "owner/name", "data.config": "en", "data.split": "test",
        "data.mix": {"more.jsonl": 0.5}, "data.columns": {"prompt": "q"}, "data.held_out": "column",
        "data.eval_column": "part", "data.max_length": 256})
    made = NewData(Path("/home/votes.jsonl"), "", {"training.method": "dpo"})
    after = before.with_values(values_for(made, before))
    assert after.data.source == str(made.source) and after.training.method == "dpo"
    assert after.data == Recipe().data.model_copy(update={
        "source": str(made.source), "eval_column": "part", "max_length": 256})


@pytest.fixture
def event(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a page runs after a press on a button that is wired so, and the outputs it sets."""
    told: list[str] = []
    monkeypatch.setattr(gr, "Info", told.append)
    monkeypatch.setattr(gr, "Warning", lambda text, **more: told.append(text))
    with gr.Blocks() as demo:
        tabs = gr.Tabs()
        shared = Shared(demo, tabs)
        shared.fields["data.source"] = gr.Textbox()
        column, button = gr.Textbox(), gr.Button()

        def write(event: gr.EventData, column: str) -> NewData:
            if not column:
                raise DataError("There is nothing.", "Ask first.")
            return NewData(Path(f"/home/{column}.jsonl"), "1 <pair>")

        open_as_data(shared, button.click, write, {"column": column})
    first = next(iter(demo.fns.values()))
    return first.fn, first.outputs, tabs, told


def test_the_form_shows_the_file_and_the_dataset_tab_opens(event: Any) -> None:
    run, outputs, tabs, told = event
    source = form_from_recipe(Recipe())["data.source"]
    updates = dict(zip(outputs, run(None, column="base", **{"data.source": source}), strict=True))
    assert updates[outputs[0]]["value"] == "/home/base.jsonl"
    assert updates[tabs].selected == "dataset" and told == ["1 &lt;pair&gt;"]


def test_what_cannot_be_written_is_told_and_changes_nothing(event: Any) -> None:
    run, _, _, told = event
    assert run(None, column="", **{"data.source": "starter"}) == gr.skip()
    assert "There is nothing." in told[0]
