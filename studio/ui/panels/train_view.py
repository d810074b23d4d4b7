"""What the Train tab shows of a run: pure functions from a Story to HTML.

Knows neither gradio nor the run folder; a page that was just loaded and one that watched the
whole run show the same.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from studio.comparison import perplexity, value_text
from studio.files import readable_bytes
from studio.measures import MEASURES, SHOWN, measure_text
from studio.recipe import form_fields
from studio.recipe.method_words import method_words
from studio.ui.markup import bar, empty, note, readable_seconds, tiles

if TYPE_CHECKING:
    from studio.about import About
    from studio.hardware.telemetry import Sample
    from studio.story import Story

STATE_WORDS = {
    "queued": "Waiting", "preparing": "Preparing", "loading": "Loading",
    "tokenising": "Reading data", "training": "Training", "evaluating": "Evaluating",
    "saving": "Saving", "pausing": "Pausing", "stopping": "Stopping",
    "cancelling": "Cancelling", "done": "Done", "paused": "Paused", "stopped": "Stopped",
    "cancelled": "Cancelled", "failed": "Failed", "interrupted": "Interrupted",
}
ASKED_SENTENCES = {
    "pause": "then a checkpoint is saved and the memory is freed.",
    "stop": "then what it has learned is saved.",
    "cancel": "then what it has learned is thrown away.",
}
LOG_LINES = 40


def state_word(state: str) -> str:
    """A state as a person would say it."""
    return STATE_WORDS.get(state, state.capitalize())


def status_view(story: Story | None, about: About | None = None) -> str:
    """Name, state, progress bar, and the numbers of a run; what the person wrote about it."""
    if story is None:
        return empty("Nothing has been trained yet",
                     "Press Start. The curve, the speed, and the time left appear here.")
    word = state_word(story.state)
    detail = _asked(story) or ("" if story.detail.rstrip(".") == word else story.detail)
    head = (
        f'<div class="run-head" data-run="{escape(story.name)}" data-state="{escape(story.state)}">'
        f'<span class="pill pill-{escape(story.state)}">{escape(word)}</span>'
        f"{_name(story.name, about.title if about else '')}"
        f'<span class="quiet">{escape(detail)}</span>'
        f"{_method(story)}</div>"
    )
    if about and about.note:
        head += f'<p class="run-note">{escape(about.note)}</p>'
    return (f'<div class="run-status">{head}{_progress(story)}{_numbers(story)}{_adapted(story)}'
            f"{_result(story)}{_error(story)}</div>")


def _method(story: Story) -> str:
    """The training method, once the run has told it."""
    if "method" not in story.plan:
        return ""
    return f'<span class="run-method">{escape(method_words(story.method).label)}</span>'


def _name(name: str, title: str) -> str:
    """The title where there is one, with the folder's name behind it."""
    folder = f'<span class="quiet">{escape(name)}</span>' if title else ""
    return f'<span class="run-name">{escape(title or name)}</span>{folder}'


def _asked(story: Story) -> str:
    """What was asked of a run at work and when it will be obeyed, or nothing."""
    if not story.asked or not story.is_active:
        return ""
    first = "Finishing this step" if story.points else "Finishing what it is at"
    return f"{first}, {ASKED_SENTENCES[story.asked]}"


def _adapted(story: Story) -> str:
    """What memory forced the run to change; it is trained with these values from there on."""
    if not story.adapted:
        return ""
    labels = {field.key: field.label for field in form_fields()}
    changed = ", ".join(f"{labels.get(key, key)} {value_text(value)}"
                        for key, value in story.adapted.items())
    return note(f"Changed on the way, since the memory ran out: {changed}.",
                "The run goes on with these values, also when it is resumed.", "warning")


def _progress(story: Story) -> str:
    if story.total_steps:
        return bar(story.step / story.total_steps, "training progress")
    return bar(None if story.is_active else 0.0, "training progress")


def _numbers(story: Story) -> str:
    last = story.points[-1] if story.points else None
    held_out = _held_out(story)
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
        held_out,
        *_measured(story),
        ("speed", "tokens/s", speed),
        time_tile,
    ])


def _held_out(story: Story) -> tuple[str, str, str]:
    """The tile of the last evaluation: a loss, or the mean reward where that is what counts."""
    loss = story.evals[-1][1] if story.evals else None
    if story.is_rewarded:
        return "held-out", "held-out reward", "–" if loss is None else f"{-loss:.4g}"
    more = (f", perplexity {perplexity(loss):.4g}"
            if loss is not None and story.has_perplexity else "")
    return "held-out", f"held-out loss{more}", "–" if loss is None else f"{loss:.4f}"


def _measured(story: Story) -> list[tuple[str, str, str]]:
    """Tiles of the two most telling numbers that the method measures, as the last step had them."""
    names = SHOWN.get(story.method, ())[:2]
    last = story.points[-1].measures if story.points else {}
    return [(name, MEASURES[name].label[:1].lower() + MEASURES[name].label[1:],
             measure_text(name, last.get(name))) for name in names]


def _result(story: Story) -> str:
    """Which step the result is of, where it is not the last one."""
    step = story.result_step
    if step is None or step == story.step or story.is_active:
        return ""
    best = story.best
    kind, sign = ("reward", -1) if story.is_rewarded else ("loss", 1)
    why = (f", which has the best held-out {kind} ({sign * best[1]:.4f})"
           if best and best[0] == step else "")
    return note(f"The result holds the weights of step {step:,}{why}.")


def _error(story: Story) -> str:
    return note(story.error[0], story.error[1], "problem") if story.error else ""


def log_view(story: Story | None) -> str:
    """The last sentences of the run, newest at the end (the box stays scrolled there)."""
    if story is None or not story.log_tail:
        return '<div class="log log-empty">What the run says appears here.</div>'
    # Reversed in the page order and again by the style: a browser then keeps the end in view.
    lines = reversed(story.log_tail[-LOG_LINES:])
    return '<div class="log">' + "".join(f"<div>{escape(line)}</div>" for line in lines) + "</div>"


def telemetry_view(sample: Sample | None) -> str:
    """One line: what the processor, the memory, and the GPU are doing."""
    if sample is None:
        return ""
    pairs = [("Processor", f"{sample.cpu_percent:.0f} %"),
             ("Memory", _of(sample.ram_used_bytes, sample.ram_total_bytes))]
    if sample.gpu_name:
        pairs = [("GPU", sample.gpu_name), *_gpu_pairs(sample), *pairs]
    return '<div class="telemetry">' + "".join(
        f'<span><span class="quiet">{escape(name)}</span> {escape(value)}</span>'
        for name, value in pairs) + "</div>"


def _gpu_pairs(sample: Sample) -> list[tuple[str, str]]:
    pairs = []
    if sample.gpu_used_bytes is not None and sample.gpu_total_bytes is not None:
        pairs.append(("GPU memory",
                      _of(sample.gpu_used_bytes, sample.gpu_total_bytes)))
    if sample.gpu_utilization_percent is not None:
        pairs.append(("Load", f"{sample.gpu_utilization_percent} %"))
    if sample.gpu_temperature_celsius is not None:
        pairs.append(("Temperature", f"{sample.gpu_temperature_celsius} °C"))
    if sample.gpu_power_watts is not None:
        pairs.append(("Power", f"{sample.gpu_power_watts:.0f} W"))
    return pairs


def _of(used_bytes: int, total_bytes: int) -> str:
    return f"{readable_bytes(used_bytes)} of {readable_bytes(total_bytes)}"
