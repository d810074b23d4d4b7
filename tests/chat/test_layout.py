"""Matrices that are turned in memory for many columns are the same matrices, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from studio.chat.layout import LEAST_ROWS, turnable
from studio.chat.session import ChatSession, Column
from studio.settings import Settings
from tests.chat.alone import SHORT, answer_alone, greedy_ids, model_of


def _linear(session: ChatSession) -> Any:
    model = session._weights.model
    inner = model if not hasattr(model, "get_base_model") else model.get_base_model()
    layer = inner.model.layers[0].mlp.up_proj
    return getattr(layer, "base_layer", layer)


def test_many_columns_turn_the_base_and_answer_as_before(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings
) -> None:
    session = ChatSession(model_of(tiny_model), [Column("base"), Column("one", adapters["one"])],
                          settings)
    assert _linear(session).weight.is_contiguous()
    can_turn = bool(session._weights._unturned)
    usual = greedy_ids(session)
    columns = [Column("base"), *(Column(name, adapters[name[:3]], strength) for name, strength in
                                 (("one", 1.0), ("two", 1.0), ("one, weaker", 0.5)))]
    assert len(columns) == LEAST_ROWS
    session.show(columns)
    assert _linear(session).weight.is_contiguous() is not can_turn
    assert not session._weights._unturned, "they would be turned again"
    found = greedy_ids(session)
    assert found["base"] == usual["base"] and found["one"] == usual["one"]
    assert found["two"] == answer_alone(tiny_model, adapters["two"], SHORT)
    session.show([Column("base")])
    assert greedy_ids(session)["base"] == usual["base"]
    session.close()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sixteen_bits_stay_as_they_are(tiny_model: Path, dtype: str) -> None:
    from transformers import AutoModelForCausalLM

    assert not turnable(AutoModelForCausalLM.from_pretrained(tiny_model, dtype=dtype))
