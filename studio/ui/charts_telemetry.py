"""Load, memory, temperature and power of a run over time: samples become a plotly figure. Pure.

Time in which nothing was recorded (a run that was resumed the next day) is left out of the axis.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.comparison import gigabytes
from studio.ui.charts import GRID, HELD_OUT, LOSS, RATE, TEXT, set_layout

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from studio.hardware.telemetry import Sample

HEIGHT_PIXELS = 380
MAX_POINTS = 400
GAP_SECONDS = 15.0
"""Longer without a sample is a pause, not a slow second."""
GPU, PC, PROGRAM, TEMPERATURE, POWER = LOSS, HELD_OUT, RATE, "#c2554d", "#b48a1e"
_BETWEEN = 0.11
"""Of the height, between two panels."""

Value = float | None


@dataclass(frozen=True)
class Line:
    """One curve: its axis, and how a stretch of samples becomes one point. `group` is its word in
    the legend, which curves of one colour share."""

    name: str
    group: str
    colour: str
    axis: str
    unit: str
    take: Callable[[Sample], Value]
    gather: Callable[[list[float]], float]


# Memory keeps the highest of a stretch, since its peak is what matters; the rest the average.
LINES = (
    Line("GPU", "GPU", GPU, "y", " %", lambda s: s.gpu_utilization_percent, statistics.fmean),
    Line("processor", "PC", PC, "y", " %", lambda s: s.cpu_percent, statistics.fmean),
    Line("GPU memory", "GPU", GPU, "y2", " GB", lambda s: gigabytes(s.gpu_used_bytes), max),
    Line("PC memory", "PC", PC, "y2", " GB", lambda s: gigabytes(s.ram_used_bytes), max),
    Line("of it this program", "this program", PROGRAM, "y2", " GB",
         lambda s: gigabytes(s.rss_bytes), max),
    Line("temperature", "temperature", TEMPERATURE, "y3", " °C",
         lambda s: s.gpu_temperature_celsius, statistics.fmean),
    Line("power", "power", POWER, "y4", " W", lambda s: s.gpu_power_watts, statistics.fmean),
)
_TITLES = {"y": "busy, %", "y2": "memory in use, GB", "y3": "temperature of the GPU, °C",
           "y4": "power, W"}


def telemetry_figure(
    samples: Sequence[Sample], name: str = "", max_points: int = MAX_POINTS
) -> go.Figure | None:
    """The curves of what was recorded; None for fewer than two samples."""
    if len(samples) < 2:
        return None
    import plotly.graph_objects as go

    stretches = _stretches(_minutes(samples), max_points)
    at = [minute for minute, _ in stretches]
    figure = go.Figure()
    axes: dict[str, None] = {}
    groups: set[str] = set()
    for line in LINES:
        values = [_gathered(line, [samples[index] for index in indices])
                  for _, indices in stretches]
        if all(value is None for value in values):
            continue
        axes[line.axis] = None
        figure.add_scatter(
            x=at, y=values, name=line.group, yaxis=line.axis, mode="lines",
            legendgroup=line.group, showlegend=line.group not in groups,
            line={"color": line.colour, "width": 1.5},
            hovertemplate=f"%{{y:.1f}}{line.unit}<extra>{line.name}</extra>",
        )
        groups.add(line.group)
    set_layout(figure, _layout(list(axes), name, len(samples)))
    return figure


def _minutes(samples: Sequence[Sample]) -> list[float]:
    """Minutes of recording up to each sample; pauses do not count."""
    passed, found = 0.0, [0.0]
    for before, after in itertools.pairwise(samples):
        step = after.time - before.time
        passed += step if 0 <= step <= GAP_SECONDS else 1.0
        found.append(passed / 60)
    return found


def _stretches(minutes: list[float], limit: int) -> list[tuple[float, range]]:
    """At most `limit` stretches of about equal length: where each begins, and its samples."""
    count = len(minutes)
    parts = min(limit, count)
    bounds = [part * count // parts for part in range(parts + 1)]
    return [(round(minutes[start], 3), range(start, end))
            for start, end in itertools.pairwise(bounds)]


def _gathered(line: Line, samples: list[Sample]) -> Value:
    known = [value for sample in samples if (value := line.take(sample)) is not None]
    return round(line.gather(known), 2) if known else None


def _layout(axes: list[str], name: str, version: int) -> dict[str, Any]:
    """Panels from top to bottom; power shares the panel of the temperature, on the right."""
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True, "rangemode": "tozero",
            "nticks": 4}
    has_right = "y3" in axes and "y4" in axes
    panels = [key for key in axes if not (has_right and key == "y4")]
    height = (1 - _BETWEEN * (len(panels) - 1)) / len(panels)
    tops = {key: 1 - place * (height + _BETWEEN) for place, key in enumerate(panels)}
    layout: dict[str, Any] = {
        "height": HEIGHT_PIXELS, "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)", "font": {"color": TEXT, "size": 12},
        "margin": {"l": 48, "r": 44 if has_right else 12, "t": 50, "b": 40},
        "hovermode": "x unified", "uirevision": name, "datarevision": version,
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.04,
                   "yanchor": "bottom"},
        "xaxis": {"gridcolor": GRID, "zeroline": False, "automargin": True,
                  "title": {"text": "minutes", "standoff": 6}, "anchor": panels[-1]},
        "annotations": [_title(key, tops[key]) for key in panels],
    }
    for key in panels:
        layout["yaxis" + key[1:]] = {**axis, "domain": [max(0.0, tops[key] - height), tops[key]]}
    if has_right:
        layout["yaxis4"] = {**axis, "overlaying": "y3", "side": "right", "showgrid": False,
                            "tickmode": "auto"}
        layout["annotations"].append({**_title("y4", tops["y3"]), "x": 1, "xanchor": "right"})
    return layout


def _title(key: str, top: float) -> dict[str, Any]:
    return {"xref": "paper", "yref": "paper", "x": 0, "xanchor": "left", "y": top,
            "yanchor": "bottom", "showarrow": False, "font": {"size": 11}, "text": _TITLES[key]}
