"""Who answers on the Chat tab: the base and its columns. Shared by all parts of the tab.

Wiring and handlers; which columns can be chosen is in `chat_columns.py`, what the page
shows of them in `chat_lineup_page.py` and `chat_lineup_view.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.chat.session import BASE_COLUMN
from studio.chat.strength import HIGHEST, LOWEST
from studio.ui.kept import NOTHING, keep_script, kept_by_browser, read_kept, restore_script
from studio.ui.panels.chat_columns import (
    AS_TRAINED,
    BASE_VALUE,
    LOADINGS,
    MAX_COLUMNS,
)
from studio.ui.panels.chat_lineup_page import PARTS, opened, page
from studio.ui.panels.chat_room import room_view
from studio.ui.panels.chat_sliders import sliders
from studio.ui.seen import seen_by_page
from studio.ui.shared import QUIET, Shared

if TYPE_CHECKING:
    from gradio.components import Component

    from studio.ui.studio import Studio

KEPT, KEPT_AS = ("base", "loading", "runs", "strengths"), "studio-chat-lineup"
MEMORY_FIELDS = ("model.quantization", "model.double_quantization", "model.dtype",
                 "model.attention")


@dataclass(frozen=True)
class Lineup:
    """The components of the choice by the names under which handlers get them."""

    own: dict[str, Component]

    def inputs(self, shared: Shared) -> dict[str, Component]:
        """All that `lineup_of` reads. Call it when the form is complete."""
        return {**self.own, **model_fields(shared)}


def build(studio: Studio, shared: Shared) -> Lineup:
    """Lay out the card and keep its lists up to date."""
    with gr.Group(elem_classes="card"):
        sharing = gr.HTML(elem_id="chat-sharing", padding=False)
        with gr.Row(equal_height=False):
            # What is on neither list may be typed for the base; of the columns, what is no longer
            # there is left out by the handler, without a toast of gradio's.
            base = gr.Dropdown(
                [("Starter model", "starter")], value="starter", label="Base model", scale=3,
                min_width=220, allow_custom_value=True, elem_id="chat-base",
                info="Or type a Hub id, a folder, or a GGUF.")
            loading = gr.Dropdown(
                list(LOADINGS), value=AS_TRAINED, label="Held in memory", scale=2, min_width=170,
                elem_id="chat-loading", info="Fewer bits take less memory.")
            runs = gr.Dropdown(
                [(BASE_COLUMN, BASE_VALUE)], value=[BASE_VALUE], multiselect=True, scale=5,
                min_width=300, max_choices=MAX_COLUMNS, allow_custom_value=True,
                label="Who answers", elem_id="chat-runs",
                info=f"Up to {MAX_COLUMNS}: the base, runs, their checkpoints, blends.")
        strengths = sliders(
            "Strength", "How much each adapter counts: 0 answers as the base, 1 as it was trained, "
            "2 goes twice as far. A double click sets it back to 1.",
            lowest=LOWEST, highest=HIGHEST, usual=1, elem_id="chat-strengths")
        status = gr.HTML(elem_id="chat-status", padding=False)
        room = gr.HTML(elem_id="chat-room", padding=False)
        arrived = gr.Checkbox(visible="hidden")
    lineup = Lineup({"base": base, "loading": loading, "runs": runs, "strengths": strengths})
    _wire(studio, shared, lineup, {"status": status, "sharing": sharing, "room": room,
                                   "arrived": arrived})
    return lineup


def _wire(studio: Studio, shared: Shared, lineup: Lineup, told: dict[str, Any]) -> None:
    """Keep the lists up to date: on load, when runs change, and when the base changes."""
    own = lineup.own
    seen, kept = seen_by_page(), kept_by_browser()
    shown = [*((own | told)[name] for name in PARTS), seen]

    def refresh(seen: dict[str, Any], kept: str = NOTHING, **values: Any) -> Any:
        if not kept:
            return gr.skip()  # what the browser remembers is still on its way
        return page(studio, values, seen)

    def open_page(kept: str, **values: Any) -> list[Any]:
        return opened(studio, values, read_kept(kept))

    def with_whole_form() -> None:
        form = lineup.inputs(shared)
        # The strengths stay with the page, and a tick's inputs cost it time.
        looked_at = {name: one for name, one in form.items() if name != "strengths"}
        named = {"seen": seen, **looked_at}
        shared.ticks.add(refresh, outputs=shown, named={"kept": kept, **named})
        asked = shared.demo.load(lambda kept: kept, kept, kept, js=restore_script(KEPT_AS), **QUIET)
        asked.then(open_page, inputs_kwargs={"kept": kept, **looked_at},
                   outputs=[*shown, own["loading"]], **QUIET)
        gr.on([own["base"].input, own["runs"].change, own["loading"].change], refresh,
              inputs_kwargs=named, outputs=shown, trigger_mode="always_last", **QUIET)
        moved = [shared.demo.load, own["base"].change, own["runs"].change, own["loading"].change,
                 told["arrived"].change,
                 *(field.change for key, field in model_fields(shared).items()
                   if key in MEMORY_FIELDS)]
        gr.on(moved, lambda **values: room_view(studio, values), inputs_kwargs=looked_at,
              outputs=told["room"], trigger_mode="always_last", **QUIET)

    shared.when_complete(with_whole_form)
    _keep(own, kept)


def _keep(own: dict[str, Component], kept: gr.Textbox) -> None:
    """What a person chooses stays in this browser, and so does what comes of it."""
    chosen: dict[str, Any] = {name: own[name] for name in KEPT}
    inputs = [kept, *chosen.values()]
    gr.on([chosen["base"].input, chosen["loading"].input, chosen["runs"].input,
           chosen["strengths"].release], None, inputs, None,
          js=keep_script(KEPT_AS, KEPT), api_visibility="private")
    gr.on([chosen["base"].change, chosen["runs"].change], None, inputs, None,
          js=keep_script(KEPT_AS, KEPT, only_if_kept=True), api_visibility="private")


def model_fields(shared: Shared) -> dict[str, Any]:
    """The form's fields of the base model, by key. Call it when the form is complete."""
    return {key: field for key, field in shared.form().items() if key.startswith("model.")}
