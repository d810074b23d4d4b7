"""Adapters that keep more than their weights go on rightly after memory ran out in a step."""

from __future__ import annotations

from typing import Any

import pytest

from studio.runs import create_run
from studio.settings import Settings
from studio.training.loop import train
from tests.training.conftest import MakeRecipe
from tests.training.test_adapter_kinds import losses_of

WAYS: dict[str, dict[str, Any]] = {
    "adalora": {"adapter__method": "adalora"},
    "pissa": {"adapter__init": "pissa"},
    "lora_plus": {"adapter__lora_plus_ratio": 8.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("save_steps", [0, 2], ids=["from the start", "from a checkpoint"])
@pytest.mark.parametrize("way", WAYS)
def test_a_step_that_broke_off_is_undone(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, way: str,
    save_steps: int,
) -> None:
    import torch

    recipe = make_recipe(training__max_steps=6, training__save_steps=save_steps,
                         training__learning_rate=2e-3, **WAYS[way])
    whole = create_run(settings, recipe, "whole")
    train(recipe, whole, lambda: False, settings=settings)
    calls, real = iter(range(1, 100)), torch.optim.AdamW.step

    def spoil(optimizer: Any, *args: Any, **options: Any) -> Any:
        if next(calls) == 4:
            for weight in optimizer.param_groups[0]["params"][:2]:
                weight.data.fill_(1.0)  # what an update that broke off halfway leaves
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(optimizer, *args, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", spoil)
    run = create_run(settings, recipe, "run")
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    assert "training.batch_size" in run.story().adapted
    assert list(losses_of(run).values()) == pytest.approx(list(losses_of(whole).values()),
                                                          rel=1e-3)
