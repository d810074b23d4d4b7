"""The studio's side of the training bench: `python -m studio.bench.train_process REQUEST.json`.

Trains through the same function as the page and the command line, with all that surrounds it by
default (events, load, guard, forgetting meter, checkpoint at the end) and a sample prompt, and
prints one line of JSON on standard error.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import load_settings, prepare_environment

SAMPLE_PROMPT = "What is the capital of France?"


def main(request_file: str) -> None:
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    settings = load_settings(request["output"], offline=True)
    prepare_environment(settings)
    from studio.training.loop import train

    run = create_run(settings, bench_recipe(request), "bench")
    train(run.recipe, run, _Limit(run, request), settings=settings)
    sys.stderr.write(json.dumps(told(run)) + "\n")


def bench_recipe(request: dict[str, Any]) -> Recipe:
    """What the request asks for; everything else is as the studio has it.

    Nothing is held out, since the peer evaluates nothing.
    """
    return Recipe().with_values({
        "model.source": request["model"], "data.source": request["data"],
        "data.max_length": request["max_length"], "data.eval_fraction": 0.0,
        "data.seed": request["seed"],
        "adapter.rank": request["rank"], "adapter.alpha": request["alpha"],
        "training.batch_size": request["batch_size"], "training.gradient_accumulation": 1,
        "training.learning_rate": request["learning_rate"],
        "training.max_steps": request["steps"], "training.save_steps": 0,
        "training.seed": request["seed"], "monitor.sample_prompts": [SAMPLE_PROMPT],
    })


def told(run: Run) -> dict[str, Any]:
    """When the first step began, (time, tokens, loss) at the end of each, what was chosen, and the
    median share of the time from log to log that lies outside the step itself: events, and reading
    the next rows."""
    events = run.events()
    logs = [event for event in events if event["type"] == "log"]
    first = logs[0]
    return {
        "began": first["time"] - first["tokens"] / first["tokens_per_second"],
        "steps": [(event["time"], event["tokens"], event["loss"]) for event in logs],
        "outside_steps": statistics.median(_outside(logs)) if len(logs) > 1 else 0.0,
        "choices": next(event["choices"] for event in events if event["type"] == "plan"),
    }


def _outside(logs: list[dict[str, Any]]) -> list[float]:
    found = []
    for before, log in itertools.pairwise(logs):
        inside = (log["tokens"] - before["tokens"]) / log["tokens_per_second"]
        found.append(1 - inside / (log["time"] - before["time"]))
    return found


class _Limit:
    """A stop that is asked for when the time of the bench is over."""

    def __init__(self, run: Run, request: dict[str, Any]) -> None:
        self._run = run
        self._seconds, self._steps = request["limit_seconds"], request["least_steps"]
        self._began = 0.0

    def __call__(self) -> bool:
        if not self._began:
            if self._run.story().step < 1:
                return False
            self._began = time.monotonic()
        is_late = time.monotonic() - self._began > self._seconds
        return is_late and self._run.story().step >= self._steps


if __name__ == "__main__":
    main(sys.argv[1])
