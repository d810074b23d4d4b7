"""What a method measures beside its loss, over the steps: a Story becomes panels of one figure.

Rewards and margins share a panel, shares another, and each other measure has its own. Measured at
a step a line, at an evaluation a dot of the same colour. Pure functions, no gradio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from studio.measures import MEASURES
from studio.ui.charts import GRID, MAX_POINTS, TEXT, decimate, set_layout, smoothed

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from studio.story import Story

HEIGHT_PIXELS = 460
COLOURS = ("#1f8a91", "#d9822b", "#7f84d6", "#c2554d", "#5a9e4b", "#b565a7", "#4c86d1", "#b48a1e",
           "#8d6e5c", "#7b8794")
SINGLE = "reward/"
"""Before the name of one reward function of several."""
_POINTS_MEANT = ("margin", "chosen_reward", "rejected_reward", "reward", "reward_spread")
_GAP = 0.13
"""Between two panels, as a share of the height; the title of the lower one stands there."""


@dataclass(frozen=True)
class Panel:
    """One of the panels: its title and the measures in it."""

    title: str
    names: tuple[str, ...]
    is_share: bool = False


def measures_figure(story: Story | None) -> go.Figure | None:
    """The panels of everything that was measured; None where nothing was."""
    found = panels(story) if story else []
    if story is None or not found:
        return None
    import plotly.graph_objects as go

    figure = go.Figure()
    names = [name for panel in found for name in panel.names]
    for number, panel in enumerate(found, 1):
        for name in panel.names:
            _add(figure, story, name, f"y{number if number > 1 else ''}", names.index(name),
                 panel.is_share)
    set_layout(figure, _layout(story, found))
    return figure


def panels(story: Story) -> list[Panel]:
    """What there is to show, the most telling first."""
    told = {name: None for point in story.points for name in point.measures}
    told |= {name: None for _, values in story.eval_measures for name in values}
    names = [name for name in MEASURES if name in told]
    single = sorted(name for name in told if name.startswith(SINGLE))
    points = [name for name in names if name in _POINTS_MEANT]
    points += single if len(single) > 1 else []
    shares = [name for name in names if MEASURES[name].is_share]
    alone = [name for name in names if name not in points and name not in shares]
    found = [Panel(_title(points), tuple(points))] if points else []
    found += [Panel("share in %", tuple(shares), True)] if shares else []
    return found + [Panel(MEASURES[name].label, (name,)) for name in alone]


def _title(names: list[str]) -> str:
    return "margin and rewards" if "margin" in names else "reward"


def _label(name: str) -> str:
    return MEASURES[name].label if name in MEASURES else f"of {escape(name.removeprefix(SINGLE))}"


def _add(
    figure: go.Figure, story: Story, name: str, axis: str, place: int, is_share: bool
) -> None:
    """One measure: its values faint, smoothed above them, evaluations as dots."""
    scale = 100 if is_share else 1
    colour = COLOURS[place % len(COLOURS)]
    known = [(point.step, scale * point.measures[name]) for point in story.points
             if name in point.measures]
    values = [value if math.isfinite(value) else None for _, value in known]
    kept = decimate(values, MAX_POINTS)
    steps, smooth = [known[index][0] for index in kept], smoothed(values)
    label, unit = _label(name), " %" if is_share else ""
    common: dict[str, Any] = {"x": steps, "yaxis": axis, "legendgroup": name}
    if known:
        figure.add_scatter(
            **common, y=[values[index] for index in kept], mode="lines", opacity=0.35,
            line={"color": colour, "width": 1}, hoverinfo="skip", showlegend=False)
        figure.add_scatter(
            **common, y=[smooth[index] for index in kept], name=label,
            mode="lines+markers" if len(kept) < 3 else "lines",
            line={"color": colour, "width": 2.2},
            hovertemplate=f"%{{y:.4~g}}{unit}<extra>{label}</extra>")
    held_out = [(step, scale * found[name]) for step, found in story.eval_measures if name in found]
    if held_out:
        figure.add_scatter(
            x=[step for step, _ in held_out], y=[value for _, value in held_out], yaxis=axis,
            name=f"{label}, held out", legendgroup=name, showlegend=not known, mode="markers",
            marker={"size": 9, "color": colour, "line": {"width": 1.5, "color": TEXT}},
            hovertemplate=f"%{{y:.4~g}}{unit}<extra>{label}, held out</extra>")


def _layout(story: Story, found: list[Panel]) -> dict[str, Any]:
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True}
    last = max(story.total_steps, story.step, 1)
    height = (1 - _GAP * len(found)) / len(found)
    names = ["yaxis" if number == 1 else f"yaxis{number}" for number in range(1, len(found) + 1)]
    tops = [1 - _GAP - place * (height + _GAP) for place in range(len(found))]
    title = {"xref": "paper", "yref": "paper", "x": 0, "xanchor": "left", "yanchor": "bottom",
             "showarrow": False, "font": {"size": 11}}
    return {
        "height": HEIGHT_PIXELS,
        "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": TEXT, "size": 12}, "margin": {"l": 48, "r": 12, "t": 8, "b": 76},
        "hovermode": "x unified", "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.14, "yanchor": "top"},
        "uirevision": story.name, "datarevision": story.version,
        "annotations": [{**title, "text": panel.title[:1].lower() + panel.title[1:],
                         "y": top + 0.01} for panel, top in zip(found, tops, strict=True)],
        "xaxis": {**axis, "title": {"text": "step", "standoff": 6}, "range": [0, last * 1.01],
                  "anchor": names[-1].replace("axis", "")},
        **{name: {**axis, "nticks": 4, "domain": [max(0.0, top - height), top],
                  **({"range": [-4, 104]} if panel.is_share else {})}
           for name, panel, top in zip(names, found, tops, strict=True)},
    }
