"""Training curves: a run's Story becomes a plotly figure. Pure functions, no gradio.

Colours are calm ones that read on white and on black; the page replaces text and grid colours
by the theme's own (`live_plot.py`). No template is attached: it would be most of what is sent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from studio.ui.charts_marks import add_marks, held_out_hover

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from studio.story import Story

MAX_POINTS = 1000
"""More points than a plot is wide in pixels only make the page slow."""

HEIGHT_PIXELS = 400
LOSS = "#1f8a91"
HELD_OUT = "#d9822b"
RATE = "#7f84d6"
TEXT = "#8b93a3"
GRID = "rgba(139,147,163,0.22)"


def training_figure(story: Story, max_points: int = MAX_POINTS) -> go.Figure:
    """Loss (raw, smoothed, held-out) above the learning rate, over optimizer steps, with marks."""
    import plotly.graph_objects as go

    points = story.points
    raw = [_finite(point.loss) for point in points]
    kept = decimate(raw, max_points)
    steps = [points[index].step for index in kept]
    smooth = smoothed(raw)
    hover = [f"epoch {points[index].epoch:.2f}" for index in kept]
    figure = go.Figure()
    figure.add_scatter(
        x=steps, y=[raw[index] for index in kept], name="loss at this step", mode="lines",
        line={"color": LOSS, "width": 1}, opacity=0.5, hoverinfo="skip",
    )
    figure.add_scatter(
        x=steps, y=[smooth[index] for index in kept], name="loss, smoothed", mode=_mode(kept),
        line={"color": LOSS, "width": 2.5}, text=hover,
        hovertemplate="%{y:.4f} (%{text})<extra>loss</extra>",
    )
    if story.evals and not story.is_rewarded:
        figure.add_scatter(
            x=[step for step, _ in story.evals], y=[_finite(loss) for _, loss in story.evals],
            name="held-out loss", mode="lines+markers", line={"color": HELD_OUT, "width": 1.5},
            marker={"size": 8}, text=held_out_hover(story),
            hovertemplate="%{y:.4f}%{text}<extra>held-out loss</extra>",
        )
    figure.add_scatter(
        x=steps, y=[_finite(points[index].learning_rate) for index in kept], yaxis="y2",
        name="learning rate", mode=_mode(kept), line={"color": RATE, "width": 1.5},
        showlegend=False, hovertemplate="%{y:.2e}<extra>learning rate</extra>",
    )
    set_layout(figure, _layout(story))
    add_marks(figure, story, HELD_OUT)
    return figure


def set_layout(figure: go.Figure, layout: dict[str, Any]) -> None:
    """Give `figure` this layout and no template.

    `update_layout` takes three times as long, and a page beside a training makes its charts anew
    at every look.
    """
    figure.layout = layout
    figure.layout.template = None


def smoothed(values: Sequence[float | None], keep: float | None = None) -> list[float | None]:
    """Exponential moving average; gaps stay gaps. `keep` is the weight of the past, below 1; None
    averages over a twentieth of the curve.

    Divided by the weight seen so far, so that the start is not pulled to the first value
    (the bias correction of Adam).
    """
    if keep is None:
        keep = 1 - 2 / (max(3.0, len(values) / 20) + 1)
    total = weight = 0.0
    result: list[float | None] = []
    for value in values:
        if value is None:
            result.append(None)
            continue
        total = keep * total + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        result.append(total / weight)
    return result


def decimate(values: Sequence[float | None], limit: int) -> list[int]:
    """At most `limit` indices, in order: the lowest and highest of each stretch, so spikes stay.

    First and last are always kept.
    """
    count = len(values)
    if count <= limit:
        return list(range(count))
    buckets = max(1, (limit - 2) // 2)
    kept = {0, count - 1}
    for bucket in range(buckets):
        stretch = range(bucket * count // buckets, (bucket + 1) * count // buckets)
        known = [index for index in stretch if values[index] is not None]
        if known:
            kept.add(min(known, key=lambda index: values[index] or 0.0))
            kept.add(max(known, key=lambda index: values[index] or 0.0))
    return sorted(kept)


def _layout(story: Story) -> dict[str, Any]:
    last = max(story.total_steps, story.points[-1].step if story.points else 0, 1)
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True}
    name = {"xref": "paper", "yref": "paper", "x": 0, "xanchor": "left", "yanchor": "bottom",
            "showarrow": False, "font": {"size": 11}}
    return {
        "height": HEIGHT_PIXELS, "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)", "font": {"color": TEXT, "size": 12},
        "margin": {"l": 48, "r": 12, "t": 60, "b": 40}, "hovermode": "x unified",
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02,
                   "yanchor": "bottom"},
        "annotations": [{**name, "text": "loss", "y": 1.02},
                        {**name, "text": "learning rate", "y": 0.245}],
        # The same revision keeps zoom and hidden traces while points arrive; a new run resets.
        "uirevision": story.name, "datarevision": story.version,
        "xaxis": {**axis, "title": {"text": "step", "standoff": 6}, "anchor": "y2",
                  "spikethickness": 1, "spikecolor": TEXT, "spikedash": "dot",
                  "range": [0, last * 1.01]},
        "yaxis": {**axis, "domain": [0.36, 1.0]},
        "yaxis2": {**axis, "domain": [0.0, 0.24], "rangemode": "tozero", "nticks": 3,
                   "tickformat": ".0e"},
    }


def _mode(kept: Sequence[int]) -> str:
    """A single point has no line: show it as a dot."""
    return "lines+markers" if len(kept) < 3 else "lines"


def _finite(value: float | None) -> float | None:
    """A loss that is not a number leaves a gap."""
    return value if value is not None and math.isfinite(value) else None
