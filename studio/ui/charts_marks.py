"""Marks on the training plot: alarms, the best evaluation, changes that memory forced.

They stand on a line of their own between the loss and the learning rate, so that they never cover
the curve; a thin line leads up from each. Pure functions, no gradio.
"""

from __future__ import annotations

import textwrap
from html import escape
from typing import TYPE_CHECKING

from studio.comparison import perplexity

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from studio.story import Alarm, Story

BAD, WARNING, ADAPTED = "#c2554d", "#b48a1e", "#7f84d6"
LANE = (0.285, 0.345)
"""Where the marks stand, as shares of the plot's height: below the loss, above the rate."""
_MOST_LINES = 30
_HOVER_CHARACTERS = 56

_STYLES = {"bad": ("alarm", BAD, "x"), "warning": ("warning", WARNING, "triangle-up")}


def add_marks(figure: go.Figure, story: Story, best_colour: str) -> None:
    """Add everything that is to be marked to the training figure; nothing where all is well."""
    _mark_best(figure, story, best_colour)
    steps = _alarms_by_step(story)
    for level, (name, colour, symbol) in _STYLES.items():
        marked = {step: found for step, found in steps.items() if _worst(found) == level}
        _add_lane(figure, name, colour, symbol,
                  {step: "<br>".join(_hover(one.text) for one in found)
                   for step, found in marked.items()})
    _add_lane(figure, "adapted", ADAPTED, "square",
              {step: _hover(text) for step, text in story.adaptations})
    if steps or story.adaptations:
        # A look at the loss of a step tells its alarms too, which have an axis of their own.
        figure.update_layout(hoversubplots="axis", yaxis3={
            "domain": LANE, "range": [0, 1], "visible": False, "fixedrange": True, "anchor": "x"})


def held_out_hover(story: Story) -> list[str]:
    """For each evaluation in brackets its perplexity, where it has one, and whether it is the best
    so far; empty where there is nothing to say."""
    best = story.best[0] if story.best else None
    found = []
    for step, loss in story.evals:
        words = [f"perplexity {perplexity(loss):.4g}"] if story.has_perplexity else []
        words += ["the best"] if step == best else []
        found.append(f" ({', '.join(words)})" if words else "")
    return found


def _mark_best(figure: go.Figure, story: Story, colour: str) -> None:
    if story.best is None or len(story.evals) < 2 or story.is_rewarded:
        return
    figure.add_scatter(
        x=[story.best[0]], y=[story.best[1]], name="best", mode="markers", hoverinfo="skip",
        marker={"symbol": "star", "size": 14, "color": colour})


def _add_lane(
    figure: go.Figure, name: str, colour: str, symbol: str, texts: dict[int, str]
) -> None:
    """One kind of mark at the steps of `texts`, with a thin dotted line up through the loss."""
    if not texts:
        return
    figure.add_scatter(
        x=list(texts), y=[0.5] * len(texts), yaxis="y3", name=name, mode="markers",
        cliponaxis=False, marker={"symbol": symbol, "size": 11, "color": colour},
        text=list(texts.values()),
        hovertemplate=f"%{{text}}<extra>{name}</extra>")
    for step in list(texts)[-_MOST_LINES:]:
        figure.add_shape(
            type="line", x0=step, x1=step, yref="paper", y0=sum(LANE) / 2, y1=1, layer="below",
            opacity=0.85, line={"color": colour, "width": 1.2, "dash": "dot"})


def _alarms_by_step(story: Story) -> dict[int, list[Alarm]]:
    steps: dict[int, list[Alarm]] = {}
    for alarm in story.alarms:
        steps.setdefault(alarm.step, []).append(alarm)
    return dict(sorted(steps.items()))


def _worst(alarms: list[Alarm]) -> str:
    return "bad" if any(alarm.level == "bad" for alarm in alarms) else "warning"


def _hover(text: str) -> str:
    return "<br>".join(escape(line) for line in textwrap.wrap(text, _HOVER_CHARACTERS))
