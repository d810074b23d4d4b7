"""Up to six columns of every kind at once: each says what that model says loaded alone."""

from __future__ import annotations

from pathlib import Path

from studio.chat.session import ChatSession, Column
from studio.settings import Settings
from tests.chat.alone import SHORT, answer_alone, greedy_ids, model_of
from tests.chat.conftest import make_adapter, make_ia3


def test_six_columns_of_all_kinds_answer_as_their_models_alone(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings, tmp_path: Path
) -> None:
    folders = {
        "base": None, "lora": adapters["one"], "dora": adapters["dora"],
        "rslora": make_adapter(tiny_model, tmp_path / "rs", seed=4, use_rslora=True),
        "head too": make_adapter(tiny_model, tmp_path / "head", seed=5,
                                 target_modules=["q_proj", "lm_head", "embed_tokens"]),
        "ia3": make_ia3(tiny_model, tmp_path / "ia3"),
    }
    session = ChatSession(model_of(tiny_model), [
        Column(name, folder) for name, folder in folders.items()], settings)
    assert session.in_turn == ["dora", "ia3"]
    for _ in range(2):  # kinds take the base from each other and give it back
        answered = greedy_ids(session)
        for name, folder in folders.items():
            assert answered[name] == answer_alone(tiny_model, folder, SHORT), name
    assert len({tuple(ids) for ids in answered.values()}) == 6
    session.close()


def test_a_merged_model_as_a_base_answers_as_its_adapter_did(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    merged = tmp_path / "merged"
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model),
                                      adapters["one"]).merge_and_unload()
    model.save_pretrained(merged)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(merged)
    session = ChatSession(model_of(merged), [Column("merged"), Column("two", adapters["two"])],
                          settings)
    answered = greedy_ids(session)
    assert answered["merged"] == answer_alone(merged, None, SHORT)
    assert answered["merged"] == answer_alone(tiny_model, adapters["one"], SHORT)
    assert answered["two"] == answer_alone(merged, adapters["two"], SHORT)
    session.close()
