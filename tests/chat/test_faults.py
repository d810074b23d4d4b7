"""What goes wrong while people chat is a sentence, and the chat goes on afterwards."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

import pytest

from studio.chat.sampling import Sampling
from studio.chat.session import ChatSession, Column
from studio.errors import BusyError, ModelError
from studio.settings import Settings
from tests.chat.alone import GREEDY, SHORT, answer_alone, greedy_ids, model_of
from tests.chat.conftest import make_ia3

ENDLESS = Sampling(temperature=5, top_k=0, top_p=1, max_new_tokens=400, seed=1)


def test_a_folder_that_disappears_is_missed_only_when_it_is_read_again(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings, tmp_path: Path
) -> None:
    gone = shutil.copytree(adapters["one"], tmp_path / "gone")
    dora = shutil.copytree(adapters["dora"], tmp_path / "dora")
    session = ChatSession(model_of(tiny_model), [Column("base"), Column("gone", gone)], settings)
    shutil.rmtree(gone)
    assert greedy_ids(session, "gone")["gone"] == answer_alone(tiny_model, adapters["one"], SHORT)
    shutil.rmtree(dora)
    with pytest.raises(ModelError, match="no adapter folder"):
        session.show([Column("base"), Column("dora", dora)])
    assert greedy_ids(session, "base", "gone")["base"] == answer_alone(tiny_model, None, SHORT)
    session.close()


def test_a_folder_that_disappears_before_its_kind_takes_its_turn_is_a_sentence(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    kinds = [make_ia3(tiny_model, tmp_path / name) for name in ("a", "b")]
    session = ChatSession(model_of(tiny_model), [
        Column("base"), *(Column(folder.name, folder) for folder in kinds)], settings)
    assert session.in_turn == ["a", "b"]
    shutil.rmtree(kinds[0])
    with pytest.raises(ModelError, match="no adapter folder"):
        greedy_ids(session, "base", "a")
    assert not session.is_broken and not session.is_answering
    answered = greedy_ids(session, "base", "b")
    assert answered["base"] == answer_alone(tiny_model, None, SHORT)
    assert answered["b"] == answer_alone(tiny_model, kinds[1], SHORT)
    session.close()


def test_foreign_files_in_an_adapter_folder_are_left_alone(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings, tmp_path: Path
) -> None:
    folder = shutil.copytree(adapters["one"], tmp_path / "checkpoint-4")
    (folder / "modeling_own.py").write_text("raise SystemExit('run')", encoding="utf-8")
    (folder / "optimizer.pt").write_bytes(b"no pickle is opened")
    (folder / "adapter_model.bin").write_bytes(b"nor this one")
    (folder / "trainer_state.json").write_text("{", encoding="utf-8")
    session = ChatSession(model_of(tiny_model), [Column("it", folder)], settings)
    assert greedy_ids(session, "it")["it"] == answer_alone(tiny_model, adapters["one"], SHORT)
    session.close()


def test_a_broken_tokenizer_of_an_adapter_is_a_sentence_and_the_columns_stay(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings, tmp_path: Path
) -> None:
    folder = shutil.copytree(adapters["two"], tmp_path / "two")
    (folder / "tokenizer_config.json").write_text("{", encoding="utf-8")
    session = ChatSession(model_of(tiny_model), [Column("one", adapters["one"])], settings)
    with pytest.raises(ModelError, match="tokenizer"):
        session.show([Column("two", folder)])
    assert [column.name for column in session.columns] == ["one"]
    assert greedy_ids(session, "one")["one"] == answer_alone(tiny_model, adapters["one"], SHORT)
    session.close()


def test_a_template_that_fails_is_a_sentence(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    folder = shutil.copytree(adapters["one"], tmp_path / "picky")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    session = None
    for template, words in (("{{ raise_exception('no system prompt') }}", "no system prompt"),
                            ("{% for message in messages %}", "template"),
                            ("{{ messages[0]['content'] / 2 }}", "template")):
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
        session = ChatSession(model_of(tiny_model), [Column("base"), Column("picky", folder)],
                              settings)
        with pytest.raises(ModelError, match=words):
            list(session.answer({"base": SHORT, "picky": SHORT}, GREEDY))
        assert not session.is_answering and greedy_ids(session, "base")["base"]
        session.close()


def test_whoever_asks_second_is_told_and_the_first_answer_is_the_same(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings
) -> None:
    session = ChatSession(model_of(tiny_model), [Column("base"), Column("one", adapters["one"])],
                          settings)
    undisturbed = greedy_ids(session, "base", "one")
    first = session.answer({"base": SHORT, "one": SHORT}, GREEDY)
    next(first)
    for ask in (lambda: next(session.answer({"one": SHORT}, GREEDY)),
                lambda: session.set_strength("one", 0.5),
                lambda: session.show([Column("base")])):
        with pytest.raises(BusyError, match="answering"):
            ask()
    list(first)
    assert {name: turn.token_ids for name, turn in session.turns.items()} == undisturbed
    session.close()


def test_an_answer_closed_midway_gives_its_memory_back(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings
) -> None:
    session = ChatSession(model_of(tiny_model), [Column("base"), Column("one", adapters["one"])],
                          settings)
    greedy_ids(session, "base", "one")
    before = _live_tensor_bytes()
    answer = session.answer({"base": SHORT, "one": SHORT}, ENDLESS)
    for _ in range(3):
        next(answer)
    meanwhile = _live_tensor_bytes()
    answer.close()  # type: ignore[attr-defined]
    assert meanwhile > before, "nothing was measured"
    assert _live_tensor_bytes() <= before
    session.close()


def test_unloading_gives_back_all_that_loading_took_and_columns_share_one_base(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings
) -> None:
    greedy_ids(_opened(tiny_model, {}, settings))  # whatever libraries keep from then on
    before = _live_tensor_bytes()
    session = _opened(tiny_model, {}, settings)
    base = _live_tensor_bytes() - before
    session.close()
    del session
    assert _live_tensor_bytes() <= before

    several = {"one": adapters["one"], "two": adapters["two"], "again": adapters["one"],
               "and again": adapters["one"]}
    session = _opened(tiny_model, several, settings)
    greedy_ids(session)
    files = sum((adapters[name] / "adapter_model.safetensors").stat().st_size
                for name in ("one", "two"))
    assert 0 < _live_tensor_bytes() - before <= 1.1 * (base + files)
    session.close()
    del session
    assert _live_tensor_bytes() <= before


def _opened(base: Path, adapters: dict[str, Path], settings: Settings) -> ChatSession:
    columns = [Column("base"), *(Column(name, path) for name, path in adapters.items())]
    return ChatSession(model_of(base), columns, settings)


def _live_tensor_bytes() -> int:
    import torch

    gc.collect()
    storages = {}
    for thing in gc.get_objects():
        if isinstance(thing, torch.Tensor):
            storage = thing.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())
