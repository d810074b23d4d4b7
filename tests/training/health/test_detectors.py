"""Each detector on curves drawn by hand, beside a near miss that raises nothing."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from studio.errors import RunError
from studio.recipe import Recipe
from studio.recipe.used import is_used
from studio.story import tell
from studio.training.health import Facts, Health
from studio.training.health.beginning import (
    before_the_first_step,
    require_trainable,
    standing_still,
)
from studio.training.health.detectors import QUIET
from studio.training.health.speed import seen_on_this_pc
from tests.training.health.curves import alarms, kinds, learning, noisy


@pytest.mark.parametrize("spread", [0.05, 0.12, 0.3, 0.6])
def test_healthy_runs_raise_nothing_however_noisy_they_are(spread: float) -> None:
    for seed in range(12):
        losses = noisy(150, learning(), spread, seed)
        norms = noisy(150, lambda index: 0.6 + 2 * (index < 10), 0.5, seed)
        evals = {step: learning()(step) + 0.05 for step in range(25, 151, 25)}
        assert kinds(losses, norms=norms, evals=evals, steps_per_epoch=50) == []


@pytest.mark.parametrize("spread", [0.05, 0.3, 0.6])
def test_a_loss_that_rises_far_and_stays_there_is_diverging(spread: float) -> None:
    later = noisy(110, lambda at: learning()(at) if at < 80 else 6 + 0.1 * (at - 80), spread, 1)
    [found] = [alarm for alarm in alarms(later) if alarm.kind == "diverging"]
    assert found.level == "bad" and 81 <= found.step <= 98
    assert "risen from" in found.text and "learning_rate" in found.hint


def test_a_loss_beyond_blind_guessing_is_diverging_within_few_steps() -> None:
    assert "diverging" in kinds([6.0, 11.2, 14.0, 12.6, 14.4, 13.7, 13.1, 12.9, 14.1, 13.7])
    assert "diverging" not in kinds([6.0, 6.2, 6.4, 6.1, 6.3, 6.2, 6.1, 6.3, 6.2, 6.3])


def test_a_loss_that_doubles_in_a_quiet_run_is_diverging_and_in_a_noisy_one_is_not() -> None:
    quiet = noisy(60, lambda at: 1.0 if at < 40 else 2.2, 0.03)
    assert "diverging" in kinds(quiet)
    assert "diverging" not in kinds(noisy(60, lambda at: 1.0 if at < 40 else 1.5, 0.5))


def test_a_single_loss_far_above_the_others_is_a_spike() -> None:
    losses = noisy(60, learning(), 0.1)
    losses[45] = 9.0
    [found] = alarms(losses)
    assert (found.kind, found.level, found.step) == ("spike", "warning", 46)
    losses[45] = 2.2
    assert kinds(losses) == []


def test_a_loss_of_exactly_zero_is_told_and_a_tiny_one_is_not() -> None:
    assert kinds([2.0, 1.5, 1.0, 0.0, 0.0, 0.0]) == ["loss_zero"]
    assert kinds([2.0, 1.5, 1.0, 0.0, 0.9, 0.8]) == []
    assert kinds([2.0, 1.5, 1.0, 1e-4, 1e-4, 1e-4]) == []


def test_known_by_heart_is_told_unless_the_held_out_part_is_known_too() -> None:
    losses = noisy(60, learning(2.5, 0.005, 6), 0.2)
    assert kinds(losses) == ["by_heart"]
    assert kinds(losses, evals={20: 1.4, 25: 1.4}) == ["by_heart"]
    assert kinds(losses, evals={20: 0.03, 40: 0.01}) == []


def test_a_loss_that_falls_in_a_step_as_an_epoch_begins_is_learning_by_heart() -> None:
    steps = noisy(75, lambda at: [1.5, 0.9, 0.5][at // 25], 0.05)
    found = alarms(steps, steps_per_epoch=25)
    assert {alarm.kind for alarm in found} == {"by_heart"} and "epoch 2 began" in found[0].text
    assert kinds(noisy(75, learning(1.5, 0.5, 30), 0.05), steps_per_epoch=25) == []


def test_a_flat_loss_is_told_only_where_noise_cannot_hide_that_it_falls() -> None:
    [found] = alarms(noisy(200, lambda _: 1.5, 0.05), training__learning_rate=1e-6)
    assert found.kind == "not_learning" and "raise it" in found.hint
    assert kinds(noisy(200, lambda at: 1.5 - at / 1000, 0.05)) == []
    assert kinds(noisy(200, lambda _: 1.5, 0.6)) == []


@pytest.mark.parametrize(("first", "kind"), [
    (10.4, ["guessing"]), (8.1, ["guessing"]), (6.0, ["high_start"]), (3.5, []), (0.2, []),
    (0.01, ["known_already"])])
def test_the_first_losses_tell_whether_the_model_fits_the_data(
    first: float, kind: list[str]
) -> None:
    assert kinds([first, 0.99 * first, 1.01 * first, first, first]) == kind


def test_a_held_out_loss_that_rises_while_the_training_loss_falls_is_overfitting() -> None:
    losses = noisy(100, learning(2.2, 0.4, 40), 0.1)
    rising = {20: 1.5, 40: 1.2, 60: 1.3, 80: 1.45, 100: 1.6}
    [found] = alarms(losses, evals=rising)
    assert (found.kind, found.step) == ("overfitting", 80)
    assert "after step 40" in found.text and "early_stopping_patience" in found.hint
    assert "will be that step's" in alarms(losses, evals=rising, training__keep="best")[0].hint


@pytest.mark.parametrize("evals", [
    {20: 1.5, 40: 1.2, 60: 1.3, 80: 1.15, 100: 1.1},    # up once
    {20: 1.5, 40: 1.2, 60: 1.21, 80: 1.205, 100: 1.2},  # as good as flat
    {20: 1.5, 40: 1.2, 60: 1.4, 80: 1.3, 100: 1.21}])   # up, and falling again
def test_a_held_out_loss_that_wavers_is_not_overfitting(evals: dict[int, float]) -> None:
    assert kinds(noisy(100, learning(2.2, 0.9, 40), 0.1), evals=evals) == []


FIELDS = {"lora": {"rank", "dropout"}, "adalora": {"rank", "dropout"}, "vera": {"rank", "dropout"},
          "oft": {"block_size", "dropout"}, "ia3": set(), "none": set(),
          "prompt_tuning": {"virtual_tokens"}, "prefix_tuning": {"virtual_tokens"}}


@pytest.mark.parametrize("method", FIELDS)
def test_advice_names_only_what_the_adapter_has(method: str) -> None:
    """Of overfitting, learning by heart, a loss that is flat, and a gradient of zero."""
    values: dict[str, Any] = {"adapter__method": method, "training__learning_rate": 0.1}
    falling = noisy(100, learning(2.2, 0.4, 40), 0.1)
    rising = {20: 1.5, 40: 1.2, 60: 1.3, 80: 1.45, 100: 1.6}
    found = [*alarms(falling, evals=rising, **values),
             *alarms(noisy(60, learning(2.5, 0.005, 6), 0.2), **values)]
    assert {alarm.kind for alarm in found} == {"overfitting", "by_heart"}
    for alarm in found:
        named = set(re.findall(r"adapter\.(\w+)", alarm.hint))
        assert named == FIELDS[method]
        assert named or "a lower training.learning_rate" in alarm.hint

    [flat] = alarms(noisy(200, lambda _: 1.5, 0.05), **values)
    named = set(re.findall(r"adapter\.(\w+)", flat.hint)) - {"method"}
    assert named == FIELDS[method] - {"dropout"}
    [still] = alarms([1.0] * 5, norms=[0.0] * 5, **values)
    assert ("adapter.targets" in still.hint) is is_used(
        "adapter.targets", Recipe().with_values({"adapter.method": method}))


def test_a_rise_of_both_losses_is_not_called_overfitting() -> None:
    losses = noisy(100, lambda at: 1.0 + at / 200, 0.02)
    assert "overfitting" not in kinds(losses, evals={20: 1.2, 40: 1.3, 60: 1.4, 80: 1.5})


def test_a_held_out_part_that_is_far_easier_than_the_training_part_is_a_leak() -> None:
    losses = noisy(60, learning(), 0.1)
    assert kinds(losses, evals={20: 0.02, 40: 0.01}) == ["leak"]
    assert kinds(losses, evals={20: 1.1, 40: 1.0}) == []
    falling = [4.0 * 0.8 ** at for at in range(20)]  # the evaluation comes after the last of them
    assert kinds(falling, evals={8: 0.6, 10: 0.35}) == []


def test_an_evaluation_without_a_number_is_told() -> None:
    assert kinds([2.0, 1.9, 1.8], evals={3: math.nan}) == ["not_finite"]


def test_gradients_that_grow_tenfold_explode_and_a_single_long_one_does_not() -> None:
    losses = noisy(60, learning(), 0.1)
    norms = noisy(60, lambda at: 0.5 if at < 50 else 40.0, 0.3)
    [found] = alarms(losses, norms=norms)
    assert found.kind == "exploding" and "clipped to 1" in found.hint
    assert "max_grad_norm to 1" in alarms(losses, norms=norms, training__max_grad_norm=0)[0].hint
    assert kinds(losses, norms=[40.0 if at == 30 else 0.5 for at in range(60)]) == []
    assert kinds(losses, norms=[0.02 if at < 30 else 1.5 for at in range(60)]) == []


def test_gradients_of_zero_are_told_while_there_is_a_loss() -> None:
    assert kinds([2.0] * 6, norms=[0.0] * 6) == ["vanishing"]
    assert kinds([2.0] * 6, norms=[0.0, 0.0, 0.3] * 2) == []


def test_a_rate_of_zero_before_the_end_is_told() -> None:
    rates = [2e-4] * 10 + [0.0] * 10
    assert kinds([2.0] * 20, rates=rates, total_steps=100) == ["rate_zero"]
    assert kinds([2.0] * 20, rates=[0.0, *rates[:10], *[1e-5] * 7, 0.0, 0.0]) == []


def test_a_speed_that_collapses_for_a_while_is_told_and_a_hiccup_is_not() -> None:
    losses = noisy(40, learning(), 0.1)
    slow = [1000.0] * 25 + [200.0] * 15
    [found] = alarms(losses, speeds=slow)
    assert found.kind == "slow" and "200 tokens/s, 1,000 were usual" in found.text
    assert kinds(losses, speeds=[1000.0] * 25 + [200.0] * 2 + [1000.0] * 13) == []
    assert kinds(losses, speeds=slow, seconds_per_step=0.01) == []
    assert kinds(losses, speeds=[20.0, 50.0, *[1000.0] * 38]) == []
    assert seen_on_this_pc(None) == ""


def test_an_alarm_is_told_once_per_stretch_and_again_after_a_quiet_one() -> None:
    zero, some = [0.0] * 10, [2.0] * (QUIET + 5)
    assert kinds([2.0] * 5 + zero + [2.0] * 3 + zero).count("loss_zero") == 1
    assert kinds([2.0] * 5 + zero + some + zero).count("loss_zero") == 2


def test_a_resumed_run_knows_what_it_has_told() -> None:
    events = [{"type": "log", "step": step, "loss": 0.0 if step > 5 else 2.0,
               "learning_rate": 1e-4, "grad_norm": 0.5} for step in range(1, 9)]
    past = tell("a", events, True)
    again = Health(Facts(Recipe(), 20), past)
    assert [point.step for point in again.curve.points] == list(range(1, 9))
    assert again.logged(past.points[-1]) == []


def test_few_steps_and_an_endless_warm_up_are_told_before_the_first_step() -> None:
    def of(total: int, **values: float) -> list[str]:
        recipe = Recipe().with_values({f"training.{key}": value for key, value in values.items()})
        return [alarm.kind for alarm in before_the_first_step(Facts(recipe, total))]

    assert of(6) == ["short_run"]
    assert of(6, max_steps=6) == [] == of(200)
    assert of(200, warmup_ratio=0.7) == ["long_warmup"]
    assert of(200, warmup_ratio=0.1) == []


def test_weights_that_stay_where_they_are_are_told() -> None:
    frozen = standing_still(0.0, 4, in_16_bits=False)
    assert frozen is not None and frozen.level == "bad"
    half = standing_still(0.3, 4, in_16_bits=True)
    assert half is not None and half.level == "warning" and "30%" in half.text
    assert standing_still(0.3, 4, in_16_bits=False) is None
    assert standing_still(0.9, 4, in_16_bits=True) is None


def test_a_model_of_which_nothing_is_trainable_is_an_error() -> None:
    import torch

    model = torch.nn.Linear(2, 2)
    assert require_trainable(model) == 6
    with pytest.raises(RunError, match="Nothing is trainable"):
        require_trainable(model.requires_grad_(False))
