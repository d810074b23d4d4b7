"""Does a merged model load in plain transformers, and answer? Asked in a process of its own, so
that a model too large for this PC takes nothing else along.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.child import Child, studio_module
from studio.errors import ExportError
from studio.export.output import end_if_stopped
from studio.progress import Progress, ShouldStop, Step, never, silent

if TYPE_CHECKING:
    from studio.export.model_merge.plan import MergePlan
    from studio.settings import Settings

PROMPTS = ("What is the capital of France?", "Write one short sentence about the sea.")


@dataclass(frozen=True)
class Checked:
    """(prompt, answer) pairs, greedy; how many tensors were worked out again, and those of them
    that are not what the formula gives."""

    answers: tuple[tuple[str, str], ...]
    compared: int
    wrong: tuple[str, ...]
    is_finite: bool

    @property
    def warning(self) -> str:
        """What is wrong with the model; empty if nothing was found."""
        if not self.is_finite:
            return "It computes numbers that are none (NaN), so it cannot be used."
        if self.wrong:
            return (f"{len(self.wrong)} of {self.compared} tensors that were worked out again are "
                    f"not what the method gives, such as {self.wrong[0]}.")
        return ""

    @property
    def words(self) -> str:
        """What was found to be right, as a sentence."""
        formula = (f" {self.compared} tensors were worked out again from the models and are what "
                   "the method gives." if self.compared and not self.wrong else "")
        return f"It loads in plain transformers and answers.{formula}"


def check(folder: Path, plan: MergePlan, settings: Settings, *, progress: Progress = silent,
          stop: ShouldStop = never) -> Checked:
    """Load and ask the merge in `folder`. Raises ExportError where it cannot be loaded, Stopped."""
    progress(Step("Asking the merged model, loaded by plain transformers"))
    with tempfile.TemporaryDirectory(dir=_room(settings)) as inside:
        request, answer = Path(inside) / "request.json", Path(inside) / "answer.json"
        request.write_text(json.dumps({
            "home": str(settings.home), "parent": os.getpid(), "folder": str(folder),
            "prompts": PROMPTS, "method": plan.method.name, "t": plan.mix.t,
            "parts": [[one.reference, one.weight] for one in plan.parts],
            # Rows of tokens that were put into another order are another thing than the formula's.
            "moved_rows": [] if plan.tokens == "copied" else [
                one.shape.vocabulary for one in plan.everyone],
            "output": str(answer)}), encoding="utf-8")
        arguments = studio_module("studio.export.model_merge.checking_process", str(request))
        with Child(arguments, cwd=Path(inside)) as child:
            while not child.has_ended():
                end_if_stopped(stop)
        if not child.has_succeeded:
            raise _unanswered(child)
        told = json.loads(answer.read_text(encoding="utf-8"))
    return Checked(tuple(zip(PROMPTS, told["answers"], strict=True)), told["compared"],
                   tuple(told["wrong"]), told["is_finite"])


def _room(settings: Settings) -> Path:
    settings.cache.mkdir(parents=True, exist_ok=True)
    return settings.cache


def _unanswered(child: Child) -> ExportError:
    if child.was_killed:
        return ExportError("The merge could not be asked: memory ran out while it was loaded.",
                           "It is written whole; ask it on a PC with more memory.")
    return ExportError(f"The merge could not be asked: {child.last_words}",
                       "It is written whole; look whether the models fit one another.")
