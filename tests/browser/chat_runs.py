"""Homes with finished runs for the page tests of the Chat tab: adapters are made, not trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.checkpoints import checkpoint_written_whole
from tests.chat.conftest import make_adapter


def home_with_runs(
    home: Path, tiny_model: Path, names: Sequence[str],
    checkpoints: Mapping[str, Sequence[int]] | None = None,
) -> list[Run]:
    """Runs of `tiny_model`, the last one the newest, each with an adapter that visibly changes
    what the base says. `checkpoints` has the steps at which a run kept another such adapter."""
    settings = Settings(home=home, offline=True)
    recipe = Recipe().with_values({"model.source": str(tiny_model), "model.dtype": "float32",
                                   "adapter.rank": 4})
    runs = []
    for number, name in enumerate(names):
        run = create_run(settings, recipe, name)
        make_adapter(tiny_model, run.adapter_path, seed=100 * number + 1)
        for step in (checkpoints or {}).get(name, ()):
            with checkpoint_written_whole(run, step, recipe) as folder:
                make_adapter(tiny_model, folder / f"checkpoint-{step}",
                             seed=100 * number + 1 + step)
        run.append("state", state="done")
        runs.append(run)
    return runs
