"""The card of the answers that a run was rewarded for. Hides itself while there are none.

Wiring and one reader; what is shown is in `rewarded_view.py`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.ui import markup
from studio.ui.panels.rewarded_view import rewarded_view
from studio.ui.seen import fresh_updates, seen_by_page
from studio.ui.shared import QUIET, Shared

if TYPE_CHECKING:
    from studio.runs import Run
    from studio.ui.studio import Studio

REDRAWN_EVERY = 5
"""Steps between two readings of the answers while a run is at work."""


def build(studio: Studio, shared: Shared, chosen: gr.State) -> None:
    """Lay out the card and keep it up to date. `chosen` names the run that is open, or is empty."""
    with (gr.Column(visible=False, elem_id="train-rewarded-card") as card,
          gr.Group(elem_classes="card")):
        gr.HTML(markup.heading("What it was rewarded for", "Its own answers to one prompt of a "
                               "step, the best first. Point at a number to see what it is made "
                               "of."))
        answers = gr.HTML(elem_id="train-rewarded", padding=False)
    seen = seen_by_page()

    def refresh(chosen: str, seen: dict[str, Any]) -> Any:
        return page(studio.run_to_show(chosen), seen)

    shown = [card, answers, seen]
    shared.ticks.add(refresh, [chosen, seen], shown)
    shared.demo.load(refresh, [chosen, seen], shown, **QUIET)


def page(run: Run | None, seen: dict[str, Any]) -> list[Any]:
    """One update per component, skipped where nothing is new since `seen`, and what is seen now."""
    @functools.cache
    def answers() -> str:
        return rewarded_view(run) if run is not None and run.story().is_rewarded else ""

    key = _key(run)
    return fresh_updates({"card": (key, lambda: gr.Column(visible=bool(answers()))),
                          "answers": (key, answers)}, ("card", "answers"), seen)


def _key(run: Run | None) -> list[Any]:
    """Changes whenever the card has something else to show."""
    if run is None:
        return [""]
    story = run.story()
    step = story.step - story.step % REDRAWN_EVERY if story.is_active else story.step
    return [story.name, story.method, story.plan.get("start_step", 0), story.is_active, step]
