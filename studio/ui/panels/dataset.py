"""Tab Dataset: everything about the examples, before they cost an hour of training.

    sources and what was found | mapping | findings | lengths and advice | template | one record
    | held-out part

Puts the parts together and follows the data that the form names; each part is a module of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.errors import StudioError
from studio.ui.data_look import rows_key, set_key
from studio.ui.panels import (
    dataset_lengths,
    dataset_mapping,
    dataset_record,
    dataset_report,
    dataset_sources,
    dataset_split,
    dataset_template,
)
from studio.ui.panels.dataset_page import DataPage, signal
from studio.ui.shared import QUIET, Shared, recipe_of
from studio.ui.widgets import keys_of

if TYPE_CHECKING:
    from studio.ui.studio import Studio

MODEL_KEYS = ("model.source", "model.revision")
BY_THEMSELVES = ("data.template",)
"""Fields whose part of the tab does something first and then follows."""
SETTLE_SECONDS = 1.5
"""A usual set is whole after so long; a larger one is told by the ticks."""


def build(studio: Studio, shared: Shared) -> None:
    """All parts from top to bottom, then what keeps them in step."""
    page = DataPage()
    # Whatever sets the form by program, a preset or an opened recipe, asks for a reading.
    wanted = signal()
    shared.add_readout(wanted, lambda reading: set_key(reading.recipe) if reading.recipe else "")
    shared.when_complete(lambda: _prepare(studio, shared, page, wanted))
    dataset_sources.build(studio, shared, page)
    dataset_mapping.build(studio, shared, page)
    dataset_report.build(studio, shared, page)
    dataset_lengths.build(studio, shared, page)
    dataset_template.build(studio, shared, page)
    dataset_record.build(studio, shared, page)
    dataset_split.build(shared, page)
    shared.when_complete(lambda: _wire(studio, shared, page))


def _prepare(studio: Studio, shared: Shared, page: DataPage, wanted: gr.Textbox) -> None:
    """Let every part follow the data after events of its own."""
    wanted.render()
    page.settled_signal.render()
    page.record_signal.render()

    def follow(before: str, **form: Any) -> Any:
        return follow_data(studio, page, form, before)

    def follow_if_other(before: str, **form: Any) -> Any:
        # After an edit by hand the data is followed already. The form tells, since what is wanted
        # may be of a reading that came late.
        return gr.skip() if _data_of(form) == before else follow(before, **form)

    def settle(key: str, seen: Sequence[str]) -> Any:
        studio.warm_up()
        studio.data.begin(key)
        studio.data.wait(key, SETTLE_SECONDS)
        return page.updates(studio.data, key, seen)

    following: dict[str, Any] = {
        "inputs_kwargs": {"before": page.following, **shared.form()},
        "outputs": [page.following, page.number, *page.refill_outputs(), *page.outputs()], **QUIET}
    settling: dict[str, Any] = {"inputs": [page.following, page.seen],
                                "outputs": page.outputs(), **QUIET}

    def look_again(after: Any) -> Any:
        # What `gr.on` takes is a list of events; what an event returned knows `then`.
        first = gr.on(after, follow, trigger_mode="always_last", **following) \
            if isinstance(after, list) else after.then(follow, **following)
        return first.then(settle, **settling)

    page.look_again = look_again
    wanted.change(follow_if_other, **following).then(settle, **settling)


def _data_of(form: dict[str, Any]) -> str | None:
    """The key of the data that the form names; None where it is no recipe."""
    try:
        return set_key(recipe_of(form))
    except StudioError:
        return None


def follow_data(studio: Studio, page: DataPage, form: dict[str, Any], before: str) -> Any:
    """Updates after the data of `form` was looked at for the first time, or again.

    A form that is no recipe leaves everything as it is; the strip above the tabs says why.
    """
    try:
        recipe = recipe_of(form)
    except StudioError:
        return gr.skip()
    earlier = studio.data.look(before)
    key = studio.data.follow(recipe, before)
    look = studio.data.look(key)
    is_other = look is None or earlier is None or rows_key(earlier.recipe) != rows_key(recipe)
    is_elsewhere = earlier is None or earlier.recipe.data.source != recipe.data.source
    return [key, 1 if is_elsewhere else gr.skip(), *page.refills(look, is_other=is_other),
            *page.updates(studio.data, key, ("", ""))]


def _wire(studio: Studio, shared: Shared, page: DataPage) -> None:
    keys = [key for key in (*keys_of("data"), *MODEL_KEYS) if key not in BY_THEMSELVES]
    edits = [event for key in keys for event in _finished(shared.fields[key])]
    page.recipe_changed([*edits, shared.demo.load], shared)
    # The memory estimate counts on the longest example once the data was looked at.
    shared.refresh_after(page.settled_signal.change(lambda: None, None, None, **QUIET),
                         form_changed=False)

    def refresh(key: str, seen: Sequence[str]) -> Any:
        return page.updates(studio.data, key, seen)

    shared.ticks.add(refresh, [page.following, page.seen], page.outputs())


def _finished(field: Any) -> list[Any]:
    """Events that end an edit: reading data at every pixel of a slider would be too much."""
    if isinstance(field, gr.Slider):
        return [field.release]
    return [field.blur, field.submit] if isinstance(field, gr.Textbox) else [field.input]
