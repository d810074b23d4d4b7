"""Memory between what the layers keep goes back while a step runs, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.training.speed import holes
from studio.training.speed.holes import holes_given_back


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that memory was given back."""
    times: list[int] = []
    real = holes.give_freed_memory_back

    def counted() -> None:
        times.append(1)
        real()

    monkeypatch.setattr(holes, "give_freed_memory_back", counted)
    monkeypatch.setattr(holes, "LAYERS_BETWEEN", 1)
    return times


def _gradient(model: Any) -> Any:
    import torch

    model.zero_grad()
    loss = model(input_ids=torch.arange(12)[None], labels=torch.arange(12)[None]).loss
    loss.backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


def test_after_every_layer_forward_and_backward(tiny_model: Path, given: list[int]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    before = _gradient(model)
    with holes_given_back(model):
        assert torch.equal(_gradient(model), before)
        assert len(given) == 2 * model.config.num_hidden_layers
        with torch.no_grad():
            model(input_ids=torch.arange(12)[None])
        assert len(given) == 2 * model.config.num_hidden_layers  # nothing is kept there
    _gradient(model)
    assert len(given) == 2 * model.config.num_hidden_layers


def test_a_run_gives_back_and_its_model_is_left_without_hooks(
    given: list[int], settings: Any, make_recipe: Any
) -> None:
    from studio.runs import create_run
    from studio.training.loop import train

    recipe = make_recipe(training__max_steps=2)
    train(recipe, create_run(settings, recipe, "a"), lambda: False, settings=settings)
    assert len(given) >= 2 * 2 * 2
