"""Tab Hardware: what this PC has, what it can train, the base model, and the memory it would take.

The estimator has no settings of its own: it reads the recipe, and its sliders are second handles
of fields that live on other tabs.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.files import readable_bytes
from studio.ui import disk_card, markup, model_card
from studio.ui.guard import guarded
from studio.ui.panels import dry_run, memory_plan, sizes
from studio.ui.seen import seen_by_page, unless_seen
from studio.ui.shared import PRIVATE, QUIET, Shared
from studio.ui.widgets import build_mirror

if TYPE_CHECKING:
    from studio.hardware.doctor import Finding
    from studio.hardware.nvml import Gpu
    from studio.hardware.probe import Hardware
    from studio.hardware.telemetry import Sample
    from studio.ui.studio import Studio

MIRRORED = ("training.batch_size", "data.max_length", "adapter.rank")
LEVELS = {"ok": "good", "warning": "warning", "problem": "problem"}


def build(studio: Studio, shared: Shared) -> None:
    """This PC above, model and memory below, checks at the end."""
    with gr.Group(elem_classes="card"):
        with gr.Row():
            verdict = gr.HTML(verdict_view(None), elem_id="hardware-verdict", padding=False)
            again = gr.Button("Look again", size="sm", scale=0, min_width=110,
                              elem_id="hardware-refresh")
        parts = gr.HTML(parts_view(None), elem_id="hardware-parts", padding=False)
        live = gr.HTML(elem_id="hardware-live", padding=False)
    with gr.Row():
        with gr.Column(scale=5, min_width=360):
            model_card.build(studio, shared)
            with gr.Group(elem_classes="card"):
                gr.HTML(markup.heading("What decides the memory most",
                                       "The same settings as on the other tabs."))
                for key in MIRRORED:
                    build_mirror(shared, key)
            sizes.build(studio, shared)
        with gr.Column(scale=6, min_width=440):
            memory_plan.build(studio, shared)
            dry_run.build(studio, shared)
            disk_card.build(shared)
    with gr.Group(elem_classes="card"):
        gr.HTML(markup.heading("Checks", "What the studio looked at, and what to do about it."))
        checks = gr.HTML(markup.empty("Checking", "A moment."), elem_id="hardware-checks",
                         padding=False)
    _wire(studio, shared, again, {"verdict": verdict, "parts": parts, "checks": checks}, live)


def _wire(
    studio: Studio, shared: Shared, again: gr.Button, views: dict[str, gr.HTML], live: gr.HTML
) -> None:
    @guarded
    def look() -> list[str]:
        from studio.hardware.probe import probe

        hardware = probe(studio.settings.home)
        return [verdict_view(hardware), parts_view(hardware)]

    @guarded
    def check() -> str:
        return checks_view(studio.findings())

    @guarded
    def check_again() -> str:
        return checks_view(studio.findings(again=True))

    seen = seen_by_page()

    def watch(last: Any) -> Any:
        now = live_view(studio.sampler.sample())
        return unless_seen(now, last, lambda: [now])

    shown = [views["verdict"], views["parts"]]
    shared.demo.load(look, None, shown, **QUIET)
    shared.demo.load(check, None, views["checks"], **QUIET)
    shared.ticks.add(watch, [seen], [live, seen])
    again.click(look, None, shown, show_progress="hidden", **PRIVATE).then(
        check_again, None, views["checks"], show_progress="minimal", **PRIVATE)


def verdict_view(hardware: Hardware | None) -> str:
    """The one sentence."""
    sentence = hardware.verdict if hardware else "Looking at this PC…"
    return f'<div class="verdict">{escape(sentence)}</div>'


def parts_view(hardware: Hardware | None) -> str:
    """A small card for each part of this PC."""
    if hardware is None:
        return '<div class="parts"><div class="part-card"></div></div>'
    cards = [*map(_gpu, hardware.gpus), _processor(hardware), _memory(hardware),
             _disk(hardware), _software(hardware)]
    notes = "".join(markup.note(text, level="warning") for text in hardware.notes)
    return f'<div class="parts">{"".join(cards)}</div>{notes}'


def _part(name: str, what: str, facts: Sequence[tuple[str, str]]) -> str:
    return (f'<div class="part-card"><div class="part-kind">{escape(name)}</div>'
            f'<div class="part-what">{escape(what)}</div>{markup.facts(facts)}</div>')


def _gpu(gpu: Gpu) -> str:
    facts = [("Memory", _size(gpu.total_bytes)), ("Free", _size(gpu.free_bytes))]
    if gpu.compute_capability:
        facts.append(("Compute capability", ".".join(map(str, gpu.compute_capability))))
    if gpu.power_limit_watts:
        facts.append(("Power limit", f"{gpu.power_limit_watts:.0f} W"))
    return _part("GPU slice" if gpu.is_mig else "GPU", gpu.name, facts)


def _processor(hardware: Hardware) -> str:
    cores = str(hardware.physical_cores or "unknown")
    return _part("Processor", hardware.cpu_name,
                 [("Cores", cores), ("Threads", str(hardware.logical_cores))])


def _memory(hardware: Hardware) -> str:
    return _part("Memory", readable_bytes(hardware.ram_total_bytes),
                 [("Free", readable_bytes(hardware.ram_available_bytes))])


def _disk(hardware: Hardware) -> str:
    return _part("Disk", f"{readable_bytes(hardware.disk_free_bytes)} free",
                 [("Folder", hardware.disk_path)])


def _software(hardware: Hardware) -> str:
    driver = []
    if hardware.driver and hardware.driver.version:
        driver = [("NVIDIA driver", hardware.driver.version)]
    first = [(name, hardware.libraries.get(name, "missing")) for name in ("torch", "transformers")]
    rest = [("Python", hardware.python_version), *driver,
            *((name, version) for name, version in hardware.libraries.items()
              if name not in ("torch", "transformers"))]
    return (
        f'<div class="part-card"><div class="part-kind">Software</div>'
        f'<div class="part-what">{escape(hardware.system)}</div>{markup.facts(first)}'
        f'<details id="hardware-versions"><summary>All versions</summary>{markup.facts(rest)}'
        "</details></div>"
    )


def _size(count: int | None) -> str:
    return "not told" if count is None else readable_bytes(count)


def live_view(sample: Sample) -> str:
    """What the parts are doing right now, in one line."""
    pairs = [("Processor", f"{sample.cpu_percent:.0f} % busy"),
             ("Memory", f"{readable_bytes(sample.ram_used_bytes)} in use")]
    if sample.gpu_utilization_percent is not None:
        pairs.append(("GPU", f"{sample.gpu_utilization_percent} % busy"))
    if sample.gpu_used_bytes is not None:
        pairs.append(("GPU memory", f"{readable_bytes(sample.gpu_used_bytes)} in use"))
    if sample.gpu_temperature_celsius is not None:
        pairs.append(("Temperature", f"{sample.gpu_temperature_celsius} °C"))
    if sample.gpu_power_watts is not None:
        pairs.append(("Power", f"{sample.gpu_power_watts:.0f} W"))
    spans = "".join(f'<span><span class="quiet">{escape(name)}</span> {escape(value)}</span>'
                    for name, value in pairs)
    return f'<div class="telemetry">{spans}</div>'


def checks_view(findings: Sequence[Finding]) -> str:
    """Problems first, then warnings, then what is well."""
    order = list(reversed(LEVELS))
    ranked = sorted(findings, key=lambda finding: order.index(finding.level))
    return '<div class="checks">' + "".join(
        markup.note(finding.what, finding.hint, LEVELS[finding.level]) for finding in ranked
    ) + "</div>"
