"""What the card of the dry run shows: progress, measured beside estimated, calibration. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from studio.files import readable_bytes
from studio.recipe.method_words import method_words
from studio.ui import markup

if TYPE_CHECKING:
    from studio.training.dry_run_result import DryRun
    from studio.ui.reading import Reading
    from studio.ui.tasks import TaskView

CLOSE = 0.1
"""Measured within this share of the estimate is called good, more than it a warning."""


def work_view(task: TaskView) -> str:
    """The work under way; nothing otherwise."""
    return markup.step_bar(task.step, task.title) if task.is_active else ""


def result_view(task: TaskView) -> str:
    """How the last dry run ended."""
    if task.error:
        return markup.note(*task.error, "problem")
    if task.state == "stopped":
        return markup.note("The dry run was stopped.")
    found: DryRun | None = task.result if task.state == "done" else None
    return "" if found is None else measured_view(found)


def measured_view(found: DryRun) -> str:
    """The sentence, a row for each part, and how long the whole run takes."""
    if found.measured_bytes is None:
        hint = ("Lower the micro-batch or the maximum length, turn gradient checkpointing on, or "
                "hold the base in 4bit.")
        return markup.note(found.sentence, hint, "problem") + _table(found)
    off = found.measured_bytes / max(found.estimated.total_bytes, 1) - 1
    level = "good" if abs(off) <= CLOSE else "warning" if off > 0 else "info"
    return (markup.note(found.sentence, found.sentence_before_steps, level)
            + _table(found) + _pace(found))


def _table(found: DryRun) -> str:
    rows = [(part.name, part.estimated_bytes, part.measured_bytes) for part in found.parts]
    total = _row("together", found.estimated.total_bytes, found.measured_bytes, "dry-run-total")
    return (
        '<table class="plain dry-run-table"><thead><tr><th>Part</th>'
        '<th class="right">Estimated</th><th class="right">Measured</th></tr></thead><tbody>'
        + "".join(_row(*row) for row in rows) + total + "</tbody></table>"
    )


def _row(name: str, estimated: int, measured: int | None, kind: str = "") -> str:
    known = "–" if measured is None else readable_bytes(measured)
    return (f'<tr class="{kind}"><td>{escape(name.capitalize())}</td><td class="right">'
            f'{readable_bytes(estimated)}</td><td class="right">{known}</td></tr>')


def _pace(found: DryRun) -> str:
    if found.seconds_per_step is None or found.batch is None:
        return ""
    return markup.facts([
        ("Longest micro-batch",
         f"{method_words(found.method).counted(found.batch)}, {found.tokens:,} tokens"),
        ("An optimizer step on it", f"{found.seconds_per_step:.1f} s"),
        (f"The whole run, {found.total_steps:,} steps",
         f"about {markup.readable_seconds(found.seconds_about)}, at most "
         f"{markup.readable_seconds(found.seconds_at_most)}"),
    ])


def calibration_view(reading: Reading) -> str:
    """What earlier dry runs do to every estimate on the page."""
    calibration = reading.device.calibration if reading.device else None
    if calibration is None:
        return '<div class="quiet">No dry run on this PC yet: estimates stand by themselves.</div>'
    from studio.hardware.calibration import calibration_sentence

    return f'<div class="calibration">{escape(calibration_sentence(calibration))}</div>'
