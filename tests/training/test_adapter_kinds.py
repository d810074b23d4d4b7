"""Each kind of adapter trains the tiny model for real, and is what it was everywhere else.

The loss falls; a stopped run goes on to the very losses of an uninterrupted one; plain PEFT and
Transformers measure the loss that the studio measured at the end; merged it computes the same; and
a chat answers with it what plain PEFT answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.adapters import count_trainable
from studio.adapters.kinds import kind_of
from studio.chat.sampling import Sampling
from studio.chat.session import ChatSession, Column
from studio.errors import ExportError
from studio.export.merge import merge
from studio.models.shape import model_shape
from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.loop import train
from tests.training.conftest import MakeRecipe, losses_of

STEPS = 6
END = 2
"""The tiny tokenizer's <|im_end|>."""
WAYS: dict[str, dict[str, Any]] = {
    "lora": {"training__learning_rate": 1e-2},
    "lora_plus": {"adapter__lora_plus_ratio": 8.0, "training__learning_rate": 2e-3},
    "pissa": {"adapter__init": "pissa", "training__learning_rate": 3e-3},
    "olora": {"adapter__init": "olora", "training__learning_rate": 3e-3},
    "adalora": {"adapter__method": "adalora", "training__learning_rate": 3e-2},
    "vera": {"adapter__method": "vera", "training__learning_rate": 0.1},
    "ia3": {"adapter__method": "ia3", "training__learning_rate": 0.1},
    "oft": {"adapter__method": "oft", "adapter__block_size": 16, "training__learning_rate": 1e-2},
    "prompt_tuning": {"adapter__method": "prompt_tuning", "training__learning_rate": 0.3,
                      "adapter__prompt_text": "pizza and cola"},
    "prefix_tuning": {"adapter__method": "prefix_tuning", "training__learning_rate": 0.3},
    "all_weights": {"adapter__method": "none", "training__learning_rate": 1e-3},
}
MORE_WAYS: dict[str, dict[str, Any]] = {
    "rslora": {"adapter__use_rslora": True, "training__learning_rate": 1e-2},
    "dora": {"adapter__use_dora": True, "training__learning_rate": 1e-2},
    "pissa_rslora": {"adapter__init": "pissa", "adapter__use_rslora": True, "adapter__alpha": 8.0,
                     "training__learning_rate": 3e-3},
    "olora_with_patterns": {"adapter__init": "olora", "adapter__rank_pattern": {"down_proj": 4},
                            "adapter__alpha_pattern": {"q_proj": 9.0},
                            "training__learning_rate": 3e-3},
    "lora_plus_8bit": {"adapter__lora_plus_ratio": 8.0, "training__optimizer": "adamw_8bit",
                       "training__learning_rate": 2e-3},
    "lora_plus_adafactor": {"adapter__lora_plus_ratio": 4.0, "training__optimizer": "adafactor",
                            "training__learning_rate": 1e-2},
    "gaussian": {"adapter__init": "gaussian", "training__learning_rate": 1e-2},
    "one_layer": {"adapter__layers": "1", "training__learning_rate": 1e-2},
    "patterns": {"adapter__rank_pattern": {"down_proj": 4}, "adapter__alpha_pattern": {"q_proj": 9},
                 "training__learning_rate": 1e-2},
    "modules_to_save": {"adapter__modules_to_save": ["norm"], "training__learning_rate": 1e-2},
    "adalora_accumulating": {"adapter__method": "adalora", "training__batch_size": 2,
                             "training__gradient_accumulation": 2, "adapter__dropout": 0.1,
                             "training__learning_rate": 3e-2},
    "prompt_of_words": {"adapter__method": "prompt_tuning", "training__learning_rate": 0.3},
}


