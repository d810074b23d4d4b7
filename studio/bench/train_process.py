"""The studio's side of the training bench: `python -m studio.bench.train_process REQUEST.json`.

Trains through the same function as the page and the command line, with all that surrounds it
(events, load, checkpoint, guard), and prints one line of JSON on standard error. What only watches
(samples, forgetting) is off, since the peer has nothing of it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from studio.progress import never
from studio.recipe import Recipe
from studio.runs import create_run
from studio.settings import load_settings, prepare_environment


def main(request_file: str) -> None:
    request = json.loads(Path(request_file).read_text(encoding="utf-8"))
    settings = load_settings(request["output"], offline=True)
    prepare_environment(settings)
    from studio.training.loop import train

    recipe = bench_recipe(request)
    run = create_run(settings, recipe, "bench")
    train(recipe, run, never, settings=settings)
    steps = [(event["time"], event["tokens"], event["loss"]) for event in run.events()
             if event["type"] == "log"]
    choices = next(event["choices"] for event in run.events() if event["type"] == "plan")
    sys.stderr.write(json.dumps({"steps": steps, "choices": choices}) + "\n")


def bench_recipe(request: dict[str, Any]) -> Recipe:
    """What the request asks for; everything else is as the studio has it."""
    return Recipe().with_values({
        "model.source": request["model"], "data.source": request["data"],
        "data.max_length": request["max_length"], "data.eval_fraction": 0.0,
        "adapter.rank": request["rank"], "adapter.alpha": request["alpha"],
        "training.batch_size": request["batch_size"], "training.gradient_accumulation": 1,
        "training.learning_rate": request["learning_rate"],
        "training.max_steps": request["steps"], "training.save_steps": 0,
        "training.seed": request["seed"],
        "monitor.sample_records": 0, "monitor.forgetting": False,
    })


if __name__ == "__main__":
    main(sys.argv[1])
