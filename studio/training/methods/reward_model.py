"""reward: a judge of answers, which gives the better answer of a pair the higher number.

TRL's trainer on our tokens. The base has a head of one number in the language model's place, see
`models/loading.py`; using a trained judge is in `training/judge.py`.
"""

from __future__ import annotations

import functools
from typing import Any

from studio.recipe import Recipe
from studio.runs import Run
from studio.training.methods.arguments import arguments_of, parts_of
from studio.training.methods.preference import PairMixin
from studio.training.reporter import TrainReporter
from studio.training.setup import Setup


def make(recipe: Recipe, run: Run, setup: Setup, reporter: TrainReporter) -> Any:
    """The trainer; `setup.train` has the columns of a pair."""
    from trl import RewardConfig
    from trl.trainer.reward_trainer import DataCollatorForPreference

    arguments = arguments_of(
        RewardConfig, recipe, run, setup, max_length=None, remove_unused_columns=False,
        center_rewards_coefficient=recipe.preference.center_rewards or None,
    )
    return _trainer_class()(**parts_of(
        arguments, setup, reporter,
        data_collator=DataCollatorForPreference(setup.tokenizer.pad_token_id)))


@functools.cache
def _trainer_class() -> Any:
    from trl import RewardTrainer

    return type("JudgeTrainer", (PairMixin, RewardTrainer), {})
