"""One chat for the whole program: it reuses what is loaded and makes room when asked."""

from __future__ import annotations

import gc
import shutil
import weakref
from pathlib import Path

import pytest

from studio.arbiter import Arbiter, Holder
from studio.chat.desk import ChatDesk
from studio.chat.sampling import Sampling
from studio.chat.session import Column
from studio.errors import BusyError, ModelError
from studio.recipe import Model
from studio.settings import Settings
from tests.chat.alone import SHORT, answer_alone, greedy_ids

ASK = [{"role": "user", "content": "Two pizzas, please."}]
LONG = Sampling(temperature=1.5, top_k=0, top_p=1, max_new_tokens=400)
TRAINING = Holder("Training", "Stop it on the Train tab.")


@pytest.fixture
def model(tiny_model: Path) -> Model:
    return Model(source=str(tiny_model), dtype="float32")


def test_the_base_is_loaded_once_for_changing_columns(
    model: Model, adapters: dict[str, Path], settings: Settings
) -> None:
    desk = ChatDesk(settings, Arbiter())
    session = desk.open(model, [Column("base")])
    assert desk.open(model, [Column("base"), Column("one", adapters["one"])]) is session
    assert [column.name for column in session.columns] == ["base", "one"]
    answers = list(desk.answer(model, session.columns, {"base": ASK, "one": ASK},
                               Sampling(max_new_tokens=4)))
    assert set(answers[-1]) == {"base", "one"} and desk.turns["one"].tokens <= 4
    desk.close()


def test_an_adapter_that_was_made_anew_under_its_name_answers_with_its_new_weights(
    model: Model, adapters: dict[str, Path], settings: Settings, tmp_path: Path
) -> None:
    desk, folder = ChatDesk(settings, Arbiter()), tmp_path / "blend"
    columns = [Column("base"), Column("blend", folder), Column("half", folder, 0.5)]
    for name in ("one", "two"):
        shutil.copytree(adapters[name], folder)
        session = desk.open(model, columns)
        assert not session.is_outdated
        answered = greedy_ids(session)
        assert answered["blend"] == answer_alone(Path(model.source), adapters[name], SHORT)
        assert answered["base"] == answer_alone(Path(model.source), None, SHORT)
        shutil.rmtree(folder)
    # At a strength that was not asked for so far, too.
    shutil.copytree(adapters["one"], folder)
    session = desk.open(model, [Column("blend", folder, 2.0)])
    session = desk.open(model, [Column("blend", folder)])
    assert greedy_ids(session) == {
        "blend": answer_alone(Path(model.source), adapters["one"], SHORT)}
    desk.close()


def test_an_idle_chat_leaves_when_training_wants_the_device(
    model: Model, settings: Settings
) -> None:
    arbiter = Arbiter()
    desk = ChatDesk(settings, arbiter)
    weights = weakref.ref(desk.open(model, [Column("base")])._weights.model)
    arbiter.acquire(TRAINING)
    gc.collect()
    assert desk.session is None and weights() is None, "the weights are still in memory"
    with pytest.raises(BusyError, match="Training"):
        desk.open(model, [Column("base")])
    arbiter.release(TRAINING)
    assert desk.open(model, [Column("base")])
    desk.close()
    assert arbiter.holder is None


def test_an_answering_chat_stays(model: Model, settings: Settings) -> None:
    arbiter = Arbiter()
    desk = ChatDesk(settings, arbiter)
    answer = desk.answer(model, [Column("base")], {"base": ASK}, LONG)
    next(answer)
    with pytest.raises(BusyError, match="The chat is using this PC"):
        arbiter.acquire(TRAINING)
    with pytest.raises(BusyError, match="answering"):
        next(desk.answer(model, [Column("base")], {"base": ASK}, LONG))
    with desk._changing, pytest.raises(BusyError, match="answering"):  # two pages at once
        next(desk.answer(model, [Column("base")], {"base": ASK}, LONG))
    with pytest.raises(BusyError, match="answering"):
        desk.close()
    answer.close()  # type: ignore[attr-defined]
    arbiter.acquire(TRAINING)
    assert desk.session is None


def test_a_model_that_cannot_be_loaded_leaves_the_device_free(
    settings: Settings, tmp_path: Path
) -> None:
    arbiter = Arbiter()
    with pytest.raises(ModelError):
        ChatDesk(settings, arbiter).open(Model(source=str(tmp_path / "gone")), [Column("base")])
    assert arbiter.holder is None


def test_a_failed_answer_is_followed_by_a_fresh_session(model: Model, settings: Settings) -> None:
    def fails() -> bool:
        raise OSError("gone")

    desk = ChatDesk(settings, Arbiter())
    with pytest.raises(OSError):
        list(desk.answer(model, [Column("base")], {"base": ASK}, LONG, fails))
    assert list(desk.answer(model, [Column("base")], {"base": ASK}, Sampling(max_new_tokens=3)))
    desk.close()
