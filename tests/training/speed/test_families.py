"""Models that are built otherwise than a Llama learn the same with all speed-ups and with none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.settings import Settings
from tests.adapters.families import config_of
from tests.tiny import make_tokenizer
from tests.training.conftest import MakeRecipe
from tests.training.speed.learned import PLAIN, learned

_NOTHING_DROPPED = {"resid_pdrop": 0.0, "attn_pdrop": 0.0, "embd_pdrop": 0.0}
"""Padded rows would draw other random numbers."""
_FAMILIES: dict[str, dict[str, Any]] = {
    # Learned places, Conv1D instead of linear layers: nothing to fuse.
    "gpt2": {"n_positions": 512, **_NOTHING_DROPPED},
    # Layers that see only a few tokens back, norms times 1 + weight.
    "gemma3": {"sliding_window": 8, "max_position_embeddings": 512},
    # Queries, keys and values of one layer, attention and feed-forward side by side.
    "gpt_neox": {"max_position_embeddings": 512},
}
_MORE: dict[str, dict[str, Any]] = {
    # Scores held within bounds, those of attention as well.
    "gemma2": {"sliding_window": 8, "max_position_embeddings": 512},
    "phi3": {"max_position_embeddings": 512, **_NOTHING_DROPPED},
    "opt": {"max_position_embeddings": 512, "dropout": 0.0},
    "falcon": {"max_position_embeddings": 512},
    "bloom": {},
    "mixtral": {"max_position_embeddings": 512},
    "qwen3_moe": {"max_position_embeddings": 512},
    "deepseek_v3": {"max_position_embeddings": 512},
    "gpt_oss": {"max_position_embeddings": 512},
}
_NOT_FUSED = ("gpt2", "falcon")
_PADDED = ("falcon", "bloom", "gpt_oss")
"""Their examples would see each other in one row."""


def _make_model(folder: Path, family: str) -> Path:
    """A tiny random model of the family with the tiny tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = make_tokenizer()
    config = config_of(family, vocab_size=len(tokenizer), bos_token_id=None,
                       eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
                       **(_FAMILIES | _MORE)[family])
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", [
    *_FAMILIES, *(pytest.param(family, marks=pytest.mark.slow) for family in _MORE)])
def test_all_speed_ups_together_learn_what_the_plain_path_learns(
    settings: Settings, make_recipe: MakeRecipe, tmp_path: Path, family: str
) -> None:
    recipe = make_recipe(model__source=str(_make_model(tmp_path / family, family)),
                         training__max_steps=4, training__learning_rate=3e-3,
                         training__logging_steps=1)
    fast = learned(settings, recipe)
    plain = learned(settings, recipe.with_values(PLAIN))
    assert fast.told("No padding") == (family not in _PADDED)
    assert fast.told("Fused layers") == (family not in _NOT_FUSED)
    assert fast.losses == pytest.approx(plain.losses, rel=2e-6)
    assert fast.apart(plain) < 1e-3