@pytest.mark.parametrize("way", WAYS)
def test_each_kind_of_adapter_is_what_it_was_everywhere(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path, way: str
) -> None:
    check_everywhere(settings, recipe_of(make_recipe, WAYS[way]), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("way", MORE_WAYS)
def test_each_variant_is_what_it_was_everywhere(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path, way: str
) -> None:
    check_everywhere(settings, recipe_of(make_recipe, MORE_WAYS[way]), tmp_path)


def recipe_of(make_recipe: MakeRecipe, changes: dict[str, Any]) -> Recipe:
    return make_recipe(training__max_steps=STEPS, data__eval_fraction=0.25, **changes)


def check_everywhere(settings: Settings, recipe: Recipe, tmp_path: Path) -> None:
    run = create_run(settings, recipe, "parts")
    assert train(recipe, run, lambda: run.story().step >= 3, settings=settings) == "stopped"
    assert train(recipe, run, lambda: False, settings=settings, resume=True) == "done"
    whole = create_run(settings, recipe, "whole")
    train(recipe, whole, lambda: False, settings=settings)
    losses = losses_of(whole)
    assert losses_of(run) == losses
    assert min(losses[STEPS], losses[STEPS - 1]) < losses[1]
    shape = model_shape(recipe.model.source, settings)
    assert run.story().plan["trainable"] == count_trainable(recipe, shape).trainable
    plain = plain_model(recipe, run)
    assert plain_loss(plain, recipe, settings) == pytest.approx(run.story().evals[-1][1], rel=1e-4)
    if recipe.adapter.trains_base:
        return
    size = (run.adapter_path / "adapter_model.safetensors").stat().st_size
    if recipe.adapter.method != "adalora":
        assert size == count_trainable(recipe, shape).adapter_bytes
    check_chat(settings, recipe, run, plain)
    if kind_of(recipe.adapter.method).merges:
        check_merged(settings, run, plain, tmp_path / "merged")
    else:
        with pytest.raises(ExportError, match="cannot be merged"):
            merge(run.path, tmp_path / "merged", settings)


def plain_model(recipe: Recipe, run: Run) -> Any:
    """The result as anybody else would load it."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if recipe.adapter.trains_base:
        return AutoModelForCausalLM.from_pretrained(run.adapter_path)
    base = AutoModelForCausalLM.from_pretrained(recipe.model.source)
    return PeftModel.from_pretrained(base, str(run.adapter_path))


def plain_loss(model: Any, recipe: Recipe, settings: Settings) -> float:
    """Mean loss per labelled token of the held-out part, one example at a time."""
    import torch
    from transformers import AutoTokenizer

    from studio.data.prepare import prepare

    held_out = prepare(recipe, AutoTokenizer.from_pretrained(recipe.model.source), settings).eval
    assert held_out is not None
    total, tokens = 0.0, 0
    with torch.no_grad():
        for row in held_out:
            ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
            # Not the model's own loss: PEFT's AdaLoRA cannot be asked for it once it is loaded.
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            predicted = logits[0, -ids.shape[1]:-1].float()  # without those of learned tokens
            total += float(torch.nn.functional.cross_entropy(
                predicted, labels[0, 1:], reduction="sum"))
            tokens += int((labels[:, 1:] != -100).sum())
    return total / tokens


def check_chat(settings: Settings, recipe: Recipe, run: Run, plain: Any) -> None:
    """The base, the adapter and the base again: each answers as if it were alone."""
    import torch

    question = [{"role": "user", "content": "2 pizza"}]
    session = ChatSession(recipe.model, [Column("base"), Column("run", run.adapter_path)], settings)
    try:
        for _ in range(2):
            for _ in session.answer({"base": question, "run": question},
                                    Sampling(temperature=0, max_new_tokens=8)):
                pass
            ids = torch.tensor([session.tokens("<|im_start|>user\n2 pizza<|im_end|>\n"
                                               "<|im_start|>assistant\n")])
            answers = {"run": plain, "base": plain_base(recipe)}
            for name, model in answers.items():
                found = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids),
                                       max_new_tokens=8, do_sample=False)
                new = [token for token in found[0, ids.shape[1]:].tolist() if token != END]
                assert session.turns[name].token_ids == new, name
    finally:
        session.close()


def plain_base(recipe: Recipe) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(recipe.model.source)


def check_merged(settings: Settings, run: Run, plain: Any, output: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        apart = plain(input_ids=ids).logits
        ours = AutoModelForCausalLM.from_pretrained(merge(run.path, output, settings).path)
        theirs = plain.merge_and_unload()
        assert torch.equal(ours(input_ids=ids).logits, theirs(input_ids=ids).logits)
        torch.testing.assert_close(ours(input_ids=ids).logits, apart, rtol=1e-3, atol=1e-4)
