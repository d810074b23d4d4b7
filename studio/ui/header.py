"""The line above everything: the mark, the device with its memory, and the job that runs.

`Pulse` is read from the studio at most once a second for all browser tabs together; `view` turns
it into HTML. A tab whose header is up to date is sent nothing.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.files import readable_bytes
from studio.ui import notify
from studio.ui.markup import readable_seconds
from studio.ui.shared import QUIET, Shared
from studio.ui.theme import TOGGLE_THEME

if TYPE_CHECKING:
    from studio.ui.studio import Studio

MARK = (Path(__file__).parents[2] / "assets" / "icon.svg").read_text(encoding="utf-8")
FRESH_SECONDS = 1.0
BUSY_STATES = {
    "preparing": "Preparing", "loading": "Loading the model", "tokenising": "Reading the data",
    "training": "Training", "evaluating": "Evaluating", "saving": "Saving",
    "pausing": "Pausing", "stopping": "Stopping", "cancelling": "Cancelling",
}


@dataclass(frozen=True)
class Pulse:
    """What the header tells. `job` is empty when nothing runs."""

    device: str = "Looking at this PC"
    used_bytes: int = 0
    total_bytes: int = 0
    load_percent: float | None = None
    job: str = ""
    state: str = ""
    step: int = 0
    total_steps: int = 0
    seconds_left: float | None = None


class Watch:
    """Takes the pulse for every browser tab; asks the PC at most once in `FRESH_SECONDS`."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._lock = threading.Lock()
        self._taken_at = 0.0
        self._pulse = Pulse()

    def pulse(self) -> Pulse:
        """The present pulse."""
        with self._lock:
            if time.monotonic() - self._taken_at >= FRESH_SECONDS:
                self._pulse = self._take()
                self._taken_at = time.monotonic()
            return self._pulse

    def _take(self) -> Pulse:
        from studio.hardware.cpu import cpu_name

        sample = self._studio.sampler.sample()
        if sample.gpu_name:
            device: dict[str, Any] = {
                "device": sample.gpu_name, "used_bytes": sample.gpu_used_bytes or 0,
                "total_bytes": sample.gpu_total_bytes or 0,
                "load_percent": sample.gpu_utilization_percent,
            }
        else:
            device = {"device": cpu_name(), "used_bytes": sample.ram_used_bytes,
                      "total_bytes": sample.ram_total_bytes, "load_percent": sample.cpu_percent}
        return Pulse(**device, **self._job())

    def _job(self) -> dict[str, Any]:
        run = self._studio.jobs.active
        if run is not None:
            story = run.story()
            return {"job": run.name, "state": BUSY_STATES.get(story.state, story.state),
                    "step": story.step, "total_steps": story.total_steps,
                    "seconds_left": story.seconds_left}
        studio = self._studio
        for tasks in (studio.tasks, studio.dry_runs, studio.downloads, studio.answering):
            task = tasks.snapshot()
            if not task.is_active:
                continue
            done = task.step.fraction if task.step else None
            return {"job": task.title, "state": "Working", "step": round(100 * (done or 0)),
                    "total_steps": 100}
        return {}


@dataclass(frozen=True)
class Header:
    """The header's components."""

    line: gr.HTML
    theme_button: gr.Button


def build() -> Header:
    """Draw the header. It shows a still picture until the first tick."""
    with gr.Row(elem_id="header", equal_height=True):
        line = gr.HTML(view(Pulse()), elem_id="header-line", padding=False)
        notify.build()
        button = gr.Button("Light / dark", elem_id="theme-toggle", size="sm", scale=0,
                           min_width=110)
    return Header(line, button)


def wire(header: Header, studio: Studio, shared: Shared) -> None:
    """Keep it fresh: on load, and on each tick where something changed."""
    shown = gr.State("")
    watch = Watch(studio)

    def refresh(last: str) -> tuple[Any, Any]:
        page = view(watch.pulse())
        return (gr.skip(), gr.skip()) if page == last else (page, page)

    shared.ticks.add(refresh, [shown], [header.line, shown])
    shared.demo.load(refresh, shown, [header.line, shown], **QUIET)
    header.theme_button.click(None, js=TOGGLE_THEME, api_visibility="private")


def view(pulse: Pulse) -> str:
    """The header as HTML."""
    return (
        f'<div class="header"><div class="brand">{MARK}<span>Adapter Studio</span></div>'
        f"{_device(pulse)}{_job(pulse)}</div>"
    )


def _device(pulse: Pulse) -> str:
    share = pulse.used_bytes / pulse.total_bytes if pulse.total_bytes else 0
    level = "high" if share > 0.9 else "calm"
    memory = (f"{readable_bytes(pulse.used_bytes)} of {readable_bytes(pulse.total_bytes)}"
              if pulse.total_bytes else "")
    load = "" if pulse.load_percent is None else f" · {pulse.load_percent:.0f} % busy"
    return (
        f'<div class="device" title="{escape(pulse.device)}: memory in use{escape(load)}">'
        f'<span class="device-name">{escape(pulse.device)}</span>'
        f'<span class="meter"><span class="meter-fill meter-{level}" '
        f'style="width:{100 * share:.0f}%"></span></span>'
        f'<span class="device-memory">{memory}</span></div>'
    )


def _job(pulse: Pulse) -> str:
    if not pulse.job:
        return '<div class="job job-idle" data-job="">No job running</div>'
    share = pulse.step / pulse.total_steps if pulse.total_steps else 0
    steps = f"{pulse.step} / {pulse.total_steps}" if pulse.total_steps else ""
    left = "" if pulse.seconds_left is None else f"{readable_seconds(pulse.seconds_left)} left"
    return (
        f'<div class="job job-active" data-job="{escape(pulse.job)}"><span class="job-dot"></span>'
        f'<span class="job-name">{escape(pulse.job)}</span>'
        f'<span class="job-state">{escape(pulse.state)}</span>'
        f'<span class="meter"><span class="meter-fill meter-job" style="width:{100 * share:.0f}%">'
        f'</span></span><span class="job-steps">{steps}</span>'
        f'<span class="job-left">{escape(left)}</span></div>'
    )
