"""The child of the grid: a few real training steps in a fresh process, and what they held.

`python -m studio.bench.cpu_step RECIPE.json RESULT.json`: the studio's own `train`, from loading
to saving, with the peak of resident memory noted at each moment. Estimates nothing.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.hardware.resident import forget_peak, peak_resident_bytes, resident_bytes
from studio.recipe.fields import parse_recipe
from studio.runs import Run, create_run
from studio.settings import Settings, prepare_environment


@dataclass
class Moments:
    """Peaks of resident memory in bytes, the highest of each moment by its name."""

    peaks: dict[str, int] = field(default_factory=dict)
    splits: bool = True
    now: str = "start"

    def enter(self, moment: str) -> None:
        """Book the peak since the last call on the moment that ends here."""
        peak = peak_resident_bytes()
        self.peaks[self.now] = max(peak, self.peaks.get(self.now, 0))
        self.splits = forget_peak()
        self.now = moment

    def highest(self) -> int:
        """The peak of the whole process."""
        return max(self.peaks.values())


class MeasuredRun(Run):
    """A run that tells `moments` of every state it enters."""

    moments: Moments

    def append(self, type: str, **fields: Any) -> None:
        super().append(type, **fields)
        if type == "state" and fields["state"] != self.moments.now:
            self.moments.enter(fields["state"])


def main(arguments: list[str]) -> int:
    """Train what the first file says and write the second."""
    source, target = map(Path, arguments)
    wanted = json.loads(source.read_text(encoding="utf-8"))
    settings = Settings(Path(wanted["home"]), offline=True)
    prepare_environment(settings)
    result = measure(wanted["recipe"], settings)
    target.write_text(json.dumps(result), encoding="utf-8")
    return 0


def measure(tree: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Peaks in bytes by moment, and seconds per optimizer step."""
    from studio.progress import never
    from studio.training.loop import train

    recipe = parse_recipe(tree)
    moments = Moments()
    _import_libraries()
    moments.enter("imported")
    imported = resident_bytes()
    run = MeasuredRun(create_run(settings, recipe).path)
    run.moments = moments
    steps = _watch_steps(moments)
    train(recipe, run, never, settings=settings)
    moments.enter("end")
    return {"peak_bytes": moments.highest(), "imported_bytes": imported,
            "peaks": moments.peaks if moments.splits else {}, "step_seconds": steps}


def _import_libraries() -> None:
    """What training imports, so that it is not booked on the first moment that needs it."""
    import datasets  # noqa: F401
    import peft  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401
    import trl  # noqa: F401


def _watch_steps(moments: Moments) -> list[float]:
    """Split each step into forward, backward and optimizer; gives the list of seconds to come."""
    import torch
    from torch.nn.modules.module import register_module_forward_hook
    from torch.optim.optimizer import (
        register_optimizer_step_post_hook,
        register_optimizer_step_pre_hook,
    )

    seconds: list[float] = []
    began = [0.0]

    def after_forward(module: torch.nn.Module, *_: Any) -> None:
        if module.training and type(module).__name__.endswith(("ForCausalLM", "LMHeadModel")):
            moments.enter("backward")

    def before_optimizer(*_: Any) -> None:
        moments.enter("optimizer")

    def after_optimizer(*_: Any) -> None:
        moments.enter("forward")
        seconds.append(time.monotonic() - began[0])
        began[0] = time.monotonic()

    register_module_forward_hook(after_forward)
    register_optimizer_step_pre_hook(before_optimizer)
    register_optimizer_step_post_hook(after_optimizer)
    return seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
