"""What the Train tab shows of a run: pure functions from a Story to HTML.

Knows neither gradio nor the run folder; a page that was just loaded and one that watched the
whole run show the same.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from studio.ui.markup import bar, empty, note, readable_seconds, tiles

if TYPE_CHECKING:
    from studio.story import Story

STATE_WORDS: dict[str, tuple[str, str]] = {
    # state: (a word for tables, what it means)
    "queued": ("Waiting", "Waiting for its turn"),
    "preparing": ("Preparing", "Getting the model and the data ready"),
    "loading": ("Loading", "Loading the model"),
    "tokenising": ("Reading data", "Turning the examples into tokens"),
    "training": ("Training", "Training"),
    "evaluating": ("Evaluating", "Measuring the loss on the held-out part"),
    "saving": ("Saving", "Writing the adapter"),
    "done": ("Done", "Done: the adapter is ready for Chat and Export"),
    "stopped": ("Stopped", "Stopped by you: what it had learned is kept"),
    "failed": ("Failed", "Ended with an error"),
    "interrupted": ("Interrupted", "The program ended while it ran"),
}
LOG_LINES = 40


@dataclass(frozen=True)
class RunRow:
    """One line of the list of runs. `loss` is None before the first step."""

    name: str
    state: str
    step: int
    total_steps: int
    loss: float | None
    started_seconds: float | None


def state_word(state: str) -> str:
    """A state as a person would say it."""
    return STATE_WORDS.get(state, (state.capitalize(), ""))[0]


def status_view(story: Story | None) -> str:
    """Name, state, progress bar, and the numbers of a run."""
    if story is None:
        return empty("Nothing has been trained yet",
                     "Press Start. The curve, the speed, and the time left appear here.")
    meaning = STATE_WORDS.get(story.state, ("", story.state))[1]
    detail = f" · {story.detail}" if story.detail and story.detail != meaning else ""
    head = (
        f'<div class="run-head" data-run="{escape(story.name)}" data-state="{escape(story.state)}">'
        f'<span class="pill pill-{escape(story.state)}">{escape(state_word(story.state))}</span>'
        f'<span class="run-name">{escape(story.name)}</span>'
        f'<span class="quiet">{escape(meaning + detail)}</span></div>'
    )
    return f'<div class="run-status">{head}{_progress(story)}{_numbers(story)}{_error(story)}</div>'


def _progress(story: Story) -> str:
    if story.total_steps:
        return bar(story.step / story.total_steps, "training progress")
    return bar(None if story.is_active else 0.0, "training progress")


def _numbers(story: Story) -> str:
    last = story.points[-1] if story.points else None
    held_out = f"{story.evals[-1][1]:.4f}" if story.evals else "–"
    speed = f"{story.tokens_per_second:,.0f}" if story.tokens_per_second else "–"
    steps = f"{story.step:,} of {story.total_steps:,}" if story.total_steps else f"{story.step:,}"
    time_tile = (
        ("time-left", "time left", readable_seconds(story.seconds_left)) if story.is_active
        else ("time-taken", "time taken", readable_seconds(story.elapsed_seconds or None))
    )
    return tiles([
        ("step", "step", steps),
        ("epoch", "epoch", f"{story.epoch:.2f}"),
        ("loss", "loss", f"{last.loss:.4f}" if last else "–"),
        ("held-out", "held-out loss", held_out),
        ("speed", "tokens/s", speed),
        time_tile,
    ])


def _error(story: Story) -> str:
    if story.error is None:
        if story.state == "interrupted":
            return note("The program ended while this run was at work.",
                        "Press Resume to go on from its last checkpoint.", "warning")
        return ""
    return note(story.error[0], story.error[1], "problem")


def log_view(story: Story | None) -> str:
    """The last sentences of the run, newest at the end (the box stays scrolled there)."""
    if story is None or not story.log_tail:
        return '<div class="log quiet">No messages yet.</div>'
    # Reversed in the page order and again by the style: a browser then keeps the end in view.
    lines = reversed(story.log_tail[-LOG_LINES:])
    return '<div class="log">' + "".join(f"<div>{escape(line)}</div>" for line in lines) + "</div>"


def runs_view(rows: list[RunRow], shown: str = "") -> str:
    """All runs as a table; a row is a button that opens the run."""
    if not rows:
        return empty("No runs yet", "Every run stays here, to look at again, resume, or chat with.")
    head = "<tr><th>Run</th><th>State</th><th>Steps</th><th>Last loss</th><th>Started</th></tr>"
    body = "".join(_row(row, row.name == shown) for row in rows)
    return f'<table class="runs"><thead>{head}</thead><tbody>{body}</tbody></table>'


def _row(row: RunRow, is_shown: bool) -> str:
    name = escape(row.name)
    steps = f"{row.step:,} of {row.total_steps:,}" if row.total_steps else f"{row.step:,}"
    loss = f"{row.loss:.4f}" if row.loss is not None else "–"
    mark = ' class="shown" aria-current="true"' if is_shown else ""
    return (
        f'<tr{mark} data-run="{name}"><td><button type="button" data-run="{name}" '
        f'title="Show this run">{name}</button></td>'
        f'<td><span class="pill pill-{escape(row.state)}">{escape(state_word(row.state))}</span>'
        f"</td><td>{steps}</td><td>{loss}</td><td>{escape(_when(row.started_seconds))}</td></tr>"
    )


def _when(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return datetime.datetime.fromtimestamp(seconds).strftime("%d %b %Y, %H:%M")
