"""Compiled layers teach what uncompiled ones teach, and are gone after the run.

The compiler orders sums differently, nothing else: in 32 bits losses agree to 1e-5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.device import Device
from studio.recipe import Recipe
from studio.settings import Settings
from studio.training.choices import choose_compile
from studio.training.speed.compiling import compile_layers, decoder_layers, why_not_compile
from tests.training.conftest import MakeRecipe
from tests.training.speed.learned import learned

_CPU = Device("cpu", "CPU", "float32", 16 * 10**9)
_GPU = Device("cuda", "a card", "bfloat16", 24 * 10**9)


def _chosen(device: Device, *, steps: int = 1000, checkpointing: bool = False,
            liger: bool = False, **values: Any) -> tuple[bool, str]:
    recipe = Recipe().with_values({key.replace("__", "."): value for key, value in values.items()})
    return choose_compile(recipe, device, steps=steps, checkpointing=checkpointing, liger=liger)


def test_auto_compiles_on_a_gpu_where_it_pays_back() -> None:
    assert _chosen(_GPU) == (True, "The layers are compiled, which pays back within 1,000 steps.")


@pytest.mark.parametrize("values", [
    {"steps": 50}, {"checkpointing": True}, {"liger": True}, {"model__quantization": "4bit"},
    {"speed__fused_layers": True}, {"speed__compile": False}, {"training__method": "grpo"},
], ids=str)
def test_elsewhere_auto_does_not_and_says_so(values: dict[str, Any]) -> None:
    compiles, why = _chosen(_GPU, **values)
    assert not compiles and why.startswith("Nothing is compiled")


def test_on_a_cpu_it_compiles_only_when_asked() -> None:
    assert not _chosen(_CPU, steps=10**6)[0]
    assert _chosen(_CPU, speed__compile=True)[0]


def test_without_a_compiler_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch,
                                                tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert why_not_compile(_CPU) == "there is no C++ compiler"


def test_asked_for_without_a_compiler_the_run_trains_uncompiled_and_says_so(
    settings: Settings, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    run = learned(settings, make_recipe(training__max_steps=1, speed__compile=True))
    assert run.told("Nothing is compiled: there is no C++ compiler.")
    assert run.told("Fused layers: ")


def test_checkpointed_layers_of_joined_rows_are_fused_and_not_said_to_be_compiled(
    settings: Settings, make_recipe: MakeRecipe
) -> None:
    run = learned(settings, make_recipe(training__max_steps=1, speed__compile=True,
                                        training__gradient_checkpointing=True))
    assert run.told("cannot be while examples share a row")
    assert run.told("Fused layers: ")


def test_the_layers_are_compiled_while_they_train_and_only_then(tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    from studio.training.setup import forward_kept

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    before = [dict(vars(module)) for module in model.modules()]
    assert len(decoder_layers(model)) == model.config.num_hidden_layers
    with forward_kept(model):
        compile_layers(model)
        assert all(layer._compiled_call_impl is not None for layer in decoder_layers(model))
    assert [dict(vars(module)) for module in model.modules()] == before


@pytest.mark.slow
@pytest.mark.parametrize("changes", [
    {}, {"speed__join_rows": False},
    {"training__gradient_checkpointing": True, "speed__join_rows": False},
    {"adapter__dropout": 0.0, "data__eval_fraction": 0.2, "training__eval_steps": 2,
     "adapter__targets": "all-linear"},
], ids=["no padding", "padding", "checkpointing", "held out"])
def test_compiled_layers_learn_what_uncompiled_ones_learn(
    settings: Settings, make_recipe: MakeRecipe, changes: dict[str, Any]
) -> None:
    from torch._dynamo.utils import counters

    recipe = make_recipe(training__max_steps=5, training__learning_rate=3e-3,
                         training__logging_steps=1, **changes)
    counters.clear()
    compiled = learned(settings, recipe.with_values({"speed.compile": True}))
    assert counters["stats"]["unique_graphs"] > 1  # the first only tries the compiler
    plain = learned(settings, recipe.with_values({"speed.fused_layers": False,
                                                  "speed.compile": False}))
    assert compiled.told("are compiled, as asked")
    assert compiled.losses == pytest.approx(plain.losses, rel=1e-5)
    assert compiled.evals == pytest.approx(plain.evals, rel=1e-5)
    assert compiled.apart(plain) < 1e-2
