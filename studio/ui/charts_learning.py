"""Scores and forgetting of a run over its steps: a Story becomes a small plotly figure. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.ui.charts import GRID, HELD_OUT, LOSS, TEXT

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from studio.story import Story

HEIGHT_PIXELS = 220
FEWEST_POINTS = 3
"""Two points are told by their numbers."""


def learning_figure(story: Story | None) -> go.Figure | None:
    """Share of right answers, and the rise of the loss on general text, each in percent.

    None while neither was measured three times.
    """
    if story is None or max(len(story.scores), len(story.forgetting)) < FEWEST_POINTS:
        return None
    import plotly.graph_objects as go

    figure = go.Figure()
    if story.scores:
        figure.add_scatter(
            x=[one.step for one in story.scores], y=[100 * one.value for one in story.scores],
            name="answers right", mode="lines+markers", line={"color": LOSS, "width": 2},
            hovertemplate="%{y:.1f} %<extra>answers right</extra>")
    if story.forgetting:
        both = "y2" if story.scores else "y"
        figure.add_scatter(
            x=[one.step for one in story.forgetting],
            y=[100 * (one.loss / one.base_loss - 1) if one.base_loss else None
               for one in story.forgetting],
            text=[f"{one.loss:.4f}" for one in story.forgetting], yaxis=both,
            name="general text", mode="lines+markers", line={"color": HELD_OUT, "width": 2},
            hovertemplate="%{y:+.1f} %, loss %{text}<extra>general text</extra>")
    figure.update_layout(**_layout(story))
    return figure


def _layout(story: Story) -> dict[str, Any]:
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True}
    rise = {**axis, "title": {"text": "rise of the loss on general text, %", "standoff": 6},
            "rangemode": "tozero", "nticks": 4}
    right = {**axis, "title": {"text": "answers right, %", "standoff": 6}, "range": [-4, 104],
             "nticks": 5}
    last = max(story.total_steps, story.step, 1)
    axes = {"yaxis": rise}
    if story.scores:
        axes = {"yaxis": {**right, "domain": [0.56, 1.0]}, "yaxis2": {**rise, "domain": [0, 0.44]}}
    if story.scores and not story.forgetting:
        axes = {"yaxis": right}
    return {
        "template": None, "height": HEIGHT_PIXELS * (2 if len(axes) == 2 else 1),
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": TEXT, "size": 12}, "margin": {"l": 48, "r": 12, "t": 16, "b": 40},
        "hovermode": "x unified", "showlegend": False,
        "uirevision": story.name, "datarevision": story.version,
        "xaxis": {**axis, "title": {"text": "step", "standoff": 6}, "range": [0, last * 1.01],
                  "anchor": "y2" if len(axes) == 2 else "y"},
        **axes,
    }
