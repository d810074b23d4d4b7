"""The findings of a data set as rows to read and act on. Pure functions to escaped HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from studio.data.findings import Finding, Remedy, Shown
from studio.ui import markup

if TYPE_CHECKING:
    from studio.data.cleaning import Cleaned
    from studio.recipe import Data
    from studio.ui.tasks import TaskView

LEVELS = {"problem": "Problem", "warning": "Look at this", "info": "Good to know"}
"""In the order in which they are shown."""
REMEDY_WORDS: dict[Remedy, tuple[str, str]] = {
    "drop": ("Drop", "leaves these rows out of the cleaned copy"),
    "fix": ("Fix", "mends these rows in the cleaned copy"),
    "mask": ("Mask", "replaces what was found in the cleaned copy"),
}
Choices = Mapping[str, Remedy]

ACT_SCRIPT = """
element.addEventListener('click', (event) => {
    const pressed = event.target.closest('[data-remedy], [data-row]');
    if (!pressed) { return; }
    const {remedy, row} = pressed.dataset;
    if (remedy) { trigger('click', {finding: pressed.closest('[data-finding]').dataset.finding,
                                    remedy}); }
    else {
        trigger('select', {row: Number(row)});
        document.getElementById('dataset-record')?.scrollIntoView({block: 'nearest'});
    }
});
"""
"""Runs in the browser: a remedy is chosen or put back, a sample row is shown below."""


def findings_view(findings: Sequence[Finding], choices: Choices) -> str:
    """All findings, the worst first; a good word where there are none."""
    if not findings:
        return markup.note("Nothing was found that would spoil the training.", level="good")
    order = list(LEVELS)
    ranked = sorted(findings, key=lambda one: (order.index(one.level), -one.count))
    rows = "".join(_row(one, choices.get(one.key)) for one in ranked)
    return f'<div class="findings" data-count="{len(findings)}">{rows}</div>'


def _row(finding: Finding, chosen: Remedy | None) -> str:
    hint = f'<p class="quiet">{escape(finding.hint)}</p>' if finding.hint else ""
    return (
        f'<div class="finding finding-{finding.level}" data-finding="{escape(finding.key)}" '
        f'data-count="{finding.count}" data-chosen="{chosen or ""}">'
        f'<div class="finding-count" title="{LEVELS[finding.level]}">'
        f'{f"{finding.count:,}" if finding.count else "!"}</div>'
        f'<div class="finding-words"><b>{escape(finding.title)}</b>'
        f'<p>{escape(finding.what)}</p>{hint}{_samples(finding.shown)}</div>'
        f'<div class="finding-remedies">{_remedies(finding, chosen)}</div></div>'
    )


def _samples(shown: Sequence[Shown]) -> str:
    if not shown:
        return ""
    rows = "".join(
        f'<button type="button" class="sample" data-row="{one.row + 1}" '
        f'title="Show record {one.row + 1:,} below"><span>{escape(one.place)}</span> '
        f"{escape(one.text)}</button>" for one in shown)
    return f'<div class="samples">{rows}</div>'


def _remedies(finding: Finding, chosen: Remedy | None) -> str:
    return "".join(
        f'<button type="button" class="remedy" data-remedy="{remedy}" '
        f'aria-pressed="{"true" if remedy == chosen else "false"}" '
        f'title="{REMEDY_WORDS[remedy][0]} {REMEDY_WORDS[remedy][1]}">'
        f"{REMEDY_WORDS[remedy][0]} {_rows(len(finding.rows))}</button>"
        for remedy in finding.remedies)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def chosen_view(findings: Sequence[Finding], choices: Choices) -> str:
    """One line: what a cleaned copy would do."""
    chosen = [(one, choices[one.key]) for one in findings if one.key in choices]
    if not chosen:
        return ('<div class="quiet">Choose Drop, Fix, or Mask above; a cleaned copy is a new file, '
                "and yours stays as it is.</div>")
    parts = "; ".join(f"{REMEDY_WORDS[remedy][0].lower()} {_rows(len(one.rows))} "
                      f"({escape(one.title)})" for one, remedy in chosen)
    return f'<div class="chosen" data-count="{len(chosen)}">Chosen: {parts}.</div>'


def cleaning_view(task: TaskView) -> str:
    """The bar of a copy that is written, how it ended, and the record of what was done."""
    if task.is_active:
        return markup.step_bar(task.step, task.title)
    if task.error:
        return markup.note(*task.error, "problem")
    if task.state == "stopped":
        return markup.note("Writing the cleaned copy was stopped; nothing was left behind.")
    return "" if task.result is None else cleaned_view(task.result)


def cleaned_view(cleaned: Cleaned) -> str:
    """What was done to which rows, and the files that came of it."""
    done = "".join(f"<li>{_done(one)}</li>" for one in cleaned.done)
    files = "".join(
        f'<tr data-file="{escape(str(one.file))}"><td>{escape(one.source)}</td>'
        f"<td>{escape(one.file.name)}</td>"
        f'<td class="right">{one.rows_in:,}</td><td class="right">{one.kept:,}</td>'
        f'<td class="right">{one.dropped:,}</td><td class="right">{one.changed:,}</td>'
        f'<td class="right">{one.unreadable:,}</td></tr>' for one in cleaned.files)
    heads = "".join(f'<th class="right">{name}</th>' for name in
                    ("Rows in", "Kept", "Dropped", "Changed", "Unreadable"))
    folder = cleaned.files[0].file.parent if cleaned.files else ""
    return (
        f'<details class="cleaned" open><summary>The cleaned copy is written</summary>'
        f'<ul>{done}</ul><table class="plain"><thead><tr><th>Source</th><th>Cleaned copy</th>'
        f'{heads}</tr></thead><tbody>{files}</tbody></table><p class="quiet">In '
        f"{escape(str(folder))}, each with a record of what was done beside it. Your own files "
        "are as they were.</p></details>"
    )


def _done(one: Mapping[str, Any]) -> str:
    word = REMEDY_WORDS[one["remedy"]][0]
    left = one["could_not_be_mended"]
    more = f"; {_rows(left)} could not be mended and stayed as they were" if left else ""
    return f"{word}: {_rows(one['rows'])}, {escape(str(one['title']))}{more}"


def new_sources(cleaned: Cleaned, data: Data) -> dict[str, Any]:
    """The recipe's values that make the cleaned files the data. Files come in the order of the
    sources: the main one, what is mixed in, the held-out one."""
    files = [str(one.file) for one in cleaned.files]
    others = [spec for spec in data.mix if spec != data.source]
    names = dict(zip([data.source, *others], files, strict=False))
    values = {"data.source": files[0], "data.config": None, "data.revision": None,
              "data.mix": {names[spec]: weight for spec, weight in data.mix.items()}}
    if data.held_out == "file" and len(files) > 1 + len(others):
        values["data.eval_source"] = files[-1]
    return values
