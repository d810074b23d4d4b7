"""How tokens are chosen, what ends an answer, and the presets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.chat.sampling import Sampling
from studio.chat.sampling_presets import PRESETS, sampling_preset
from studio.chat.session import ChatSession, Column
from studio.errors import StudioError
from studio.settings import Settings
from tests.chat.alone import SHORT, model_of

GREEDY = Sampling(temperature=0, max_new_tokens=24)
WARM = Sampling(temperature=1.5, top_k=0, top_p=1, max_new_tokens=40, seed=5)


@pytest.fixture(scope="module")
def session(tiny_model: Path, adapters: dict[str, Path],
            tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatSession]:
    session = ChatSession(model_of(tiny_model), [Column("base"), Column("one", adapters["one"])],
                          Settings(home=tmp_path_factory.mktemp("home"), offline=True))
    yield session
    session.close()


def _both(session: ChatSession, sampling: Sampling) -> tuple[str, str]:
    list(session.answer({"base": SHORT, "one": SHORT}, sampling))
    return session.turns["base"].text, session.turns["one"].text


def _with(sampling: Sampling, **changes: object) -> Sampling:
    from dataclasses import replace

    return replace(sampling, **changes)  # type: ignore[arg-type]


def test_a_stop_string_that_spans_tokens_ends_its_column_and_is_never_shown(
    session: ChatSession
) -> None:
    whole, other = _both(session, WARM)
    assert session.turns["base"].tokens > 8
    tokenizer = session.reader(None).tokenizer
    texts = [tokenizer.decode([one]) for one in session.turns["base"].token_ids]
    place = next(number for number in range(3, len(texts) - 1)
                 if "\ufffd" not in texts[number] + texts[number + 1])
    stop = texts[place][-1] + texts[place + 1][0]
    cut = whole[:whole.index(stop)]
    shown = [texts["base"] for texts in session.answer(
        {"base": SHORT, "one": SHORT}, _with(WARM, stop_strings=("never said", stop)))]
    turn = session.turns["base"]
    assert turn.text == cut and turn.ending == "end" and turn.tokens <= place + 2
    assert all(cut.startswith(text) for text in shown)
    if stop not in other:
        assert session.turns["one"].text == other


def test_stop_strings_that_do_not_come_change_nothing(session: ChatSession) -> None:
    plain = _both(session, WARM)
    last = plain[0][-1]
    assert _both(session, _with(WARM, stop_strings=(last + "\0never",))) == plain


def test_min_p_one_leaves_only_the_likeliest(session: ChatSession) -> None:
    assert _both(session, _with(WARM, min_p=1.0, max_new_tokens=24)) == _both(session, GREEDY)
    assert _both(session, WARM) != _both(session, GREEDY)


def test_answers_and_scores_are_the_same_while_the_page_counts_a_16_bit_model(
    session: ChatSession
) -> None:
    """Meanwhile torch's own number format is another one, in all threads."""
    import torch

    def answered() -> tuple[tuple[str, str], list[float]]:
        texts = _both(session, WARM)
        ids = session.turns["one"].token_ids
        return texts, session.scores({"one": SHORT}, {"one": ids})["one"].kl_to_base

    before = answered()
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert answered() == before
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_next_seed_is_other_luck_and_begins_again_after_the_last(session: ChatSession) -> None:
    assert WARM.with_next_seed() == _with(WARM, seed=6)
    assert _both(session, WARM.with_next_seed()) != _both(session, WARM)
    assert _with(WARM, seed=2**63 - 1).with_next_seed().seed == 0


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_changes_how_tokens_are_chosen_and_nothing_else(
    session: ChatSession, preset: object
) -> None:
    mine = Sampling(max_new_tokens=9, seed=3, stop_strings=("END",))
    applied = sampling_preset(preset.name).applied_to(mine)  # type: ignore[attr-defined]
    assert (applied.max_new_tokens, applied.seed, applied.stop_strings) == (9, 3, ("END",))
    assert _both(session, applied) == _both(session, applied)


def test_balanced_is_what_a_chat_begins_with() -> None:
    assert sampling_preset("balanced").applied_to(Sampling()) == Sampling()
    with pytest.raises(StudioError, match="no sampling preset 'wild'"):
        sampling_preset("wild")


@pytest.mark.parametrize(("given", "words"), [
    ({"min_p": 1.5}, "min_p is 1.5"), ({"stop_strings": "END"}, "'END'"),
    ({"stop_strings": ("",)}, "at least one character"),
    ({"stop_strings": ("\ud800",)}, "half of a character"),
    ({"stop_strings": ("x",) * 17}, "at most 16")])
def test_impossible_settings_are_sentences(given: dict[str, object], words: str) -> None:
    with pytest.raises(StudioError, match=words):
        Sampling(**given)  # type: ignore[arg-type]


def test_one_column_is_stopped_while_the_others_go_on(session: ChatSession) -> None:
    for seed in range(20):
        long = Sampling(temperature=5, top_k=0, top_p=1, max_new_tokens=150, seed=seed)
        whole = _both(session, long)
        if min(turn.tokens for turn in session.turns.values()) == 150:
            break
    steps = session.answer({"base": SHORT, "one": SHORT}, long)
    next(steps)
    session.stop_column("base")
    kept = session.turns["base"].tokens
    list(steps)
    assert session.turns["base"].ending == "stopped" and session.turns["base"].tokens == kept < 150
    assert whole[0].startswith(session.turns["base"].text)
    assert session.turns["one"].text == whole[1]
    session.stop_column("base")


def test_a_column_stopped_before_its_turn_is_not_computed(
    tiny_model: Path, adapters: dict[str, Path], settings: Settings
) -> None:
    session = ChatSession(model_of(tiny_model), [Column("base"), Column("dora", adapters["dora"])],
                          settings)
    steps = session.answer({"base": SHORT, "dora": SHORT}, WARM)
    next(steps)
    session.stop_column("dora")
    list(steps)
    assert session.turns["dora"].ending == "stopped" and session.turns["dora"].tokens == 0
    assert session.turns["base"].tokens > 0
    session.close()
