"""The findings of a data set as rows to read and act on. Pure functions to escaped HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from studio.data.findings import Finding, Remedy, Shown
from studio.ui import markup

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


def with_choice(choices: Choices, key: str, remedy: str, findings: Sequence[Finding]
                ) -> dict[str, Remedy]:
    """`choices` after a press: chosen anew, changed, or, pressed again, taken back.

    A remedy that the finding does not offer changes nothing; choices of findings that are gone
    go as well.
    """
    offered = {one.key: one.remedies for one in findings}
    kept = {name: value for name, value in choices.items() if value in offered.get(name, ())}
    wanted = next((one for one in offered.get(key, ()) if one == remedy), None)
    if wanted is None:
        return kept
    if kept.get(key) == wanted:
        return {name: value for name, value in kept.items() if name != key}
    return {**kept, key: wanted}
