"""A step is looked at before it is applied."""

from __future__ import annotations

import math

import pytest
import torch

from studio.training.guard import (
    SCALED_STEPS_IN_A_ROW,
    StepGuard,
    drop_gradients,
    weights_are_finite,
)

ODD = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("odd", ODD)
def test_a_loss_or_a_gradient_that_is_no_number_is_a_fault(odd: float) -> None:
    guard, fine = StepGuard(scales=False), torch.tensor(1.0)
    assert guard.fault_of(fine, torch.tensor(2.0)) == guard.fault_of(fine, 2.0) == ""
    assert guard.fault_of(torch.tensor(odd), 2.0) == "loss"
    assert guard.fault_of(torch.tensor(odd), odd) == "loss"
    assert guard.fault_of(fine, odd) == guard.fault_of(fine, torch.tensor(odd)) == "gradient"


def test_float16_may_overflow_now_and_then_but_not_for_ever() -> None:
    guard, fine = StepGuard(scales=True), torch.tensor(1.0)
    for _ in range(3):
        found = [guard.fault_of(fine, math.inf) for _ in range(SCALED_STEPS_IN_A_ROW - 1)]
        assert set(found) == {""} and guard.fault_of(fine, 1.0) == ""
    found = [guard.fault_of(fine, math.inf) for _ in range(SCALED_STEPS_IN_A_ROW)]
    assert found[-1] == "gradient" and set(found[:-1]) == {""}
    assert guard.fault_of(torch.tensor(math.nan), 1.0) == "loss"


@pytest.mark.parametrize("make", [
    lambda parameters: torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.3),
    lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9)])
def test_without_gradients_an_optimizer_changes_nothing(make) -> None:  # type: ignore[no-untyped-def]
    model = torch.nn.Linear(3, 2)
    optimizer = make(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    weight = model.weight.detach().clone()
    model.weight.grad = torch.full_like(weight, math.nan)
    drop_gradients(model)
    optimizer.step()
    assert torch.equal(model.weight, weight) and weights_are_finite(model)


def test_weights_that_are_not_trained_may_be_anything() -> None:
    model = torch.nn.Linear(2, 2)
    model.bias.data[0] = math.nan
    assert not weights_are_finite(model)
    model.bias.requires_grad_(False)
    assert weights_are_finite(model)
