"""What a way out of the studio is: a `Door`, and what it is asked and given.

Only the shapes, and what several doors share; the doors themselves are in `doors.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio.adapters.folder import read_adapter_folder
from studio.adapters.kinds import kind_of_peft
from studio.export.output import Written
from studio.progress import Progress, ShouldStop, never, silent

if TYPE_CHECKING:
    from studio.export.origin import Origin
    from studio.models.shape import ModelShape
    from studio.settings import Settings

Group = Literal["python", "gguf", "gpu", "share", "leave"]
GROUPS: Mapping[Group, str] = {
    "python": "Keep using it in Python", "gguf": "llama.cpp, Ollama and LM Studio",
    "gpu": "Smaller, for GPUs", "share": "Pass it on", "leave": "Leave the studio",
}


@dataclass(frozen=True)
class Choices:
    """What a person may choose besides the doors.

    `dequantized`: merge into the rounded base of a run that trained over one. `own_data`: let the
    run's own training data say which weights matter where a GGUF is rounded. `tuned`: tune the
    rounding of GPTQ and AWQ by gradient steps.
    """

    dequantized: bool = False
    own_data: bool = False
    tuned: bool = False


@dataclass(frozen=True)
class Subject:
    """What is exported, as far as it is known before anything is written.

    `base` is the base's folder; None while it is not on this PC.
    """

    origin: Origin
    shape: ModelShape
    settings: Settings
    base: Path | None = None
    choices: Choices = Choices()


@dataclass(frozen=True)
class Work:
    """What a writer is given: where each door is to be written, by its key, and the whole model's
    folder where they need it. `name` begins the name of every export of the plan."""

    subject: Subject
    model: Path
    name: str
    outputs: Mapping[str, Path]
    overwrite: bool = False
    progress: Progress = silent
    stop: ShouldStop = never

    @property
    def output(self) -> Path:
        """Where the only one goes."""
        (output,) = self.outputs.values()
        return output

    @property
    def how(self) -> dict[str, Any]:
        """What every writer takes at the end."""
        return {"progress": self.progress, "stop": self.stop, "overwrite": self.overwrite}


def _open(subject: Subject) -> str:
    return ""


@dataclass(frozen=True)
class Door:
    """One way out. `ending` completes the name of what is written.

    `bytes` is None where the size is not known before the base is on this PC. `write` gives one
    Written for each output, in order. `why_not` says in a sentence why it is closed to a subject;
    empty if it is open. `needs_model`: made of the whole model. `is_checked`: it can be asked the
    same as the model in training. Doors of one `family` are written in one go.
    """

    key: str
    group: Group
    label: str
    purpose: str
    ending: str
    bytes: Callable[[Subject], int | None]
    write: Callable[[Work], Sequence[Written]]
    why_not: Callable[[Subject], str] = _open
    needs_model: bool = False
    is_checked: bool = True
    family: str = ""

    def path(self, folder: Path, name: str) -> Path:
        """Where it is written under `name` in the exports `folder`."""
        return folder / f"{name}{self.ending}"


def why_no_merge(subject: Subject) -> str:
    """Why there can be no whole model; empty if there can."""
    if subject.origin.is_full_model:
        return ""
    kind = kind_of_peft(read_adapter_folder(subject.origin.path).method)
    if kind is None or kind.merges:
        return ""
    return (f"{kind.label} stands before the text as learned tokens and is no part of any weight, "
            "so it cannot be merged.")
