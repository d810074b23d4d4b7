"""A column's strength is a factor on what its adapter adds, and moving it loads nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from studio.chat.session import ChatSession, Column
from studio.errors import ModelError
from studio.recipe import Model
from studio.settings import Settings
from tests.chat.alone import SHORT, answer_alone, greedy_ids, model_of


def _halved(adapter: Path, folder: Path) -> Path:
    from safetensors.torch import load_file, save_file

    shutil.copytree(adapter, folder)
    file = folder / "adapter_model.safetensors"
    save_file({name: tensor / 2 if "lora_B" in name else tensor
               for name, tensor in load_file(file).items()}, file)
    return folder


def test_strengths_of_one_adapter_answer_side_by_side_as_models_made_for_them(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings, tmp_path: Path
) -> None:
    one = adapters["one"]
    session = ChatSession(model_of(tiny_model), [
        Column("off", one, 0), Column("half", one, 0.5), Column("full", one), Column("base")],
        settings)
    answered = greedy_ids(session)
    assert session.in_turn == []
    assert answered["off"] == answered["base"] == answer_alone(tiny_model, None, SHORT)
    assert answered["full"] == answer_alone(tiny_model, one, SHORT)
    halved = _halved(one, tmp_path / "halved")
    assert answered["half"] == answer_alone(tiny_model, halved, SHORT)
    assert answered["half"] not in (answered["base"], answered["full"])
    layer = session._weights.model.get_base_model().model.layers[0].self_attn.q_proj
    stored = {module.weight.data_ptr() for module in layer.lora_B.values()}
    assert len(layer.lora_B) == 3 and len(stored) == 1, "the same weights are in memory again"
    session.close()


def test_a_strength_is_changed_between_answers_without_the_folder(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings, tmp_path: Path
) -> None:
    folder = shutil.copytree(adapters["one"], tmp_path / "one")
    session = ChatSession(model_of(tiny_model), [Column("base"), Column("it", folder)], settings)
    full = greedy_ids(session)
    shutil.rmtree(folder)
    session.set_strength("it", 0)
    assert greedy_ids(session)["it"] == full["base"]
    session.set_strength("it", 2)
    assert greedy_ids(session)["it"] not in (full["base"], full["it"])
    session.set_strength("it", 1)
    assert greedy_ids(session) == full
    session.close()


@pytest.mark.parametrize("options", [{"use_rslora": True}, {"use_rslora": True, "rank_pattern": {
    "q_proj": 2}, "alpha_pattern": {"v_proj": 3}}], ids=["rslora", "patterns"])
def test_a_half_is_half_of_the_scale_that_each_layer_was_trained_with(
    tiny_model: Path, settings: Settings, tmp_path: Path, options: dict[str, object]
) -> None:
    from tests.chat.conftest import make_adapter

    adapter = make_adapter(tiny_model, tmp_path / "a", seed=9, **options)
    session = ChatSession(model_of(tiny_model), [Column("half", adapter, 0.5)], settings)
    assert greedy_ids(session)["half"] == answer_alone(tiny_model, _halved(adapter, tmp_path / "b"),
                                                 SHORT)
    session.close()


def test_a_kind_without_a_scale_is_refused_with_the_reason(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings
) -> None:
    session = ChatSession(model_of(tiny_model), [Column("base"), Column("dora", adapters["dora"])],
                          settings)
    before = list(session.columns)
    with pytest.raises(ModelError, match=r"strength 0\.5: DoRA sets the size"):
        session.set_strength("dora", 0.5)
    with pytest.raises(ModelError, match=r"strength 0\.5: DoRA sets the size"):
        ChatSession(Model(source=str(tiny_model)), [Column("d", adapters["dora"], 0.5)], settings)
    assert session.columns == before and greedy_ids(session)["dora"]
    with pytest.raises(ModelError, match="no column other"):
        session.set_strength("other", 0.5)
    with pytest.raises(ModelError, match="between 0 and 2"):
        session.set_strength("base", 2.5)
    session.close()
