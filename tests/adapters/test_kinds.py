"""Every kind of adapter against PEFT: its count over model families, and what it refuses."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from studio.adapters import count_trainable
from studio.adapters.kinds import KINDS, describe, kind_of_peft, variants_of
from studio.errors import ModelError, RecipeError
from studio.models.shape import shape_of_config
from studio.recipe import Adapter, Recipe
from studio.recipe.adapter import Kind
from tests.adapters.families import FAMILIES, config_of
from tests.adapters.test_count import count_by_peft, recipe_with

WAYS: dict[str, dict[str, Any]] = {
    "adalora": {"method": "adalora", "rank": 4},
    "adalora from a chosen rank": {"method": "adalora", "rank": 3, "initial_rank": 7,
                                   "targets": "attention", "bias": "all"},
    "vera": {"method": "vera", "rank": 8, "bias": "lora_only"},
    "vera in one layer": {"method": "vera", "layers": "0"},
    "ia3": {"method": "ia3"},
    "ia3 on attention": {"method": "ia3", "targets": "attention"},
    "oft": {"method": "oft", "block_size": 8},
    "oft in one layer": {"method": "oft", "block_size": 4, "layers": "1", "targets": "attention"},
    "prompt tuning": {"method": "prompt_tuning", "virtual_tokens": 7},
    "prefix tuning": {"method": "prefix_tuning", "virtual_tokens": 3},
    "lora in one layer": {"layers": "1", "use_dora": True, "targets": "attention"},
}
CANNOT = {("gpt2", "oft"), ("gpt2", "oft in one layer"), ("falcon", "prefix tuning"),
          ("deepseek_v3", "prefix tuning"), ("opt_with_narrow_embeddings", "prompt tuning")}
# In this tiny one PEFT takes a matrix of the image part for the vocabulary, which is as long.
UNLUCKY = {("gemma3_with_images", "prompt tuning"), ("gemma3_with_images", "prefix tuning")}


def test_the_table_has_a_row_for_every_choice_of_the_recipe() -> None:
    assert set(KINDS) == set(get_args(Kind))
    assert all(kind.summary.endswith(".") and kind.good_for.endswith(".") and kind.memory
               for kind in KINDS.values())
    assert kind_of_peft("ia3") is KINDS["ia3"]
    assert kind_of_peft("LOHA") is None


def test_an_adapter_is_described_with_all_that_it_is() -> None:
    assert describe(Adapter()) == "LoRA rank 16"
    assert describe(Adapter(use_dora=True, lora_plus_ratio=16)) == "DoRA and LoRA+ rank 16"
    assert describe(Adapter(method="oft")) == "OFT in blocks of 32"
    assert [variant.label for variant in variants_of(Adapter(init="olora"))] == ["OLoRA"]


@pytest.mark.parametrize("family", FAMILIES)
def test_each_kind_counts_as_in_peft(family: str) -> None:
    config = config_of(family)
    shape = shape_of_config(config)
    for way, values in WAYS.items():
        if (family, way) in UNLUCKY:
            continue
        recipe = recipe_with(**values)
        if (family, way) in CANNOT:
            with pytest.raises(ModelError):
                count_trainable(recipe, shape)
            continue
        if shape.stacked and way == "lora in one layer":
            recipe = recipe_with(layers="1", targets="attention")
        count = count_trainable(recipe, shape)
        assert (count.trainable, count.total) == count_by_peft(config, recipe, shape), way


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "phi3", "bloom"])
def test_ranks_of_single_modules_count_as_in_peft(family: str) -> None:
    config = config_of(family)
    shape = shape_of_config(config)
    last, first = shape.linears[-1].name, shape.linears[0].modules[-1]
    recipe = recipe_with(rank=4, rank_pattern={last: 9, first: 2}, alpha_pattern={last: 5})
    count = count_trainable(recipe, shape)
    assert (count.trainable, count.total) == count_by_peft(config, recipe, shape)


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "a layer that is not there": ({"layers": "1-2"}, "has 2", "0 to 1"),
    "a pattern without a match": ({"rank_pattern": {"dwn_proj": 4}}, "dwn_proj", "down_proj"),
    "a pattern that is no pattern": ({"alpha_pattern": {"(": 4}}, "cannot be read", "down_proj"),
    "blocks that do not divide": ({"method": "oft", "block_size": 12}, "12 does not", "8, 16"),
    "an end as wide as the start": ({"method": "adalora", "initial_rank": 16}, "begins wider",
                                    "above 16"),
    "more directions than there are": ({"init": "pissa", "rank": 33}, "at most", "Lower"),
    "pissa with dora": ({"init": "pissa", "use_dora": True}, "DoRA", "use_dora"),
    "an embedding for another kind": ({"method": "vera", "targets": ["embed_tokens"]},
                                      "embedding", "adapter.targets"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_said_with_what_to_do(case: str) -> None:
    values, what, hint = REFUSED[case]
    with pytest.raises(ModelError) as caught:
        count_trainable(recipe_with(**values), shape_of_config(config_of("llama")))
    assert what in caught.value.message
    assert hint in caught.value.hint


OTHER_CHOICES: dict[str, dict[str, Any]] = {
    "pissa over 4 bits": {"adapter.init": "pissa", "model.quantization": "4bit"},
    "loftq without 4 bits": {"adapter.init": "loftq"},
    "packing with prompt tuning": {"adapter.method": "prompt_tuning", "data.packing": True},
    "prefix tuning that recomputes": {"adapter.method": "prefix_tuning",
                                      "training.gradient_checkpointing": True},
}


@pytest.mark.parametrize("case", OTHER_CHOICES)
def test_what_does_not_go_with_other_choices_is_refused(case: str) -> None:
    recipe = Recipe().with_values(OTHER_CHOICES[case])
    with pytest.raises(RecipeError):
        count_trainable(recipe, shape_of_config(config_of("llama")))
