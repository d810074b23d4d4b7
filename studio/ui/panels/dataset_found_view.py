"""What was found in the sources: format with the reason, counts, mixed formats, the scan's bar.

Pure functions to escaped HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from studio.data.records import Problem
from studio.ui import markup
from studio.ui.charts_data import is_divided, percent

if TYPE_CHECKING:
    from studio.data.lab.first_page import Page
    from studio.data.lab.report import Report, SourceReport, Statistics
    from studio.ui.data_look import Look

FORMAT_WORDS = {
    "alpaca": "Alpaca: instruction, input, output", "messages": "Chat: messages with roles",
    "sharegpt": "ShareGPT: conversations", "prompt_completion": "Prompt and completion",
    "dialogue": "Dialogue in one text", "text": "Plain text",
    "preference": "Preferences: chosen and rejected", "kto": "Answers judged good or bad",
    "prompts": "Prompts without answers",
}
PROBLEMS_SHOWN = 50
NO_TOKENIZER = ("Lengths, lost endings, and the tokens need the base model's tokenizer.",
                "Get the model on the Hardware tab; it is not on this PC yet.")
UNKNOWN = ("Say below, under Which column is what, where question and answer stand.",
           "Or choose the format on the left.")


def status_view(look: Look) -> str:
    """The bar of the scan, or why there is no report."""
    if look.error is not None:
        return markup.note(*look.error, "problem")
    if look.state == "running":
        first = "" if look.report else (
            '<div class="quiet">The first records are shown meanwhile; nothing waits for this.'
            "</div>")
        return f'<div class="scan">{markup.step_bar(look.step, "Looking at the data")}{first}</div>'
    if look.state == "stopped":
        return markup.note("Reading was stopped; only the first records are known.",
                           "Press Look again for the whole report. Training reads everything.",
                           "warning")
    if look.state == "elsewhere":
        return markup.note("Another page began to look at other data.",
                           "Press Look again to go on here.")
    return ""


def page_view(page: Page) -> str:
    """What the first rows look like, before anybody has read the rest."""
    count = len(page.rows)
    return (
        f'<div class="found" data-format="{escape(page.detection.format or "")}">'
        f'<div class="found-format">{escape(format_words(page.detection.format))}</div>'
        f'<div class="quiet">Of the first {count:,} records: {escape(page.detection.why)}</div>'
        f"</div>{_problems(page.problems, len(page.problems))}"
    )


def format_words(name: str | None) -> str:
    """"alpaca" -> what a person reads."""
    return FORMAT_WORDS.get(name or "", "Not recognised")


def found_view(report: Report, *, has_tokenizer: bool) -> str:
    """Format, reason, and counts of the whole; the sources one by one where there are several."""
    is_mixed = any(len(source.formats) > 1 for source in report.sources)
    words = "Several formats" if report.format is None and is_mixed \
        else format_words(report.format)
    head = (
        f'<div class="found" data-format="{escape(report.format or "")}" '
        f'data-rows="{report.rows}" data-examples="{report.statistics.examples}">'
        f'<div class="found-format">{escape(words)}</div>'
        f'<div class="quiet">{escape(_sentence(report.why))}</div></div>'
    )
    missing = "" if has_tokenizer else markup.note(*NO_TOKENIZER)
    if report.format is None and report.readable and not is_mixed:
        missing = markup.note(*UNKNOWN) + missing
    return (head + _counts(report) + _mixed(report.sources) + _sources(report.sources) + missing
            + _problems(report.problems, report.problem_count))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _counts(report: Report) -> str:
    pairs = [("rows", "records", f"{report.rows:,}"),
             ("examples", "usable examples", f"{report.statistics.examples:,}")]
    unreadable = report.rows - report.readable
    if unreadable:
        pairs.append(("unreadable", "cannot be read", f"{unreadable:,}"))
    turns = report.statistics.turns_median
    if turns:
        pairs.append(("turns", "turns, usual", f"{turns:g}"))
    pairs.append(("columns", "columns", f"{len(report.columns):,}"))
    return markup.tiles(pairs)


def length_tiles(statistics: Statistics) -> str:
    """The numbers beside the histogram; nothing while no lengths are known."""
    if statistics.tokens_total is None or statistics.tokens_median is None:
        return ""
    learned = (statistics.loss_tokens or 0) / max(statistics.tokens_total, 1)
    pairs = [
        ("tokens", "tokens in all", f"{statistics.tokens_total:,}"),
        ("median", "usual length", f"{statistics.tokens_median:,.0f}"),
        ("p95", "95 % are below", f"{statistics.tokens_p95 or 0:,}"),
        ("longest", "longest", f"{statistics.tokens_max or 0:,}"),
        ("learned", "of it learned", percent(learned)),
        ("rows", "rows to train on", f"{statistics.rows:,}") if is_divided(statistics) else
        ("truncated", "lose their end", f"{statistics.truncated or 0:,}"),
    ]
    return markup.tiles(pairs)


def _mixed(sources: Sequence[SourceReport]) -> str:
    """Rows by format, for every source whose rows are not all alike."""
    notes = ""
    for source in sources:
        if len(source.formats) > 1:
            parts = ", ".join(f"{count:,} {_short(name)}" for name, count
                              in sorted(source.formats.items(), key=lambda item: -item[1]))
            notes += markup.note(
                f"{source.name} mixes formats: {parts}.",
                "Choose the format to read all of it in one way, or split the file.", "warning")
    return notes


def _short(name: str) -> str:
    return format_words(name).partition(":")[0] if name in FORMAT_WORDS else "not recognised"


def _sources(sources: Sequence[SourceReport]) -> str:
    if len(sources) < 2:
        return ""
    rows = "".join(
        f'<tr data-source="{escape(one.name)}"><td>{escape(one.name)}'
        f'{" <b>held out</b>" if one.held_out else ""}</td>'
        f"<td>{escape(_short(one.detection.format or ''))}"
        f'<div class="quiet">{escape(one.detection.why)}</div></td>'
        f'<td class="right">{one.rows:,}</td><td class="right">'
        f'{"" if one.held_out else f"× {one.weight:g}"}</td></tr>' for one in sources)
    return ('<table class="plain found-sources"><thead><tr><th>Source</th><th>Format</th>'
            '<th class="right">Records</th><th class="right">Taken</th></tr></thead>'
            f"<tbody>{rows}</tbody></table>")


def _problems(problems: Sequence[Problem], count: int) -> str:
    """The single rows that could not be read, folded."""
    if not count:
        return ""
    rows = "".join(
        f"<tr><td>{escape(one.where)}</td><td>{escape(one.what)}"
        f'<div class="quiet">{escape(one.hint)}</div></td></tr>'
        for one in problems[:PROBLEMS_SHOWN])
    more = count - min(len(problems), PROBLEMS_SHOWN)
    rest = f'<div class="quiet">and {more:,} more</div>' if more > 0 else ""
    words = "1 row with a note" if count == 1 else f"{count:,} rows with a note"
    return (f'<details class="problems" data-count="{count}"><summary>{words}</summary>'
            f'<div class="problem-list"><table class="plain"><tbody>{rows}</tbody></table>{rest}'
            "</div></details>")


def split_view(train: int, held_out: int, how: str) -> str:
    """The two parts as one bar with their counts, and how they came about."""
    total = train + held_out
    if not total:
        return ""
    share = held_out / total
    return (
        f'<div class="split" data-train="{train}" data-eval="{held_out}">'
        f'<div class="split-bar" role="img" aria-label="Trained on and held out">'
        f'<div class="split-train" style="width:{100 * (1 - share):.2f}%"></div>'
        f'<div class="split-eval" style="width:{100 * share:.2f}%"></div></div>'
        f'<div class="split-words"><span><i class="split-train"></i><b>{train:,}</b> to train on'
        f'</span><span><i class="split-eval"></i><b>{held_out:,}</b> held out, {percent(share)}'
        f'</span></div><p class="quiet">Held out: {escape(how)}.</p></div>'
    )


def columns_line(columns: Sequence[str], mapping: Mapping[str, str]) -> str:
    """Which column plays which part, in a line."""
    if mapping:
        return "; ".join(f"{role} from {column}" for role, column in mapping.items())
    return ", ".join(columns[:12]) + (", …" if len(columns) > 12 else "")
