"""A context that runs full is a sentence with both numbers and a way out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from studio.chat.context import ContextUse, tightest
from studio.chat.conversation import Answer, Conversation
from studio.chat.prompt import room_in_context
from studio.chat.sampling import Sampling
from studio.chat.session import ChatSession, Column
from studio.errors import DataError, ModelError
from studio.recipe import Model
from studio.settings import Settings
from tests.chat.test_prompt import KEEPS
from tests.tiny import make_tokenizer


def test_nothing_is_said_while_an_answer_fits() -> None:
    assert ContextUse("base", 1000, 4096).warning(256) == ""
    assert ContextUse("base", 10**9, None).warning(256) == ""


def test_a_context_that_is_nearly_full_says_what_is_left_and_what_to_do() -> None:
    said = ContextUse("orders", 1900, 2048).warning(256)
    assert "orders takes 1,900 of the 2,048 tokens" in said
    assert "148 left" in said and "256" in said and "new conversation" in said
    assert ContextUse("orders", 1900, 2048).warning(16), "nine tenths are taken"


def test_a_full_context_is_said_as_the_refusal_says_it() -> None:
    use = ContextUse("base", 530, 512)
    assert use.is_full and use.left_tokens == 0 and use.share is not None and use.share > 1
    with pytest.raises(ModelError) as refusal:
        room_in_context(530, 512, "base")
    assert str(refusal.value) == use.warning(256)
    assert "530 tokens long for base" in use.warning(256) and "at most 512" in use.warning(256)


def test_the_column_that_is_full_first_is_the_one_to_warn_of() -> None:
    uses = [ContextUse("a", 10, None), ContextUse("b", 500, 512), ContextUse("c", 500, 510)]
    assert tightest(uses) == uses[2]
    assert tightest(uses[:1]) is None


@pytest.fixture
def session(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings, tmp_path: Path
) -> ChatSession:
    """The base, and an adapter whose template begins a thought."""
    thinker = shutil.copytree(adapters["one"], tmp_path / "thinker")
    tokenizer = make_tokenizer()
    tokenizer.chat_template = KEEPS
    tokenizer.save_pretrained(thinker)
    return ChatSession(Model(source=str(tiny_model), dtype="float32"),
                       [Column("base"), Column("thinker", thinker)], settings)


def test_a_session_counts_each_columns_own_prompt_and_tells_what_its_template_began(
    session: ChatSession
) -> None:
    talk = Conversation().asked("What is the capital of France?", ["base", "thinker"])
    histories = {name: talk.history(name, "Be brief.") for name in ("base", "thinker")}
    uses = {use.column: use for use in session.context_uses(histories)}
    assert uses["thinker"].used_tokens > uses["base"].used_tokens > 20
    assert uses["base"].limit_tokens == 512

    list(session.answer(histories, Sampling(temperature=0, max_new_tokens=4)))
    talk = talk.with_last({name: Answer.of(turn, 42) for name, turn in session.turns.items()})
    for use in talk.context_uses:
        assert use.used_tokens == uses[use.column].used_tokens + session.turns[use.column].tokens
    answers = talk.exchanges[0].answers
    assert answers["thinker"].parts.is_thinking and answers["thinker"].parts.answer == ""
    assert not answers["base"].parts.is_thinking

    endless = {"base": [{"role": "user", "content": "Berlin " * 600}]}
    assert session.context_uses(endless)[0].is_full
    with pytest.raises(DataError, match="half of a character"):
        session.context_uses({"base": [{"role": "user", "content": "\ud83d"}]})


def test_the_last_prompt_is_answered_again_with_the_next_seed(session: ChatSession) -> None:
    sampling = Sampling(temperature=1.5, top_k=0, top_p=1, max_new_tokens=12, seed=7)
    talk = Conversation().asked("Two pizzas?", ["base"])
    for luck in (sampling, sampling.with_next_seed()):
        talk = talk.again() if talk.exchanges[0].is_answered else talk
        list(session.answer({"base": talk.history("base", "")}, luck))
        talk = talk.with_last({"base": Answer.of(session.turns["base"], luck.seed)})
    first, second = talk.exchanges[0].columns["base"].answers
    assert (first.seed, second.seed, talk.latest_seed) == (7, 8, 8)
    assert first.text != second.text and talk.exchanges[0].answers["base"] == second
