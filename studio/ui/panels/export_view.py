"""What the Export tab shows of what is chosen and of the work: formats, plan, progress. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from studio.export.door import Door
from studio.export.doors import DOORS, MERGED
from studio.files import readable_bytes
from studio.ui import markup
from studio.ui.charts_memory import legend
from studio.ui.export_desk import Exporting
from studio.ui.panels.export_verdict_view import verdict_pill
from studio.ui.task_view import work_view
from studio.ui.tasks import TaskView
from studio.ui.words import counted

if TYPE_CHECKING:
    from studio.export.chain import Made
    from studio.export.merge_way import MergeOutlook
    from studio.export.origin import Origin
    from studio.export.plan import Plan, Stage

Labelled = tuple[str, str]
NOTHING = markup.empty("No format is chosen", "Tick one or more above; what they take is told here "
                       "before anything is written.")
NOTHING_TRAINED = markup.empty("Nothing to export yet", "Train something on the Train tab first; "
                               "it then stands in the list.")


def doors_in(group: str) -> list[Door]:
    """The doors of a group, in the order of the page."""
    return [door for door in DOORS.values() if door.group == group]


def door_choices(stages: Sequence[Stage], group: str) -> list[Labelled]:
    """(label, key) of those of a group that are open. Drawn as cards: the first line is the title.
    """
    return [(f"{stage.door.label}\n{_size(stage)}. {stage.door.purpose}", stage.door.key)
            for stage in stages if stage.door.group == group and not stage.why_not]


def _size(stage: Stage) -> str:
    return "Size not known yet" if stage.bytes is None else f"About {readable_bytes(stage.bytes)}"


def closed_view(stages: Sequence[Stage]) -> str:
    """The formats that this model cannot become, and why."""
    closed = [stage for stage in stages if stage.why_not]
    if not closed:
        return ""
    rows = "".join(f"<li><b>{escape(stage.door.label)}:</b> {escape(stage.why_not)}</li>"
                   for stage in closed)
    return (f'<details class="closed-doors"><summary>{counted(len(closed), "format")} not open to '
            f"this one</summary><ul>{rows}</ul></details>")


def origin_view(origin: Origin, kind: str, base: str) -> str:
    """Which weights are exported."""
    held = {"4bit": ", trained over 4 bits", "8bit": ", trained over 8 bits"}.get(
        origin.model.quantization, "")
    what = f"A whole model, trained from {base}" if origin.is_full_model else (
        f"{kind} on {base}{held}")
    return f'<div class="quiet">{escape(what)}.</div>'


def plan_view(plan: Plan, free_memory_bytes: int) -> str:
    """A line for each format, then the disk space of the whole chain and the memory of a merge."""
    rows = "".join(map(_stage_row, plan.stages))
    doors = [stage.door for stage in plan.stages]
    if plan.passing_model_bytes:
        rows += _row("The whole model", "deleted at the end; tick Transformers folder to keep it",
                     readable_bytes(plan.passing_model_bytes))
    elif plan.model and MERGED not in doors and any(door.needs_model for door in doors):
        rows += _row("The whole model", f"is there already: {plan.model.name}", "0 B")
    if plan.passing_gguf_bytes:
        rows += _row("A GGUF to round from", "deleted at the end",
                     readable_bytes(plan.passing_gguf_bytes))
    return (f'<table class="plain export-plan"><thead><tr><th>Format</th><th>Written as</th>'
            f'<th class="right">Size</th></tr></thead><tbody>{rows}</tbody></table>{_disk(plan)}'
            f"{merge_view(plan.merge, free_memory_bytes) if plan.merge else ''}")


def _stage_row(stage: Stage) -> str:
    taken = "replaces the one that is there" if stage.is_taken else ""
    size = "unknown" if stage.bytes is None else readable_bytes(stage.bytes)
    return _row(stage.door.label, stage.output.name, size, taken)


def _row(label: str, name: str, size: str, warning: str = "") -> str:
    more = f'<span class="below plan-warning">{escape(warning)}</span>' if warning else ""
    return (f'<tr><td>{escape(label)}</td><td class="plan-name">{escape(name)}{more}</td>'
            f'<td class="right">{size}</td></tr>')


def _disk(plan: Plan) -> str:
    said = (f"Together {readable_bytes(plan.needed_bytes)} of disk at the peak; "
            f"{readable_bytes(plan.free_bytes)} are free.")
    if plan.fits:
        time = f"Roughly {markup.readable_seconds(plan.seconds)} to write, then the checks."
        return f'<p class="quiet plan-disk">{said} {time}</p>'
    return markup.note(said, "Choose fewer formats, free some space, or start the studio with "
                       "--home on a larger disk.", "problem")


_WAYS = {
    "copied": "The model is copied as it is",
    "plain": "The adapter is merged from file to file, a layer at a time",
    "layers": "The adapter is merged from file to file, a layer at a time, by PEFT",
    "whole": "The base is loaded as a whole to be merged, since {why}",
}


def merge_view(merge: MergeOutlook, free_bytes: int) -> str:
    """How the adapter will be merged, and the memory of it against what is free."""
    found = merge.memory
    how = _WAYS[merge.way].format(why=merge.why_whole)
    said = (f"{how}: about {readable_bytes(found.total_bytes)} of memory at the peak; "
            f"{readable_bytes(free_bytes)} are free.")
    fits = found.high_bytes <= free_bytes
    head = (f'<p class="quiet plan-disk">{escape(said)}</p>' if fits
            else markup.note(said, "Close other programs, or unload the model on the Chat tab.",
                             "warning"))
    return (f'<div class="job-room">{head}<details><summary>How this comes about</summary>'
            f"{legend(found.parts, found.job)}</details></div>")


def exporting_view(now: Exporting) -> str:
    """The work under way, or how the last one ended, with a line for each format."""
    return work_view(now.task, _ended) + _formats(now)


def _ended(task: TaskView) -> str:
    return markup.note(f"{task.title}: done in {markup.readable_seconds(task.elapsed_seconds)}.",
                       level="good")


def _formats(now: Exporting) -> str:
    made = list(map(_made_row, now.made))
    waiting = now.labels[len(made):] if now.task.is_active else ()
    states = ["at work", *("waits" for _ in waiting[1:])]
    rows = made + [_format_row(label, f'<span class="quiet">{state}</span>', "")
                   for label, state in zip(waiting, states, strict=False)]
    return f'<ul class="queue export-formats">{"".join(rows)}</ul>' if rows else ""


def _made_row(made: Made) -> str:
    if made.written is None:
        message, hint = made.problem or ("", "")
        return _format_row(made.door.label, '<span class="pill pill-failed">failed</span>',
                           markup.note(message, hint, "problem"))
    written = made.written
    words = (f"{readable_bytes(written.bytes)} in {markup.readable_seconds(written.seconds)}")
    notes = "".join(map(markup.note, written.notes))
    if made.problem is not None:
        notes += markup.note(f"It could not be checked: {made.problem[0]}", made.problem[1],
                             "warning")
    pill = '<span class="pill pill-done">written</span>'
    return _format_row(made.door.label, f'{pill}<span class="quiet">{words}</span>'
                       f"{verdict_pill(made.verification)}", notes)


def _format_row(label: str, words: str, below: str) -> str:
    more = f'<div class="format-notes">{below}</div>' if below else ""
    return f'<li><span class="queue-name">{escape(label)}</span>{words}{more}</li>'
