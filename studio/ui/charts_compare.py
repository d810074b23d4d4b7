"""Several runs in one plot: curves become a plotly figure. Pure functions, no gradio.

A run keeps its colour for as long as it is chosen, whatever comes and goes beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.comparison import By, metric_named
from studio.ui.charts import GRID, TEXT, decimate, set_layout, smoothed

if TYPE_CHECKING:
    import plotly.graph_objects as go

HEIGHT_PIXELS = 420
MAX_POINTS = 6000
"""Of all curves together."""
FEWEST_POINTS = 200
"""Of one curve, however many there are."""
COLOURS = ("#1f8a91", "#d9822b", "#7f84d6", "#c2554d", "#5a9e4b", "#b565a7", "#b48a1e", "#4c86d1",
           "#8d6e5c", "#7b8794")
DASHES = ("solid", "dash", "dot", "dashdot")
SECONDS = (("hours", 3600.0, 2 * 3600.0), ("minutes", 60.0, 120.0), ("seconds", 1.0, 0.0))
"""Unit of the time axis, its length in seconds, and from how many seconds on it is taken."""


@dataclass(frozen=True)
class Curve:
    """One run in the plot. `place` decides its colour; `x` is in steps, tokens, or seconds."""

    name: str
    label: str
    place: int
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class View:
    """How curves are drawn. `smoothing` is the weight of the past, 0 to below 1."""

    metric: str = "loss"
    by: By = "step"
    smoothing: float = 0.0
    is_log: bool = False


def colour(place: int) -> str:
    """The colour at a place; after ten they begin again, with another dash."""
    return COLOURS[place % len(COLOURS)]


def dash(place: int) -> str:
    """The dash at a place, so that forty runs can be told apart."""
    return DASHES[place // len(COLOURS) % len(DASHES)]


def places(names: Iterable[str], before: Mapping[str, int]) -> dict[str, int]:
    """A place for each name, in order: the one it had before, or else the first free one."""
    wanted = list(dict.fromkeys(names))
    kept = {name: before[name] for name in wanted if name in before}
    free = (place for place in range(len(wanted) + len(before) + 1)
            if place not in kept.values())
    return {name: kept[name] if name in kept else next(free) for name in wanted}


def compare_figure(curves: Sequence[Curve], view: View) -> go.Figure | None:
    """The curves over one another; None where none of them has a point."""
    drawn = [curve for curve in curves if any(map(math.isfinite, curve.y))]
    if not drawn:
        return None
    import plotly.graph_objects as go

    unit, divisor = _axis(drawn, view.by)
    limit = max(FEWEST_POINTS, MAX_POINTS // len(drawn))
    figure = go.Figure()
    for curve in drawn:
        for trace in _traces(curve, view, divisor, limit):
            figure.add_scatter(**trace)
    set_layout(figure, _layout(view, unit))
    return figure


def _axis(curves: Sequence[Curve], by: By) -> tuple[str, float]:
    """The word below the axis, and what x is divided by."""
    if by == "step":
        return "step", 1.0
    longest = max(max(curve.x) for curve in curves)
    if by == "token":
        return ("million tokens", 1e6) if longest >= 2e6 else ("tokens", 1.0)
    return next((f"{unit} of training", length) for unit, length, least in SECONDS
                if longest >= least)


def _traces(curve: Curve, view: View, divisor: float, limit: int) -> list[dict[str, Any]]:
    """The curve; smoothed, it lies over the values as they were, which are drawn faintly."""
    raw = [value if math.isfinite(value) and not (view.is_log and value <= 0) else None
           for value in curve.y]
    kept = decimate(raw, limit)
    x = [round(curve.x[index] / divisor, 6) for index in kept]
    line: dict[str, Any] = {"color": colour(curve.place), "dash": dash(curve.place)}
    label = _escaped(curve.label)
    # The uid keeps a curve that was hidden in the legend hidden, whatever else is chosen.
    common: dict[str, Any] = {"x": x, "name": label, "legendgroup": curve.name, "uid": curve.name,
              "hovertemplate": f"%{{y:.5~g}}<extra>{label}</extra>",
              "mode": "lines" if len(kept) > 30 else "lines+markers", "marker": {"size": 5}}
    if not view.smoothing:
        return [{**common, "y": [raw[index] for index in kept], "line": {**line, "width": 2}}]
    smooth = smoothed(raw, view.smoothing)
    faint = {**common, "y": [raw[index] for index in kept], "line": {**line, "width": 1},
             "opacity": 0.3, "mode": "lines", "showlegend": False, "hoverinfo": "skip",
             "hovertemplate": None, "uid": f"{curve.name} as it was"}
    return [faint, {**common, "y": [smooth[index] for index in kept], "mode": "lines",
                    "line": {**line, "width": 2.5}}]


def _escaped(text: str) -> str:
    """Plotly reads a few tags and %{...} in names; a person's title is only text."""
    short = text if len(text) <= 48 else f"{text[:47]}…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")


def _layout(view: View, unit: str) -> dict[str, Any]:
    metric = metric_named(view.metric)
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True}
    log = {"type": "log", "dtick": "D2", "tickformat": "~g"}
    title = f"{metric.label}, {metric.unit}" if metric.unit else metric.label
    return {
        "height": HEIGHT_PIXELS, "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)", "font": {"color": TEXT, "size": 12},
        "margin": {"l": 48, "r": 12, "t": 30, "b": 40}, "hovermode": "x unified",
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.16, "yanchor": "top"},
        "annotations": [{"xref": "paper", "yref": "paper", "x": 0, "xanchor": "left", "y": 1.01,
                         "yanchor": "bottom", "showarrow": False, "font": {"size": 12},
                         "text": title}],
        # Other runs, points and smoothing leave the zoom alone; other axes begin anew.
        "uirevision": f"{view.metric} {unit} {view.is_log}",
        "xaxis": {**axis, "title": {"text": unit, "standoff": 6}, "spikethickness": 1,
                  "spikecolor": TEXT, "spikedash": "dot", "rangemode": "tozero"},
        "yaxis": {**axis, **log} if view.is_log else axis,
    }
