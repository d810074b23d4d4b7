"""Columns on a quantised base: each says what it says on that base alone."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from studio.chat.many import answer_all
from studio.chat.session import ChatSession, Column
from studio.recipe import Model
from studio.settings import Settings
from tests.chat.alone import SHORT, greedy_ids


@pytest.fixture(scope="module")
def loud_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with norms that make some inputs large, as those of real models are."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("loud") / "loud-llama"
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    for layer in model.model.layers:
        for norm in (layer.input_layernorm, layer.post_attention_layernorm):
            torch.nn.init.constant_(norm.weight.data, 2.5)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("quantization", "in_turn", "within"), [
    ("8bit", ["base", "one", "two"], 1e-5),
    # The product of packed weights rounds otherwise for other numbers of rows.
    ("4bit", [], 5e-3)])
def test_each_column_answers_as_on_that_base_alone(
    loud_model: Path, adapters: dict[str, Path], settings: Settings,
    quantization: Literal["8bit", "4bit"], in_turn: list[str], within: float
) -> None:
    model = Model(source=str(loud_model), dtype="float32", quantization=quantization)
    columns = [Column("base"), Column("one", adapters["one"]), Column("two", adapters["two"])]
    session = ChatSession(model, columns, settings)
    assert session.in_turn == in_turn
    together = greedy_ids(session)
    asked, ids = dict.fromkeys(together, SHORT), list(range(40, 70))
    scores = session.scores(asked, dict.fromkeys(together, ids))
    for column in columns:
        session.show([column])
        assert greedy_ids(session) == {column.name: together[column.name]}
        alone = session.scores({column.name: SHORT}, {column.name: ids})[column.name]
        assert alone.log_probabilities == pytest.approx(
            scores[column.name].log_probabilities, abs=within)
    assert len({tuple(ids) for ids in together.values()}) == 3
    session.close()


def test_many_prompts_of_one_model_still_share_a_batch(
    loud_model: Path, adapters: dict[str, Path], settings: Settings
) -> None:
    model = Model(source=str(loud_model), dtype="float32", quantization="8bit")
    session = ChatSession(model, [Column("base")], settings)
    answers = answer_all(session, adapters["one"], [SHORT, SHORT], max_new_tokens=4)
    assert len(answers) == 2 and answers[0] == answers[1] != ""
    assert [len(group) for group in session._groups([
        session._row(column, SHORT) for column in session.columns])] == [2]
    session.close()
