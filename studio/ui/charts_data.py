"""How long the examples are, against the maximum length, and the languages. Pure functions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from studio.ui.charts import GRID, HELD_OUT, LOSS, TEXT, set_layout

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from studio.data.lab.report import Statistics

HEIGHT_PIXELS = 300
CUT = "#c2554d"
FAR = 1.6
"""A maximum length so many times the longest example is named at the edge; drawn to scale it would
press the bars together."""
LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "cs": "Czech", "da": "Danish",
    "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sk": "Slovak", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "th": "Thai",
    "tr": "Turkish", "uk": "Ukrainian", "und": "unclear", "ur": "Urdu", "vi": "Vietnamese",
    "zh": "Chinese",
}
UNCLEAR = "und"
"""The code of texts that are too short to tell, or in several languages."""
LANGUAGE_COLOURS = ("#1f8a91", "#d9822b", "#7f84d6", "#5fa55a", "#b48a1e", "#8b9695")
LANGUAGES_SHOWN = 5


def lengths_figure(statistics: Statistics, max_length: int, name: str = "") -> go.Figure | None:
    """Examples over their length in tokens, before any cut, with the maximum length as a line.

    What is behind the line loses its end, or is divided. None where no lengths are known.
    """
    if not statistics.length_counts:
        return None
    import plotly.graph_objects as go

    figure = go.Figure()
    for pieces, colour, what in (
        (_bars(statistics, 0, max_length), LOSS, "whole"),
        (_bars(statistics, max_length, None), *_behind(statistics)),
    ):
        if pieces:
            figure.add_bar(
                x=[(start + end) / 2 for start, end, _, _ in pieces],
                width=[end - start for start, end, _, _ in pieces],
                y=[count for _, _, count, _ in pieces], customdata=[[b] for *_, b in pieces],
                name=what, marker={"color": colour, "line": {"width": 0}},
                hovertemplate="%{y:,} examples of %{customdata[0]} tokens"
                              f"<extra>{what}</extra>",
            )
    set_layout(figure, _layout(statistics, max_length, name))
    return figure


def is_divided(statistics: Statistics) -> bool:
    """Whether long texts become several rows instead of being cut."""
    return (statistics.rows or 0) > statistics.examples


def _behind(statistics: Statistics) -> tuple[str, str]:
    """Colour of what is longer than the maximum, and what becomes of it."""
    return (HELD_OUT, "divided into rows") if is_divided(statistics) else (CUT, "cut at the end")


def share_behind(statistics: Statistics, max_length: int) -> str:
    """"3.2 % of the examples are cut" in words that fit above a line."""
    if is_divided(statistics):
        return f"{statistics.rows:,} rows"
    if not statistics.truncated:
        return "nothing is cut"
    share = 100 * statistics.truncated / max(statistics.examples, 1)
    return f"{share:.1f} % cut" if share >= 0.1 else f"{statistics.truncated:,} cut"


def _bars(
    statistics: Statistics, low: float, high: float | None
) -> list[tuple[float, float, int, str]]:
    """(start, end, examples, "120 to 139") of every bar between two lengths. A bar that the line
    goes through is drawn in two parts of the same height."""
    found = []
    edges = itertools.pairwise(statistics.length_edges)
    for (start, end), count in zip(edges, statistics.length_counts, strict=True):
        left, right = max(start, low), min(end, high if high is not None else end)
        if count and left < right:
            words = f"{start:,}" if end - start <= 1 else f"{start:,} to {end - 1:,}"
            found.append((left, right, count, words))
    return found


def _layout(statistics: Statistics, max_length: int, name: str) -> dict[str, Any]:
    last = statistics.length_edges[-1]
    is_far = max_length > FAR * last
    end = last * 1.04 if is_far else max(last, max_length) * 1.04
    words = f"maximum length {max_length:,}: {share_behind(statistics, max_length)}"
    mark = {"text": words + (" →" if is_far else ""), "x": end if is_far else max_length,
            "xanchor": "right" if is_far or max_length > end / 2 else "left", "y": 1.0,
            "yref": "paper", "yanchor": "bottom", "showarrow": False,
            "font": {"size": 12, "color": HELD_OUT}}
    line = {"type": "line", "x0": max_length, "x1": max_length, "y0": 0, "y1": 1, "yref": "paper",
            "line": {"color": HELD_OUT, "width": 2, "dash": "dash"}}
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True}
    return {
        "height": HEIGHT_PIXELS, "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)", "font": {"color": TEXT, "size": 12},
        "margin": {"l": 48, "r": 12, "t": 28, "b": 40}, "barmode": "overlay", "bargap": 0,
        "showlegend": False, "uirevision": name, "shapes": [] if is_far else [line],
        "annotations": [mark],
        "xaxis": {**axis, "range": [0, end], "title": {"text": "tokens", "standoff": 6}},
        "yaxis": {**axis, "rangemode": "tozero", "title": {"text": "examples", "standoff": 6}},
    }


def language_bar(languages: Mapping[str, float]) -> str:
    """The mix of languages as one thin bar with its words; nothing where none is known."""
    if not languages.keys() - {UNCLEAR}:
        return ""
    ranked = sorted(languages.items(), key=lambda item: -item[1])
    shown = ranked[:LANGUAGES_SHOWN]
    rest = sum(share for _, share in ranked[LANGUAGES_SHOWN:])
    parts = [(language_name(code), share) for code, share in shown]
    parts += [("others", rest)] if rest > 0 else []
    pairs = list(zip(parts, LANGUAGE_COLOURS, strict=False))
    segments = "".join(
        f'<div style="width:{100 * share:.2f}%;background:{colour}" '
        f'title="{escape(name)}: {percent(share)}"></div>' for (name, share), colour in pairs)
    words = "".join(
        f'<span><i style="background:{colour}"></i>{escape(name)} {percent(share)}</span>'
        for (name, share), colour in pairs)
    return (f'<div class="languages"><div class="languages-bar" role="img" '
            f'aria-label="Languages of the examples">{segments}</div>'
            f'<div class="languages-words">{words}</div></div>')


def language_name(code: str) -> str:
    """"de" -> "German"; a code without a name here stays a code."""
    return LANGUAGES.get(code, code)


def percent(share: float) -> str:
    """0.034 -> "3.4 %", 0.5 -> "50 %", 0.0001 -> "under 0.1 %"."""
    value = 100 * share
    if 0 < value < 0.1:
        return "under 0.1 %"
    return f"{value:.1f} %" if value < 10 and value != round(value) else f"{value:.0f} %"
