"""Scores and forgetting of a run over its steps: a Story becomes a small plotly figure. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.ui.charts import GRID, HELD_OUT, LOSS, TEXT, set_layout

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from studio.story import Story

HEIGHT_PIXELS = 300
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
            y=[None if one.rise is None else 100 * one.rise for one in story.forgetting],
            text=[f"{one.loss:.4f}" for one in story.forgetting], yaxis=both,
            name="general text", mode="lines+markers", line={"color": HELD_OUT, "width": 2},
            hovertemplate="%{y:+.1f} %, loss %{text}<extra>general text</extra>")
    set_layout(figure, _layout(story))
    return figure


def _layout(story: Story) -> dict[str, Any]:
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True}
    right = {**axis, "range": [-4, 104], "nticks": 3}
    rise = {**axis, "rangemode": "tozero", "nticks": 4}
    panels = [("answers right, %", right)] if story.scores else []
    panels += [("loss on general text, rise in %", rise)] if story.forgetting else []
    lower, upper = (0.0, 0.38), (0.58, 0.96)
    domains = [upper, lower] if len(panels) == 2 else [(0.0, 0.92)]
    names = ("yaxis", "yaxis2")
    title = {"xref": "paper", "yref": "paper", "x": 0, "xanchor": "left", "yanchor": "bottom",
             "showarrow": False, "font": {"size": 11}}
    last = max(story.total_steps, story.step, 1)
    return {
        "height": HEIGHT_PIXELS,
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": TEXT, "size": 12}, "margin": {"l": 48, "r": 12, "t": 16, "b": 40},
        "hovermode": "x unified", "showlegend": False,
        "uirevision": story.name, "datarevision": story.version,
        "annotations": [{**title, "text": text, "y": domain[1] + 0.02}
                        for (text, _), domain in zip(panels, domains, strict=True)],
        "xaxis": {**axis, "title": {"text": "step", "standoff": 6}, "range": [0, last * 1.01],
                  "anchor": names[len(panels) - 1].replace("axis", "")},
        **{name: {**panel, "domain": list(domain)}
           for name, (_, panel), domain in zip(names, panels, domains, strict=False)},
    }
