"""The Blind test part of the Chat tab: prompts that all columns answer, votes, and what they say.

Layout and events; what they do is in `chat_ballots.py`, asking in `chat_prompts.py`, the looks in
`chat_votes_view.py`, `chat_prompts_view.py` and `chat_win_rates_view.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.open_as_data import NewData, open_as_data
from studio.ui.panels import chat_prompts
from studio.ui.panels.chat_ballots import (
    ALL_SETS,
    PARTS,
    THIS_SET,
    Place,
    act,
    page,
    preferences,
    table_file,
)
from studio.ui.panels.chat_lineup import model_fields
from studio.ui.panels.chat_votes_view import ACT_SCRIPT, VOTE_SCRIPT
from studio.ui.save_file import save_on
from studio.ui.seen import NEVER, seen_by_page
from studio.ui.shared import PRIVATE, QUIET, Shared

if TYPE_CHECKING:
    from studio.ui.panels.chat_lineup import Lineup
    from studio.ui.panels.chat_prompts import PromptsCard
    from studio.ui.panels.chat_sampling import SamplingPart
    from studio.ui.studio import Studio


def build(studio: Studio, shared: Shared, lineup: Lineup, sampling: SamplingPart) -> None:
    """Lay out the part and wire it."""
    card = chat_prompts.build(studio)
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading(
            "Vote", "Which answer is best? The order is shuffled for each prompt; names are shown "
            "after the vote. Every button has a key."))
        parts: dict[str, Any] = {
            "sets": gr.Dropdown([], label="Prompt set", elem_id="votes-set"),
            "work": gr.HTML(elem_id="votes-work", padding=False, js_on_load=ACT_SCRIPT),
            "paper": gr.HTML(elem_id="votes-paper", padding=False, js_on_load=VOTE_SCRIPT)}
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("What the votes say"))
        scope = gr.Radio([("This prompt set", THIS_SET), ("All votes", ALL_SETS)],
                         value=THIS_SET, label="Votes to count", show_label=False, container=False,
                         elem_id="votes-scope")
        parts["rates"] = gr.HTML(elem_id="votes-rates", padding=False)
        with gr.Row():
            train = gr.Button("Train DPO on these votes", size="sm", scale=0, min_width=210,
                              elem_id="votes-train")
            save = gr.Button("Save the votes as CSV", size="sm", scale=0, min_width=190,
                             elem_id="votes-save")
        chosen = {"name": parts["sets"], "scope": scope}
        save_on(save, lambda name, scope: table_file(studio, name, scope), chosen, "votes-file")
    # Which prompt the page votes on; who wrote which answer stays on the server until the vote.
    parts["place"] = seen_by_page()
    _wire(studio, shared, parts, scope)
    _wire_asking(studio, shared, parts, scope, card, {**sampling.inputs}, lineup)

    def write(event: gr.EventData, name: str | None, scope: str) -> NewData:
        return preferences(studio, name, scope)

    shared.when_complete(lambda: open_as_data(shared, train.click, write, chosen))


def _page_inputs(parts: dict[str, Any], scope: gr.Radio) -> dict[str, Any]:
    return {"name": parts["sets"], "place": parts["place"], "scope": scope}


def _wire(studio: Studio, shared: Shared, parts: dict[str, Any], scope: gr.Radio) -> None:
    seen = seen_by_page()
    parts["seen"] = seen
    shown = [*(parts[name] for name in PARTS), seen]
    inputs = {**_page_inputs(parts, scope), "seen": seen}

    def refresh(name: str | None, place: Any, scope: str, seen: Any) -> Any:
        return page(studio, name, Place.of(place), scope, seen)

    def vote(event: gr.EventData, name: str | None, place: Any, scope: str) -> Any:
        after = act(studio, Place.of(place), str(event.act))
        return page(studio, name, after, scope, NEVER)

    # Not on load, too: of two answers on their way to a page that votes on nothing yet, the second
    # would bring the ballot back after a quick vote. Ticks wait for one another.
    shared.ticks.add(refresh, outputs=shown, named=inputs)
    gr.on([parts["sets"].input, scope.input], refresh, inputs_kwargs=inputs, outputs=shown,
          **QUIET)
    # Whoever votes fast presses the next key before gradio has closed the event of the last one.
    parts["paper"].click(guarded(vote), inputs_kwargs=_page_inputs(parts, scope), outputs=shown,
                         trigger_mode="multiple", **QUIET)


def _wire_asking(
    studio: Studio, shared: Shared, parts: dict[str, Any], scope: gr.Radio, card: PromptsCard,
    sampling: dict[str, Any], lineup: Lineup,
) -> None:
    """What begins and ends the answering; needs the whole form for who answers."""
    shown = [*(parts[name] for name in PARTS), parts["seen"]]

    def ask(scope: str, **values: Any) -> Any:
        made = chat_prompts.ask_all(studio, values)
        return page(studio, made.name, Place(), scope, NEVER)

    def work(event: gr.EventData, name: str | None, place: Any, scope: str,
             **values: Any) -> Any:
        chat_prompts.act(studio, name, str(event.act), values)
        return page(studio, name, Place.of(place), scope, NEVER)

    def with_whole_form() -> None:
        asked = {"scope": scope, **card.inputs, **sampling,
                 **lineup.inputs(shared)}
        card.ask.click(guarded(ask), inputs_kwargs=asked, outputs=shown, **PRIVATE)
        parts["work"].click(
            guarded(work), inputs_kwargs={**_page_inputs(parts, scope), **model_fields(shared)},
            outputs=shown, **QUIET)

    shared.when_complete(with_whole_form)
