"""What trackers are told of a run: its curves as rows of named numbers, and its recipe in public.

Pure: rows come from the run's events and telemetry, so that a resumed run tells the same curve
again from its beginning. Names follow the trackers' habit of one folder per kind: train/loss.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from studio.comparison import perplexity
from studio.hardware.telemetry import Sample
from studio.recipe import Recipe
from studio.recipe.method_words import method_words

_GIB = 2**30
_OF_A_LOG = ("loss", "learning_rate", "grad_norm", "tokens_per_second", "tokens", "epoch")
_NEVER_TOLD = ("monitor",)
"""Changes nothing that is learned, and holds the person's own prompts."""


@dataclass(frozen=True)
class Row:
    """Numbers of one moment: optimizer step, Unix time in seconds, name to value.

    `kind` is the type of the event that it comes from: a step has at most one row of each kind.
    """

    kind: str
    step: int
    time: float
    values: dict[str, float]


def rows_of(events: Iterable[dict[str, Any]], samples: Sequence[Sample] = ()) -> list[Row]:
    """The rows of a run's events, in order, load and memory of the PC beside the loss.

    A resumed run repeats the steps after its checkpoint: what it logged of them before is left
    out, as `story.py` forgets it.
    """
    rows: list[Row] = []
    method = "sft"
    for event in events:
        if event["type"] == "plan":
            method = event.get("method", method)
            rows = [row for row in rows if row.step <= event.get("start_step", 0)]
        elif (values := _values(event, method)):
            if event["type"] == "log":
                values |= _load_at(event["time"], samples)
            rows.append(Row(event["type"], event["step"], event["time"], values))
    return rows


def _values(event: dict[str, Any], method: str) -> dict[str, float]:
    """The numbers that an event adds to the curves; empty for an event of another kind."""
    kind = event["type"]
    if kind == "log":
        return _numbers({f"train/{name}": event.get(name) for name in _OF_A_LOG}
                        | _measures(event, "train"))
    if kind == "eval":
        found = {"eval/loss": event["loss"]} | _measures(event, "eval")
        if method_words(method).has_perplexity:
            found["eval/perplexity"] = perplexity(event["loss"])
        return found
    if kind == "score":
        return _numbers({f"score/{event['scorer']}": event["value"]})
    if kind == "forgetting":
        return _numbers({f"forgetting/{name}": event[name] for name in ("loss", "base_loss")})
    return {}


def _measures(event: dict[str, Any], prefix: str) -> dict[str, float]:
    return {f"{prefix}/{name}": value for name, value in (event.get("measures") or {}).items()}


def _numbers(found: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in found.items() if value is not None}


def _load_at(time: float, samples: Sequence[Sample]) -> dict[str, float]:
    """What the PC was doing at `time`: the last sample before it."""
    at = bisect.bisect_right(samples, time, key=lambda sample: sample.time) - 1
    if at < 0:
        return {}
    sample = samples[at]
    used = sample.gpu_used_bytes
    return _numbers({
        "system/cpu_percent": sample.cpu_percent,
        "system/ram_gib": sample.ram_used_bytes / _GIB,
        "system/gpu_memory_gib": None if used is None else used / _GIB,
        "system/gpu_utilization_percent": sample.gpu_utilization_percent,
        "system/gpu_temperature_celsius": sample.gpu_temperature_celsius,
        "system/gpu_power_watts": sample.gpu_power_watts,
    })


def public_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe as trackers may see it: of every path only the last name, no sample prompts."""
    return {part: _without_paths(values) for part, values in recipe.model_dump().items()
            if part not in _NEVER_TOLD}


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {_without_paths(key): _without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_paths(inner) for inner in value]
    return _last_name(value) if isinstance(value, str) and _is_path(value) else value


def _is_path(text: str) -> bool:
    """A Hub id such as owner/name is no path, unless there is such a folder here."""
    if len(text) > 4096 or "\n" in text or "\0" in text:
        return False
    absolute = (PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()
                or text.startswith("~"))
    return absolute or (("/" in text or "\\" in text) and _exists(text))


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except OSError:  # too long for a name on this system
        return False


def _last_name(text: str) -> str:
    return PureWindowsPath(text).name or text[:1]
