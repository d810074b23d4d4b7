"""The closed-form count against PEFT's own, over families, methods and target choices."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from studio.adapters import count_trainable, peft_config
from studio.adapters.targets import _EXPERT_NAMES
from studio.errors import ModelError
from studio.models.shape import ModelShape, meta_model, model_shape, shape_of_config
from studio.recipe import Recipe
from studio.settings import Settings
from tests.adapters.families import FAMILIES, MIXTURES, config_of

WAYS: dict[str, dict[str, Any]] = {
    "all linear": {},
    "attention": {"targets": "attention", "rank": 3},
    "rank-stabilised": {"use_rslora": True, "rank": 5},
    "every bias": {"bias": "all", "targets": "attention"},
    "biases of the adapted": {"bias": "lora_only", "targets": "attention"},
    "weight-decomposed": {"use_dora": True, "targets": "attention"},
    "norms in full": {"modules_to_save": ["norm"], "targets": "attention"},
}


def recipe_with(**adapter: Any) -> Recipe:
    return Recipe.model_validate({"model": {"dtype": "bfloat16"}, "adapter": adapter})


def count_by_peft(config: Any, recipe: Recipe, shape: ModelShape) -> tuple[int, int]:
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    chosen = peft_config(recipe.adapter, shape)
    if recipe.adapter.method != "lora":
        # Some are no longer what they are without memory: AdaLoRA would train its constants.
        return get_peft_model(AutoModelForCausalLM.from_config(config),
                              chosen).get_nb_trainable_parameters()
    chosen.init_lora_weights = False
    return get_peft_model(meta_model(config), chosen).get_nb_trainable_parameters()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_count_equals_pefts_own(family: str, way: str) -> None:
    config = config_of(family)
    shape = shape_of_config(config)
    values = dict(WAYS[way])
    if "modules_to_save" in values:
        values["modules_to_save"] = [_a_norm_of(shape)]
    recipe = recipe_with(**values)
    count = count_trainable(recipe, shape)
    assert (count.trainable, count.total) == count_by_peft(config, recipe, shape)
    assert count.percent == pytest.approx(100 * count.trainable / count.total)


def _a_norm_of(shape: ModelShape) -> str:
    names = [path.rsplit(".", 1)[-1] for path in shape.modules]
    return next(name for name in names if "norm" in name or name.startswith("ln_"))


PROMISED = ("llama", "llama_tied_with_biases", "mistral", "qwen2", "qwen3", "gemma2", "gemma3",
            "phi3", "gpt2", "gpt_neox", "falcon", "opt", "bloom", "mixtral", "qwen3_moe")
BIASES = ("none", "all", "lora_only")
SAVED: tuple[tuple[int, ...], ...] = ((), (0,), (-1,), (0, -1))
"""Places in `named_only`: the token embedding is first, the output head last."""


def options(family: str) -> list[dict[str, Any]]:
    """Every target choice with every saved module; tying, bias and DoRA take turns.

    Each family begins elsewhere, so that over the families each pair of options meets.
    """
    start = PROMISED.index(family)
    product = itertools.product(("attention", "all-linear", "named"), SAVED)
    return [{"tied": turn % 2 == 0, "targets": targets, "saved": saved, "bias": BIASES[turn % 3],
             "use_dora": turn // 3 % 2 == 0}
            for turn, (targets, saved) in enumerate(product, start)]


def every_option() -> list[dict[str, Any]]:
    """The whole product."""
    names = ("tied", "targets", "saved", "bias", "use_dora")
    return [dict(zip(names, values, strict=True)) for values in itertools.product(
        (True, False), ("attention", "all-linear", "named"), SAVED, BIASES, (True, False))]


def compare_with_peft(family: str, chosen: list[dict[str, Any]]) -> None:
    config = {tied: config_of(family, tie_word_embeddings=tied) for tied in (True, False)}
    shapes = {tied: shape_of_config(one) for tied, one in config.items()}
    for option in chosen:
        shape = shapes[option["tied"]]
        adapter = {key: option[key] for key in ("targets", "bias", "use_dora")}
        adapter["modules_to_save"] = [shape.named_only[at].name for at in option["saved"]]
        if adapter["targets"] == "named":
            adapter["targets"] = [shape.linears[0].name, shape.linears[-1].name]
        if shape.stacked and adapter["targets"] != "attention":
            adapter["use_dora"] = False  # PEFT cannot on stacked experts; refused, see below
        recipe = recipe_with(rank=4, **adapter)
        count = count_trainable(recipe, shape)
        assert (count.trainable, count.total) == count_by_peft(
            config[option["tied"]], recipe, shape), option


@pytest.mark.parametrize("family", PROMISED)
def test_options_together_count_as_in_peft(family: str) -> None:
    compare_with_peft(family, options(family))


@pytest.mark.slow
@pytest.mark.parametrize("family", PROMISED)
def test_every_combination_of_options_counts_as_in_peft(family: str) -> None:
    compare_with_peft(family, every_option())


@pytest.mark.parametrize("family", ["llama", "llama_tied_with_biases", "gpt2", "opt", "qwen2"])
@pytest.mark.parametrize("part", ["head", "embeddings", "both"])
def test_modules_trained_in_full_are_counted_as_peft_counts_them(family: str, part: str) -> None:
    config = config_of(family)
    shape = shape_of_config(config)
    embedding, head = shape.named_only[0].name, shape.named_only[-1].name
    names = {"head": [head], "embeddings": [embedding], "both": [embedding, head]}[part]
    recipe = recipe_with(modules_to_save=names, bias="all")
    count = count_trainable(recipe, shape)
    assert (count.trainable, count.total) == count_by_peft(config, recipe, shape)


@pytest.mark.parametrize("targets", [
    ["q_proj"], ["q_proj", "v_proj"], ["self_attn.o_proj"], ["model.layers.1.mlp.down_proj"],
    ["lm_head", "q_proj"], ["embed_tokens", "v_proj"],
])
def test_named_targets_match_as_in_peft(targets: list[str]) -> None:
    config = config_of("llama")
    shape = shape_of_config(config)
    recipe = recipe_with(targets=targets)
    count = count_trainable(recipe, shape)
    assert (count.trainable, count.total) == count_by_peft(config, recipe, shape)


def test_embeddings_adapted_with_dora_count_as_in_peft() -> None:
    config = config_of("llama")
    shape = shape_of_config(config)
    recipe = recipe_with(targets=["embed_tokens", "q_proj"], use_dora=True)
    assert count_trainable(recipe, shape).trainable == count_by_peft(config, recipe, shape)[0]


def test_old_names_of_experts_are_still_targets() -> None:
    config = config_of("mixtral")
    shape = shape_of_config(config)
    recipe = recipe_with(targets=["q_proj", "w1", "w3", "w2"])
    assert count_trainable(recipe, shape).trainable == count_by_peft(config, recipe, shape)[0]


def test_the_table_of_expert_names_is_pefts() -> None:
    from peft.utils import transformers_weight_conversion as theirs
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    for model_type, like in theirs._MODEL_TO_CONVERSION_PATTERN.items():
        names = theirs._MOE_TARGET_MODULE_MAPPING.get(like)
        if names and model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            assert _EXPERT_NAMES.get(model_type) == names, model_type


def test_half_of_a_fused_pair_is_refused_with_both_names() -> None:
    shape = shape_of_config(config_of("qwen3_moe"))
    with pytest.raises(ModelError, match="gate_proj and up_proj"):
        count_trainable(recipe_with(targets=["gate_proj"]), shape)


@pytest.mark.parametrize("family", MIXTURES)
@pytest.mark.parametrize("switch", [{"dropout": 0.1}, {"use_dora": True}])
def test_what_experts_cannot_do_is_said_before_peft_fails(
    family: str, switch: dict[str, Any]
) -> None:
    shape = shape_of_config(config_of(family))
    with pytest.raises(ModelError, match="experts"):
        peft_config(recipe_with(**switch).adapter, shape)


def test_training_every_weight_counts_every_weight() -> None:
    shape = shape_of_config(config_of("llama"))
    count = count_trainable(recipe_with(method="none"), shape)
    assert count.trainable == count.total == shape.parameters
    assert count.percent == 100


def test_the_starter_is_counted_before_it_is_fetched(settings: Settings) -> None:
    shape = model_shape("starter", settings)
    assert shape.parameters == 134_515_008
    assert count_trainable(recipe_with(), shape).trainable == 4_884_480
    assert not settings.models.exists()


SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "all linear": ("llama", {}),
    "dora": ("llama_tied_with_biases", {"use_dora": True}),
    "every bias": ("gpt2", {"bias": "all"}),
    "biases of the adapted": ("qwen2", {"bias": "lora_only"}),
    "head in full": ("llama", {"modules_to_save": ["lm_head", "embed_tokens"]}),
    "norms in full with biases": ("gpt2", {"modules_to_save": ["ln_f"], "bias": "all"}),
    "adapted embeddings": ("llama", {"targets": ["embed_tokens", "lm_head", "q_proj"]}),
    "experts": ("qwen3_moe", {}),
    "router and experts": ("mixtral", {"rank": 7}),
    "ranks of single modules": ("llama", {"rank_pattern": {"down_proj": 5}}),
    "one layer": ("gpt2", {"layers": "1"}),
    "vera": ("llama", {"method": "vera", "rank": 9}),
    "vera on one layer": ("qwen3", {"method": "vera", "layers": "0", "bias": "lora_only"}),
    "ia3": ("gpt2", {"method": "ia3"}),
    "oft": ("llama", {"method": "oft", "block_size": 8, "modules_to_save": ["norm"]}),
    "prompt tuning": ("llama", {"method": "prompt_tuning", "virtual_tokens": 6}),
    "prefix tuning": ("qwen3", {"method": "prefix_tuning", "virtual_tokens": 6}),
}


@pytest.mark.parametrize("case", SIZES)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_the_size_on_disk_is_that_of_a_really_saved_adapter(
    case: str, dtype: str, tmp_path: Path
) -> None:
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    family, adapter = SIZES[case]
    config = config_of(family)
    shape = shape_of_config(config)
    recipe = Recipe.model_validate({"model": {"dtype": dtype}, "adapter": adapter})
    base = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model = get_peft_model(base, peft_config(recipe.adapter, shape))
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # as a run does
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    saved = (tmp_path / "adapter_model.safetensors").stat().st_size
    assert count_trainable(recipe, shape).adapter_bytes == saved
