"""An importance matrix: measured on the person's data, and k-quants lose less where it is high."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio.device import pick_device
from studio.errors import DataError
from studio.export.gguf import write_ggufs
from studio.export.imatrix import Importance, write_importance
from studio.recipe import Data
from studio.settings import Settings
from tests.training.conftest import write_orders

NAME = "blk.1.ffn_gate.weight"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Some orders as a person's own training data."""
    return Data(source=str(write_orders(tmp_path_factory.mktemp("orders") / "orders.jsonl")))


def test_the_matrix_is_the_mean_square_of_what_enters_each_layer(
    wide_model: Path, data: Data, settings: Settings, tmp_path: Path
) -> None:
    import libgguf

    notes = write_importance(wide_model, tmp_path / "imatrix.gguf",
                             Importance(data, rows=2, row_tokens=64), settings)
    assert "128 tokens" in notes[0]
    found = libgguf.load_imatrix(tmp_path / "imatrix.gguf")
    layers = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    assert set(found) == {f"blk.{block}.{layer}.weight" for block in (0, 1) for layer in layers}
    within = 1e-4 if pick_device().fast_dtype == "float32" else 5e-2
    assert found[NAME] == pytest.approx(_measured(wide_model, data, settings), rel=within)


def _measured(model: Path, data: Data, settings: Settings) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from studio.export.calibration import calibration_rows

    rows = calibration_rows(data, AutoTokenizer.from_pretrained(model), settings, rows=2,
                            row_tokens=64)
    loaded = AutoModelForCausalLM.from_pretrained(model)
    entered: list[Any] = []
    loaded.model.layers[1].mlp.gate_proj.register_forward_hook(
        lambda module, given, made: entered.append(given[0]))
    with torch.no_grad():
        loaded(torch.tensor(rows))
    return entered[0].square().mean((0, 1)).numpy()


@pytest.mark.slow
def test_k_quants_lose_less_where_the_data_need_it(
    wide_model: Path, data: Data, settings: Settings, tmp_path: Path
) -> None:
    outputs = {outtype: tmp_path / f"plain-{outtype}.gguf" for outtype in ("f32", "q2_k")}
    plain = write_ggufs(wide_model, outputs, settings)
    careful = write_ggufs(wide_model, {"q2_k": tmp_path / "careful.gguf"}, settings,
                          importance=Importance(data, rows=2, row_tokens=64))["q2_k"]
    assert "importance matrix" in careful.notes[0] and not plain["q2_k"].notes
    weight = _measured(wide_model, data, settings)
    exact = _numbers(plain["f32"].path)
    errors = [float(((_numbers(file) - exact) ** 2 * weight).sum())
              for file in (careful.path, plain["q2_k"].path)]
    assert errors[0] < 0.9 * errors[1]


def _numbers(file: Path) -> Any:
    from gguf import GGUFReader
    from gguf.quants import dequantize

    found = next(one for one in GGUFReader(file).tensors if one.name == NAME)
    return np.asarray(dequantize(found.data, found.tensor_type))


def test_data_that_are_gone_are_a_sentence_and_nothing_is_left(
    wide_model: Path, settings: Settings, tmp_path: Path
) -> None:
    gone = Importance(Data(source=str(tmp_path / "gone.jsonl")))
    with pytest.raises(DataError, match="gone"):
        write_ggufs(wide_model, {"q4_k_m": settings.exports / "a.gguf"}, settings, importance=gone)
    assert list(settings.exports.iterdir()) == []
