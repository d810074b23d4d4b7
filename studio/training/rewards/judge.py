"""A trained reward model as a reward: the number that it gives to a conversation with the answer.

The judge reads the turns in its own template, so it may be of another family than the model that
is trained. Training and loading it are `methods/reward_model.py` and `judge.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from studio.adapters.folder import is_judge
from studio.errors import ModelError
from studio.files import typed_path
from studio.recipe import Recipe
from studio.runs import Run, open_run
from studio.settings import Settings
from studio.training.judge import load_judge
from studio.training.rewards.named import Named, rewards_named

if TYPE_CHECKING:
    from studio.device import Device
    from studio.training.rewards.rewarding import Written


def require_judges(recipe: Recipe, settings: Settings) -> None:
    """Raise RunError or ModelError where a reward names no reward model. Loads none."""
    for one in rewards_named(recipe.reinforcement.rewards):
        if one.kind == "model":
            source = _source(one, settings)
            folder = source.adapter_path if isinstance(source, Run) else source
            if not is_judge(folder):
                raise ModelError(
                    f"{one.field}: {one.argument} holds no reward model.",
                    "Name a finished run of training.method reward, or the folder of a model "
                    "that gives one number for a text.")


def judge_of(
    one: Named, settings: Settings | None, device: Device
) -> Callable[[Sequence[Written]], list[float]]:
    """The reward `one`, with its model loaded onto `device`."""
    assert settings is not None
    judge = load_judge(_source(one, settings), settings, device)
    return lambda answers: judge.of_turns(
        [[*json.loads(answer.turns), {"role": "assistant", "content": answer.text}]
         for answer in answers])


def _source(one: Named, settings: Settings) -> Run | Path:
    folder = typed_path(one.argument)
    return folder if folder.is_absolute() else open_run(settings, one.argument)
