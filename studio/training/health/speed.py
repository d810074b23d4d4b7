"""What the speed says: a collapse, as when memory spills into a slower kind."""

from __future__ import annotations

import statistics

from studio.hardware.telemetry import Sample
from studio.story import Alarm
from studio.training.health.curve import Curve

_LAST = 5
_SHORTEST_SECONDS = 10.0
"""Of the slow stretch: shorter ones are a moment in which the PC did something else."""


def slow(curve: Curve) -> Alarm | None:
    """Tokens per second have been below a third of what they were, for a while."""
    known = [p for p in curve.points[-400:] if p.tokens_per_second]
    if len(known) < _LAST + 8:
        return None
    # The first two steps warm up caches and kernels.
    usual = statistics.median([p.tokens_per_second or 0.0 for p in known[2:-_LAST]])
    now = statistics.median([p.tokens_per_second or 0.0 for p in known[-_LAST:]])
    seconds = known[-1].elapsed_seconds - known[-_LAST - 1].elapsed_seconds
    if now > usual / 3 or seconds < _SHORTEST_SECONDS:
        return None
    return curve.alarm(
        "slow", "warning", f"The speed collapsed: {now:,.0f} tokens/s, {usual:,.0f} were usual.",
        "Mostly another program took memory or the GPU, or memory is full and spills into a "
        "slower kind: see the load below the curve. A smaller training.batch_size, "
        "training.gradient_checkpointing or 4-bit need less of it.")


def seen_on_this_pc(sample: Sample | None) -> str:
    """What telemetry knows of a slow moment; nothing where all is as it should be."""
    if sample is None:
        return ""
    found = []
    if sample.gpu_used_bytes and sample.gpu_total_bytes and \
            sample.gpu_used_bytes > 0.96 * sample.gpu_total_bytes:
        found.append("The GPU's memory is full just now.")
    if sample.ram_used_bytes > 0.94 * sample.ram_total_bytes:
        found.append("This PC's memory is full just now.")
    if (sample.gpu_temperature_celsius or 0) >= 84:
        found.append(f"The GPU has {sample.gpu_temperature_celsius} °C and slows itself down.")
    return " ".join(found)
