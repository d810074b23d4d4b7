"""What the comparison shows beside the plot: figures of each run, and the fields in which their
recipes differ. Pure functions to HTML.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape

from studio.comparison import Difference, Summary
from studio.files import readable_bytes
from studio.measures import MEASURES, SHOWN, measure_text
from studio.ui.charts_compare import colour, dash
from studio.ui.markup import note, readable_seconds
from studio.ui.panels.train_view import state_word

MOST_TELLING = 2
"""So many of what a method measures have a column of their own."""


def run_label(name: str, title: str) -> str:
    """A run as lists show it: the person's title, and the name to tell it apart."""
    return f"{title} ({name})" if title else name


def short_labels(titles: Mapping[str, str]) -> dict[str, str]:
    """Runs as legends and tables show them: the title alone where no other run has the same."""
    given = Counter(titles.values())
    return {name: title if title and given[title] == 1 else run_label(name, title)
            for name, title in titles.items()}


def swatch(place: int) -> str:
    """A stroke in the colour and dash that a run has in the plot."""
    style = {"solid": "solid", "dash": "dashed", "dot": "dotted"}.get(dash(place), "double")
    return (f'<span class="stroke" style="border-top: 3px {style} {colour(place)}" '
            'aria-hidden="true"></span>')


def summary_view(rows: Sequence[Summary], labels: Mapping[str, str],
                 places: Mapping[str, int]) -> str:
    """A line of figures for each run; the lowest held-out loss is marked."""
    if not rows:
        return ""
    lowest = min((row.best[1] for row in rows if row.best), default=math.nan)
    columns = _columns(rows)
    head = "".join(f"<th{_side(title)}>{escape(title)}</th>" for title, _ in columns)
    body = "".join(
        f'<tr data-run="{escape(row.name)}"><th scope="row" title="{escape(row.name)}">'
        f"{swatch(places[row.name])}{escape(labels[row.name])}</th>"
        + "".join(f"<td{_side(title)}>{cell(row, lowest)}</td>" for title, cell in columns)
        + "</tr>" for row in rows)
    return _table(f"<tr><th>Run</th>{head}</tr>", body)


def _columns(rows: Sequence[Summary]):  # type: ignore[no-untyped-def]
    """(title, cell) pairs; what no run has is left out."""
    columns = [("State", lambda row, _: escape(state_word(row.state))),
               ("Steps", lambda row, _: _steps(row)),
               ("Last loss", lambda row, _: (
                   f'{_loss(row.last_loss)}<span class="quiet below">from '
                   f"{_loss(row.first_loss)}</span>" if row.last_loss is not None else "–"))]
    if any(row.best for row in rows):
        columns.append(("Best held-out loss", _best))
    if any(row.score is not None for row in rows):
        columns.append(("Score", lambda row, _: (
            "–" if row.score is None else f"{100 * row.score:.1f} %")))
    shown = dict.fromkeys(name for row in rows for name in SHOWN.get(row.method, ())[:MOST_TELLING]
                          if name in row.measures)
    columns += [(MEASURES[name].label, partial(_measure, name)) for name in shown]
    columns += [("Time", lambda row, _: readable_seconds(row.elapsed_seconds or None)),
                ("Tokens/s", lambda row, _: (
                    f"{row.tokens_per_second:,.0f}" if row.tokens_per_second else "–"))]
    if any(row.peak_gpu_bytes for row in rows):
        columns.append(("GPU memory, peak", lambda row, _: _bytes(row.peak_gpu_bytes)))
    if any(row.peak_rss_bytes for row in rows):
        columns.append(("Memory, peak", lambda row, _: _bytes(row.peak_rss_bytes)))
    return columns


def _measure(name: str, row: Summary, _: float) -> str:
    return measure_text(name, row.measures.get(name))


def _side(title: str) -> str:
    return "" if title == "State" else ' class="right"'


def _steps(row: Summary) -> str:
    return f"{row.step:,} of {row.total_steps:,}" if row.total_steps else f"{row.step:,}"


def _loss(loss: float | None) -> str:
    return "–" if loss is None else f"{loss:.4f}" if math.isfinite(loss) else "no number"


def _best(row: Summary, lowest: float) -> str:
    if row.best is None:
        return "–"
    loss = f"{row.best[1]:.4f}"
    if row.best[1] == lowest:
        loss = f'<strong title="The lowest of these runs">{loss}</strong>'
    return f'{loss}<span class="quiet below">at step {row.best[0]:,}</span>'


def _bytes(count: int | None) -> str:
    return "–" if count is None else readable_bytes(count)


def differences_view(rows: Sequence[Difference], labels: Mapping[str, str],
                     places: Mapping[str, int], unreadable: Sequence[str] = ()) -> str:
    """The fields in which the runs differ, one a line, with what each run had."""
    if not labels:
        return ""
    told = "".join(note(f"The recipe of {name} cannot be read.", level="warning")
                   for name in unreadable)
    if len(labels) == 1:
        return told + '<p class="quiet">Choose a second run to see in what they differ.</p>'
    if not rows:
        return told + '<p class="quiet">These runs have the same settings.</p>'
    head = "".join(f'<th title="{escape(name)}">{swatch(places[name])}{escape(label)}</th>'
                   for name, label in labels.items())
    body = "".join(
        f'<tr data-key="{escape(row.key)}"><th scope="row" title="{escape(row.key)}">'
        f"{escape(row.label)}</th>"
        + "".join(f"<td>{_value(row.values[name])}</td>" for name in labels) + "</tr>"
        for row in rows)
    return told + _table(f"<tr><th>Setting</th>{head}</tr>", body)


def _value(text: str) -> str:
    """A long text (a template, many prompts) is cut, and whole in its tooltip."""
    if len(text) <= 60:
        return escape(text)
    return f'<span title="{escape(text[:2000])}">{escape(text[:59])}…</span>'


def _table(head: str, body: str) -> str:
    return ('<div class="compare-box"><table class="plain compare"><thead>'
            f"{head}</thead><tbody>{body}</tbody></table></div>")
