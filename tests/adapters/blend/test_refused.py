"""What cannot be mixed is said before anything is loaded, with the reason and the way out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from studio.adapters.blend import METHODS, Mix, Part, blend, plan
from studio.errors import ModelError
from studio.recipe import Recipe, save_recipe
from studio.runs import create_run
from studio.settings import Settings
from tests.chat.conftest import make_adapter
from tests.tiny import make_tiny_model


def refused(match: str, parts: list[Part], mix: Mix | None = None) -> ModelError:
    with pytest.raises(ModelError, match=match) as caught:
        plan(parts, mix or Mix())
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(("options", "reason"), [
    ({"use_dora": True}, "is a DoRA"),
    ({"modules_to_save": ["lm_head"]}, "whole modules that were trained .lm_head."),
    ({"trainable_token_indices": [1]}, "single tokens"),
    ({"lora_bias": True}, "also holds bias terms"),
    ({"init_lora_weights": "olora"}, "trained over a changed base"),
])
def test_a_lora_that_is_not_plain_is_refused_with_the_reason(
    options: dict[str, Any], reason: str, tiny_model: Path, parents: dict[str, Path],
    tmp_path: Path,
) -> None:
    odd = make_adapter(tiny_model, tmp_path / "odd", seed=1, **options)
    refused(reason, [Part(parents["first"]), Part(odd)])


def test_another_kind_is_refused_by_its_name(
    tiny_model: Path, parents: dict[str, Path], tmp_path: Path,
) -> None:
    from peft import IA3Config, get_peft_model
    from transformers import AutoModelForCausalLM

    config = IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj"], feedforward_modules=[])
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), config).save_pretrained(
        tmp_path / "ia3")
    refused("ia3 cannot be mixed: it is of the kind IA³", [Part(parents["first"]),
                                                           Part(tmp_path / "ia3")])


def test_an_adapter_that_belongs_to_a_rounded_base_is_refused(
    parents: dict[str, Path], settings: Settings,
) -> None:
    recipe = Recipe().with_values({"adapter.init": "loftq", "model.quantization": "4bit"})
    run = create_run(settings, recipe, "rounded")
    shutil.copytree(parents["first"], run.adapter_path)
    refused("LoftQ", [Part(run.path), Part(parents["second"])])


def test_adapters_of_two_bases_are_refused_by_name_or_by_size(
    parents: dict[str, Path], tmp_path: Path,
) -> None:
    base = make_tiny_model(tmp_path / "broad", hidden=32)
    broad = make_adapter(base, tmp_path / "adapter", seed=1)
    refused(r"first was trained on .*, and adapter on .*broad", [Part(parents["first"]),
                                                                 Part(broad)])
    config = json.loads((broad / "adapter_config.json").read_text("utf-8"))
    (broad / "adapter_config.json").write_text(
        json.dumps(config | {"base_model_name_or_path": None}), "utf-8")
    refused("of different size: .* 64 outputs for one, .* 32 for the other",
            [Part(parents["first"]), Part(broad)])


def test_a_run_and_its_checkpoint_have_one_base_though_they_name_it_apart(
    parents: dict[str, Path], settings: Settings,
) -> None:
    recipe = Recipe().with_values({"model.source": "somebody/some-model"})
    run = create_run(settings, recipe, "of the hub")
    checkpoint = run.checkpoint_path / "checkpoint-2"
    for parent, folder, base in (("first", run.adapter_path, "somebody/some-model"),
                                 ("second", checkpoint, "/a/cache/of/it")):
        shutil.copytree(parents[parent], folder)
        config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        (folder / "adapter_config.json").write_text(
            json.dumps(config | {"base_model_name_or_path": base}), "utf-8")
    save_recipe(recipe, checkpoint / "recipe.yaml")
    (checkpoint / "complete.json").write_text("{}", "utf-8")
    planned = plan([Part(run.path), Part(checkpoint, 0.5)], Mix())
    assert planned.words == f"1 {run.name} + 0.5 {run.name}/checkpoint-2 by svd"


@pytest.mark.parametrize("method", [name for name, one in METHODS.items() if one.same_rank])
def test_methods_that_need_one_rank_say_which_layer_has_two_and_what_to_take(
    method: str, parents: dict[str, Path],
) -> None:
    error = refused("same rank, but on model.layers.0.self_attn.q_proj first has 4, wide has 8",
                    [Part(parents["first"]), Part(parents["wide"])], Mix(method))
    other = "svd or cat" if method == "linear" else f"{method}_svd"
    assert other in error.hint


@pytest.mark.parametrize(("mix", "match"), [
    (Mix("tie"), "no way of mixing named 'tie'"),
    (Mix("svd", density=0.5), "a density means nothing"),
    (Mix("ties", density=0.0), "density is 0.0"),
    (Mix("ties", density=1.5), "density is 1.5"),
    (Mix("cat", rank=8), "rank of a blend by cat follows"),
    (Mix("svd", rank=0), "rank is 0"),
])
def test_values_that_a_method_cannot_take_are_named(
    mix: Mix, match: str, parents: dict[str, Path],
) -> None:
    refused(match, [Part(parents["first"]), Part(parents["second"])], mix)


def test_no_parts_the_same_twice_and_weights_without_meaning_are_named(
    parents: dict[str, Path], tmp_path: Path,
) -> None:
    first, second = parents["first"], parents["second"]
    refused("needs an adapter", [])
    refused("named twice", [Part(first), Part(first)])
    refused("weights are 0, 0", [Part(first, 0), Part(second, 0)])
    refused("weights are nan, 1", [Part(first, float("nan")), Part(second)])
    refused("no adapter folder", [Part(first), Part(tmp_path / "nowhere")])


def test_a_parent_with_pickled_weights_or_other_words_leaves_no_blend(
    parents: dict[str, Path], settings: Settings, tmp_path: Path,
) -> None:
    from safetensors.torch import load_file, save_file

    pickled = shutil.copytree(parents["first"], tmp_path / "pickled")
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    refused("pickle", [Part(pickled), Part(parents["second"])])
    odd = shutil.copytree(parents["other words"], tmp_path / "odd")
    tensors = load_file(odd / "adapter_model.safetensors")
    tensors["base_model.model.model.embed_tokens.base_layer.weight"] += 1
    save_file(tensors, odd / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="holds other words of the base than words"):
        blend("odd", [Part(parents["words"]), Part(odd)], Mix(), settings)
    assert list(settings.adapters.iterdir()) == []
