"""The Blend part of the Chat tab: several adapters become one, which then answers like a run.

Layout and wiring; what happens is in `chat_blend_page.py`. The work runs as a task of the program:
a page that is closed or reloaded changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.adapters.blend.methods import METHODS, USUAL_DENSITY, Mix
from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.panels import chat_blend_page as page
from studio.ui.panels import chat_blend_view as view
from studio.ui.panels.chat_lineup import Lineup
from studio.ui.panels.chat_sampling import SamplingPart
from studio.ui.panels.chat_sliders import sliders
from studio.ui.panels.mixing_view import way_choices, way_view
from studio.ui.question import build_question
from studio.ui.seen import seen_by_page
from studio.ui.shared import PRIVATE, QUIET, Shared

if TYPE_CHECKING:
    from studio.ui.studio import Studio

LEAST_WEIGHT, MOST_WEIGHT = -1.0, 2.0
CHOSEN = ("adapters", "weights", "method", "density", "rank", "seed")


def build(studio: Studio, shared: Shared, lineup: Lineup, sampling: SamplingPart) -> None:
    """Lay out the part and wire it. Nobody is asked anything here, so nothing is sampled."""
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading(
            "Mix adapters into a new one", "Several LoRA adapters of the base above become one "
            "that does something of each. Nothing is trained, so it takes seconds to minutes."))
        parts = {**_build_choice(), **_build_making()}
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Blends"))
        question = build_question("blend-delete-yes")
        listed = gr.HTML(view.list_view((), ""), elem_id="blend-list", padding=False,
                         js_on_load=view.LIST_SCRIPT)
    parts |= {"list": listed, "deleting": question.row, "question": question.text,
              "keep": question.keep, "delete": question.delete}
    _wire(studio, shared, parts, lineup)
    _wire_list(studio, parts, lineup)


def _build_choice() -> dict[str, Any]:
    usual = Mix().method
    with gr.Row(equal_height=False):
        # What is no longer there is left out by the handler, without a toast of gradio's.
        adapters = gr.Dropdown(
            [], value=[], multiselect=True, max_choices=page.MOST_PARTS, allow_custom_value=True,
            label="Adapters to mix", elem_id="blend-adapters", scale=3,
            info=f"Two to {page.MOST_PARTS}: runs, their checkpoints, earlier blends.")
        method = gr.Dropdown(way_choices(METHODS), value=usual, label="How", scale=2,
                             elem_id="blend-method", info="The first fits nearly always.")
    weights = sliders("Weight", view.WEIGHTS_WORDS, lowest=LEAST_WEIGHT, highest=MOST_WEIGHT,
                      usual=page.USUAL_WEIGHT, elem_id="blend-weights")
    about = gr.HTML(way_view(METHODS[usual]), elem_id="blend-about", padding=False)
    with gr.Row(equal_height=False):
        density = gr.Slider(0.05, 1, USUAL_DENSITY, step=0.05, buttons=[], label="Share kept",
                            visible=False, elem_id="blend-density",
                            info="Of each adapter's numbers; the others count as 0.")
        rank = gr.Number(0, precision=0, minimum=0, label="Rank", elem_id="blend-rank",
                         info="0: that of the largest parent. More keeps more, and is larger.")
        seed = gr.Number(0, precision=0, minimum=0, label="Seed", visible=False,
                         elem_id="blend-seed", info="Of what is dropped by chance.")
    return {"adapters": adapters, "method": method, "weights": weights, "about": about,
            "density": density, "rank": rank, "seed": seed}


def _build_making() -> dict[str, Any]:
    plan = gr.HTML(view.nothing_chosen_view(2), elem_id="blend-plan", padding=False)
    with gr.Row(equal_height=False, elem_classes="chat-tools"):
        name = gr.Textbox(label="Name", max_lines=1, elem_id="blend-name", scale=3,
                          placeholder=f"Empty: {page.USUAL_NAME}, {page.USUAL_NAME}-2, ...")
        make = gr.Button("Mix", variant="primary", scale=1, min_width=120, elem_id="blend-make")
        stop = gr.Button("Stop", variant="stop", visible=False, scale=0, min_width=100,
                         elem_id="blend-stop")
    task = gr.HTML(elem_id="blend-task", padding=False)
    return {"plan": plan, "name": name, "make": make, "stop": stop, "task": task}


def _wire(studio: Studio, shared: Shared, parts: dict[str, Any], lineup: Lineup) -> None:
    seen, base = seen_by_page(), lineup.own["base"]
    form = {name: parts[name] for name in CHOSEN}
    looked_at = {"base": base, "adapters": parts["adapters"], "seen": seen}
    shown = [*(parts[name] for name in page.PARTS), seen]

    def refresh(base: str, adapters: Any, seen: dict[str, Any]) -> list[Any]:
        return page.page(studio, base or "", adapters or [], seen)

    def make(name: str | None, **values: Any) -> str:
        page.start_blend(studio, name or "", values)
        return ""

    shared.send_along(form.values())
    shared.ticks.add(refresh, outputs=shown, named=looked_at)
    shared.demo.load(refresh, inputs_kwargs=looked_at, outputs=shown, **QUIET)
    base.change(refresh, inputs_kwargs=looked_at, outputs=shown, trigger_mode="always_last",
                **QUIET)
    parts["adapters"].change(
        lambda adapters: page.weights_value(studio, adapters or []), parts["adapters"],
        parts["weights"], trigger_mode="always_last", **QUIET)
    parts["method"].change(page.method_updates, parts["method"],
                           [parts[name] for name in ("about", "density", "rank", "seed")], **QUIET)
    moved = [shared.demo.load, base.change, parts["weights"].release, parts["density"].release,
             *(parts[name].change for name in ("adapters", "method", "rank", "seed"))]
    gr.on(moved, lambda base, **values: page.plan_view(studio, base or "", values),
          inputs_kwargs={"base": base, **form}, outputs=parts["plan"],
          trigger_mode="always_last", **QUIET)
    made = parts["make"].click(guarded(make), inputs_kwargs={"name": parts["name"], **form},
                               outputs=parts["name"], **PRIVATE)
    made.then(refresh, inputs_kwargs=looked_at, outputs=shown, **QUIET)
    parts["stop"].click(lambda: studio.blending.stop(), None, None, **QUIET)


def _wire_list(studio: Studio, parts: dict[str, Any], lineup: Lineup) -> None:
    columns, about = lineup.own["runs"], gr.State("")
    asking = [about, parts["deleting"], parts["question"]]

    def clicked(columns: Any, event: gr.EventData) -> list[Any]:
        what, name = str(event.what), str(event.name)
        if what == "delete":
            return [gr.skip(), name, gr.Row(visible=True), view.question_view(name)]
        line = page.with_blend(name, columns or [])
        gr.Info("It answers now, beside the others: see Talk.", duration=4)
        return [gr.Dropdown(value=line, multiselect=True, allow_custom_value=True),
                *_not_asking()]

    def delete(name: str) -> list[Any]:
        from studio.adapters.blend import delete_blend

        delete_blend(studio.settings, name)
        return _not_asking()

    parts["list"].click(guarded(clicked), columns, [columns, *asking], **QUIET)
    parts["delete"].click(guarded(delete), about, asking, **QUIET)
    parts["keep"].click(_not_asking, None, asking, **QUIET)


def _not_asking() -> list[Any]:
    """No blend is about to be deleted."""
    return ["", gr.Row(visible=False), ""]
