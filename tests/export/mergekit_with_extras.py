"""Run in the environment with the optional packages: merges whole models by the real mergekit.

`python -m tests.export.mergekit_with_extras HOME` takes the exports base, sweet, sour and strange
of that home, and prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from studio.errors import ExportError, Stopped
from studio.export.model_merge import Merged, Part, Wish, merge_models
from studio.export.model_merge.methods import Mix, Tokens
from studio.progress import Step
from studio.settings import Settings, load_settings, prepare_environment

SWEET, SOUR = 0.7, 0.3
DENSITY, T = 0.4, 0.25


def main(home: str) -> None:
    """Every method, the same draw twice, all tokens, a name that is taken, and a stop."""
    settings = load_settings(home, offline=True)
    prepare_environment(settings)
    steps: list[Step] = []
    made = {
        "linear": merged("linear", settings, checks=True, progress=steps.append),
        "slerp": merged("slerp", settings, weighs=False, t=T, checks=True),
        "ties": merged("ties", settings, density=DENSITY, dtype="bfloat16", checks=True),
        "dare_ties": merged("dare_ties", settings, density=1.0),
        "dare_linear": merged("dare_linear", settings, density=1.0),
        **{f"drawn-{name}": merged("dare_linear", settings, name=f"drawn-{name}", seed=seed,
                                   density=DENSITY)
           for name, seed in (("once", 7), ("again", 7), ("otherwise", 8))},
        "union": merged("linear", settings, name="union", tokens="union", second="strange",
                        checks=True),
    }
    sys.stdout.write(json.dumps({
        "checks": {name: one.checked is not None and (one.checked.warning, one.checked.words)
                   for name, one in made.items()},
        "foretold": {name: [one.plan.bytes, one.written.bytes] for name, one in made.items()},
        "problems": [one.problem for one in made.values() if one.problem],
        "steps": sorted({step.what for step in steps}), "taken": _refused(settings),
        **_stopped(settings)}) + "\n")


def merged(method: str, settings: Settings, *, name: str = "", second: str = "sour",
           density: float | None = None, weighs: bool = True, t: float = 0.5, seed: int = 0,
           dtype: str | None = None, tokens: Tokens = "base", checks: bool = False,
           **how: Any) -> Merged:
    """One merge of two, called after its method."""
    weights = (SWEET, SOUR) if weighs else (1.0, 1.0)
    parts = [Part(one, weight, density)
             for one, weight in zip(("sweet", second), weights, strict=True)]
    base = "base" if density is not None else ""
    wish = Wish(parts, Mix(method, base, t, dtype, tokens, seed), name or method)
    return merge_models(wish, settings, checks=checks, **how)


def _refused(settings: Settings) -> str:
    try:
        merged("linear", settings)
    except ExportError as error:
        return error.message
    return ""


def _stopped(settings: Settings) -> dict[str, Any]:
    """From a stop while mergekit loads until the writer is back, and what is left then."""
    asked: list[float] = []

    def look(step: Step) -> None:
        if step.what.startswith("Starting"):
            asked.append(time.monotonic())

    try:
        merged("linear", settings, name="stopped", progress=look, stop=lambda: bool(asked))
    except Stopped:
        seconds = time.monotonic() - asked[0]
        left = [path.name for path in settings.exports.iterdir() if "stopped" in path.name]
        return {"stopped_seconds": seconds, "left_by_stop": left}
    raise AssertionError("it was not stopped")


if __name__ == "__main__":
    main(str(Path(sys.argv[1]).absolute()))
