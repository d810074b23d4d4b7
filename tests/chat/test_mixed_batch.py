"""Adapters side by side in one matrix say what PEFT says, and keep out of each other's rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.chat.mixed_batch import speed_up_mixed_batches
from tests.chat.conftest import make_adapter


@pytest.fixture(scope="module")
def folders(tiny_model: Path, adapters: dict[str, Path],
            tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    patterned = make_adapter(tiny_model, tmp_path_factory.mktemp("more") / "rs", seed=6,
                             use_rslora=True, rank_pattern={"q_proj": 2}, lora_bias=False)
    return {"one": adapters["one"], "two": adapters["two"], "rs": patterned}


def _model(base: Path, folders: dict[str, Path], dtype: str) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    for name, folder in folders.items():
        if isinstance(model, PeftModel):
            model.load_adapter(folder, name)
        else:
            model = PeftModel.from_pretrained(model, folder, adapter_name=name)
    return model.eval()


def _logits(model: Any, names: list[str]) -> Any:
    import torch

    torch.manual_seed(0)
    ids = torch.randint(3, 200, (6, 9))[:len(names)]
    with torch.inference_mode():
        return model(input_ids=ids, adapter_names=names).logits.float()


MIXES = [["one", "__base__", "two", "rs", "one", "__base__"], ["rs"], ["__base__", "__base__"],
         ["two", "two", "one"]]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.05)])
def test_every_mix_of_rows_gives_what_peft_gives(
    tiny_model: Path, folders: dict[str, Path], dtype: str, tolerance: float
) -> None:
    model = _model(tiny_model, folders, dtype)
    usual = [_logits(model, names) for names in MIXES]
    speed_up_mixed_batches(model)
    for names, expected in zip(MIXES, usual, strict=True):
        assert (_logits(model, names) - expected).abs().max() < tolerance, names
    assert model.base_model.model.model.layers[0].mlp.up_proj._mixed_batch_forward._plans


def test_adapters_that_come_and_go_are_taken_up_and_let_go(
    tiny_model: Path, folders: dict[str, Path]
) -> None:
    model = _model(tiny_model, folders, "float32")
    speed_up_mixed_batches(model)
    before = _logits(model, ["two", "rs"])
    model.delete_adapter("one")
    speed_up_mixed_batches(model)
    assert (_logits(model, ["two", "rs"]) - before).abs().max() < 1e-5
    layer = model.base_model.model.model.layers[0].self_attn.v_proj
    kept = layer.lora_A["two"].weight.untyped_storage()
    assert kept.data_ptr() == layer.lora_A["rs"].weight.untyped_storage().data_ptr()
    assert kept.nbytes() == 4 * layer.in_features * (8 + 4), "the dropped one is still in memory"
    model.load_adapter(folders["one"], "again")
    speed_up_mixed_batches(model)
    alone = _model(tiny_model, {"one": folders["one"]}, "float32")
    assert (_logits(model, ["again"]) - _logits(alone, ["one"])).abs().max() < 1e-5


def test_numbers_gone_wrong_in_one_adapter_stay_in_its_rows(
    tiny_model: Path, folders: dict[str, Path]
) -> None:
    model = _model(tiny_model, folders, "float32")
    expected = _logits(model, ["__base__", "one"])
    model.base_model.model.model.layers[0].self_attn.v_proj.lora_B["two"].weight.data.fill_(
        float("nan"))
    speed_up_mixed_batches(model)
    found = _logits(model, ["__base__", "one", "two"])
    assert (found[:2] - expected).abs().max() < 1e-5 and found[2].isnan().any()
