"""The card "What it answers": samples, scored answers, and forgetting of the run that is shown.

Wiring and one reader; what is shown is in `train_samples_view.py`. Files are read only when the
run has told that there is something new. The card hides itself while there is nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.ui import charts_learning, markup
from studio.ui.live_plot import figure_value, live_plot
from studio.ui.panels.train_samples_view import measures_view, scored_view, timeline_view
from studio.ui.seen import seen_by_page, unless_seen
from studio.ui.shared import QUIET, Shared

if TYPE_CHECKING:
    from studio.runs import Run
    from studio.story import Story
    from studio.ui.studio import Studio


def build(studio: Studio, shared: Shared, chosen: gr.State) -> None:
    """Lay out the card and keep it up to date. `chosen` holds the name of the run that the person
    opened; empty follows the newest."""
    # A group that is updated draws itself twice, so a column around it is what hides.
    with (gr.Column(visible=False, elem_id="train-samples-card") as card,
          gr.Group(elem_classes="card")):
        gr.HTML(markup.heading("What it answers", "The model in training, asked the same again "
                               "and again. Words that changed are marked."))
        timeline = gr.HTML(elem_id="train-samples", padding=False)
        measures = gr.HTML(elem_id="train-measures", padding=False)
        with gr.Column(visible=False) as plot_box:
            plot = live_plot(height_pixels=charts_learning.HEIGHT_PIXELS, empty_text="",
                             elem_id="train-learning")
        scored = gr.HTML(elem_id="train-scored", padding=False)
    seen = seen_by_page()
    shown = [card, timeline, measures, plot_box, plot, scored, seen]

    def refresh(chosen: str, seen: Any) -> Any:
        return page(studio.run_to_show(chosen), seen)

    shared.ticks.add(refresh, [chosen, seen], shown)
    shared.demo.load(refresh, [chosen, seen], shown, **QUIET)


def page(run: Run | None, seen: Any) -> Any:
    """One update per component, or a single skip where nothing is new since `seen`."""
    story = run.story() if run is not None else None
    return unless_seen(_key_of(story), seen, lambda: _updates(run, story))


def _updates(run: Run | None, story: Story | None) -> list[Any]:
    timeline, scored = _answers(run, story)
    measures, figure = measures_view(story), charts_learning.learning_figure(story)
    return [gr.Column(visible=bool(timeline or measures)), timeline, measures,
            gr.Column(visible=figure is not None), figure_value(figure), scored]


def _key_of(story: Story | None) -> list[Any]:
    """Changes whenever the card has something else to show."""
    if story is None:
        return [""]
    return [story.name, story.plan.get("start_step", 0), story.sample_rounds,
            len(story.scores), len(story.forgetting),
            story.scores[-1].step if story.scores else -1,
            story.forgetting[-1].step if story.forgetting else -1]


def _answers(run: Run | None, story: Story | None) -> tuple[str, str]:
    """Timeline and scored answers as HTML."""
    from studio.training.kept_answers import read_samples, read_scored

    if run is None or story is None:
        return "", ""
    samples = read_samples(run) if story.sample_rounds else []
    return timeline_view(samples), scored_view(read_scored(run) if story.scores else [])
