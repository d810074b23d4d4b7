"""About how long formats take to write, checks left out: rough, from single measurements.

On two cores of a Xeon with the starter model (0.27 GB); what the adapter as GGUF and the script
take is a guess. Another PC may take a third or three times as long. GPTQ and AWQ are foretold for
its processor, which a GPU beats many times over.
"""

from __future__ import annotations

from collections.abc import Collection

from studio.export.gguf import CONVERTED_TYPES
from studio.export.quantize_shape import (
    CALIBRATION_ROWS,
    ROW_TOKENS,
    calibration_rows_for,
    plan_of,
    processor_seconds,
)
from studio.models.shape import ModelShape

_FIXED_AND_PER_GB = {
    "merged": (1.0, 4.0), "gguf": (5.0, 10.0), "k-quant": (0.0, 25.0), "lora-gguf": (6.0, 0.0),
    "nf4": (6.0, 15.0), "script": (5.0, 0.0),
}
"""Seconds whatever the size, and for each GB of the whole model. All GGUF types share one
conversion; each k-quant is rounded from it."""
_LOADING_SECONDS = 20.0
"""What AutoRound takes before it rounds, and to write."""


def seconds_foretold(keys: Collection[str], shape: ModelShape, model_bytes: int, *,
                     tuning_steps: int = 0) -> float:
    """Of the doors with these keys together; `model_bytes` is what the whole model weighs, and
    `tuning_steps` what the rounding of GPTQ and AWQ is tuned by."""
    types = [key.removeprefix("gguf:") for key in keys if key.startswith("gguf:")]
    work = [key for key in keys if key in _FIXED_AND_PER_GB]
    work += ["gguf"] * bool(types) + ["k-quant"] * len(set(types) - set(CONVERTED_TYPES))
    return sum(fixed + per_gb * model_bytes / 1e9
               for fixed, per_gb in map(_FIXED_AND_PER_GB.__getitem__, work)) + sum(
        _LOADING_SECONDS + processor_seconds(
            plan_of(shape, format), calibration_rows_for(format, tuning_steps) * ROW_TOKENS,
            tuning_steps)
        for format in CALIBRATION_ROWS if format in keys)
