"""What an export in several formats will take, worked out before anything is written.

Sizes follow from the model's shape, so neither base nor merge need be there. Carrying a plan out
is in `chain.py`; how a format is written is the business of its door.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.adapters.folder import WEIGHTS_FILE
from studio.errors import ExportError
from studio.export.door import Choices, Door, Subject
from studio.export.doors import MERGED, doors_of
from studio.export.gguf_doors import GGUF_FAMILY, passing_gguf_bytes
from studio.export.merge_way import MergeOutlook, merge_outlook
from studio.export.output import read_report
from studio.export.pace import seconds_foretold
from studio.export.quantize_shape import TUNING_STEPS
from studio.files import file_sha256, free_bytes, safe_name, with_spare
from studio.runs import checkpoint_step

if TYPE_CHECKING:
    from studio.export.origin import Origin
    from studio.settings import Settings


@dataclass(frozen=True)
class Stage:
    """One format: where it goes, what it will weigh if that is known, whether something lies there
    already, and why it cannot be written, if so."""

    door: Door
    output: Path
    bytes: int | None
    is_taken: bool = False
    why_not: str = ""


@dataclass(frozen=True)
class Plan:
    """Everything that one press writes. `model` is the whole model's folder if it is there
    already. `passing_model_bytes` and `passing_gguf_bytes` are what is made on the way and
    deleted, since nobody asked to keep it; `merge` is how the whole model is made, None where it
    is not."""

    subject: Subject
    name: str
    stages: tuple[Stage, ...]
    model: Path | None
    passing_model_bytes: int
    passing_gguf_bytes: int
    free_bytes: int
    merge: MergeOutlook | None = None

    @property
    def needed_bytes(self) -> int:
        """Disk space that the whole chain takes at its peak: all that is written by then, and what
        others are made of for as long as it is there."""
        written = peak = self.passing_model_bytes
        for stage in self.stages:
            written += stage.bytes or 0
            beside = self.passing_gguf_bytes if stage.door.family == GGUF_FAMILY else 0
            peak = max(peak, written + beside)
        return peak

    @property
    def seconds(self) -> float:
        """About how long the writing takes, checks left out."""
        keys = [stage.door.key for stage in self.stages if not stage.why_not]
        return seconds_foretold([*keys, *([MERGED.key] if self.passing_model_bytes else [])],
                                self.subject.shape, MERGED.bytes(self.subject) or 0,
                                tuning_steps=TUNING_STEPS if self.subject.choices.tuned else 0)

    @property
    def fits(self) -> bool:
        """Whether that is free, with something to spare."""
        return with_spare(self.needed_bytes) <= self.free_bytes

    @property
    def taken(self) -> tuple[Stage, ...]:
        """Those in whose place something earlier lies."""
        return tuple(stage for stage in self.stages if stage.is_taken)


def export_name(origin: Origin) -> str:
    """What an export is called unless somebody says otherwise; each checkpoint has its own."""
    is_checkpoint = checkpoint_step(origin.path) >= 0
    return safe_name(f"{origin.name}-{origin.path.name}" if is_checkpoint else origin.name, "model")


def look_at(origin: Origin, settings: Settings, choices: Choices | None = None) -> Subject:
    """What is known of `origin` before anything is written: reads its base's configuration.

    Raises ModelError where that cannot be had. Imports transformers.
    """
    from studio.models.shape import model_shape
    from studio.models.source import find_on_this_pc

    model = origin.model
    shape = model_shape(model.source, settings, revision=model.revision,
                        trust_remote_code=model.trust_remote_code)
    base = find_on_this_pc(model, settings)
    return Subject(origin, shape, settings, base.path if base else None, choices or Choices())


def make_plan(subject: Subject, keys: Sequence[str], name: str = "") -> Plan:
    """What writing the formats of `keys` under `name` takes. Raises ExportError for a key that is
    none, and for none at all."""
    exports = subject.settings.exports
    name = safe_name(name, "model") if name.strip() else export_name(subject.origin)
    stages = tuple(_stage(door, subject, name) for door in doors_of(keys, subject))
    model = _whole_model(subject, name)
    doors = [stage.door for stage in stages if not stage.why_not]
    makes_model = (model is None and MERGED not in doors
                   and any(door.needs_model for door in doors))
    merges = makes_model or MERGED in doors
    return Plan(subject, name, stages, model, MERGED.bytes(subject) or 0 if makes_model else 0,
                passing_gguf_bytes([door.key for door in doors], subject), free_bytes(exports),
                merge_outlook(subject) if merges else None)


def _stage(door: Door, subject: Subject, name: str) -> Stage:
    output = door.path(subject.settings.exports, name)
    why_not = door.why_not(subject)
    size: int | None = 0
    if not why_not:
        try:
            size = door.bytes(subject)
        except ExportError as error:  # of a shape that the format does not take
            why_not = str(error)
    return Stage(door, output, size, output.exists() or output.is_symlink(), why_not)


def _whole_model(subject: Subject, name: str) -> Path | None:
    """The folder of the whole model if it is on this PC: what a run that trained every weight has
    left, or an earlier merge of this very adapter in the way that is chosen now."""
    origin = subject.origin
    if origin.is_full_model:
        return origin.path
    folder = MERGED.path(subject.settings.exports, name)
    told = read_report(folder)
    if bool(told.get("dequantized")) != subject.choices.dequantized:
        return None
    is_same = told.get("adapter_sha256") == file_sha256(origin.path / WEIGHTS_FILE)
    return folder if is_same else None
