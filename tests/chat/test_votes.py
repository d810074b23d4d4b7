"""Verdicts are blind, kept for good, and count as they were last given."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from studio.chat.sampling import Sampling
from studio.chat.session import Column
from studio.chat.votes import ALL_BAD, TIE, VoteBox, contestant_of, make_ballot
from studio.errors import DiskError, StudioError
from studio.recipe import Model
from studio.settings import Settings
from tests.chat.votes import ballot_answer, vote_for

SIX = [ballot_answer(name) for name in ("base", "one", "two", "three", "four", "five")]


def test_the_order_comes_from_the_seed_and_favours_nobody() -> None:
    def first(seed: int) -> str:
        return make_ballot(SIX[:3], seed, Sampling()).answers[0].contestant.name

    assert [first(seed) for seed in range(9)] == [first(seed) for seed in range(9)]
    counts = [sum(first(seed) == name for seed in range(600)) for name in ("base", "one", "two")]
    assert min(counts) > 150


def test_a_verdict_is_read_again_with_everything_that_was_shown(settings: Settings) -> None:
    box = VoteBox(settings)
    given = [vote_for(box, "one", *SIX[:2], seed=3), vote_for(box, TIE, *SIX),
             vote_for(box, ALL_BAD, *SIX[:3])]
    read = VoteBox(settings).votes()
    assert read == given
    assert read[0].ballot.sampling["seed"] == 42 and read[0].ballot.shuffle_seed == 3
    winner = read[0].ballot.answers[read[0].winner or 0]
    assert winner.contestant.name == "one" and winner.answer.text == "one says"
    assert read[0].verdict in ("A", "B") and read[1].verdict == "tie"
    assert settings.home in box.path.parents


def test_the_last_verdict_on_a_ballot_counts_and_the_file_keeps_all(settings: Settings) -> None:
    box = VoteBox(settings)
    ballot = make_ballot(SIX[:2], 1, Sampling())
    other = vote_for(box, TIE, *SIX[:2])
    for verdict in ("A", "B", TIE):
        box.cast(ballot, verdict)
    assert [vote.verdict for vote in box.votes()] == [TIE, TIE]
    box.withdraw(ballot)
    assert box.votes() == [other]
    assert len(box.path.read_text(encoding="utf-8").split("\n\n")) == 5


def test_a_torn_or_foreign_line_takes_no_other_vote_with_it(settings: Settings) -> None:
    box = VoteBox(settings)
    first = vote_for(box, "one", *SIX[:2])
    with box.path.open("ab") as file:
        file.write(b'{"foreign": 1}\n{"ballot": {"id": "x"}, "outcome": "winner", "torn')
    second = vote_for(box, TIE, *SIX[:2])
    assert box.votes() == [first, second] == VoteBox(settings).votes()


def test_impossible_ballots_and_verdicts_are_sentences(settings: Settings) -> None:
    for answers, words in (([], "two to 6"), (SIX[:1], "two to 6"), ([*SIX, SIX[0]], "are 7"),
                           ([SIX[0], ballot_answer("slow", ending="")], "of slow yet")):
        with pytest.raises(StudioError, match=words):
            make_ballot(answers, 0, Sampling())
    box = VoteBox(settings)
    with pytest.raises(StudioError, match="'C', but this ballot knows A, B, tie and all_bad"):
        box.cast(make_ballot(SIX[:2], 0, Sampling()), "C")
    assert box.votes() == []


def test_a_full_disk_is_a_sentence_and_not_a_lost_vote(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("studio.json_lines.os.fsync", full)
    with pytest.raises(DiskError, match="verdict cannot be written"):
        vote_for(VoteBox(settings), TIE, *SIX[:2])


def test_a_contestant_is_its_weights_and_not_its_name(
    adapters: dict[str, Path], tmp_path: Path
) -> None:
    model = Model(source="starter")
    folder = shutil.copytree(adapters["one"], tmp_path / "mine")
    mine = contestant_of(model, Column("mine", folder))
    assert mine == contestant_of(model, Column("renamed", folder))
    assert mine.fingerprint and contestant_of(model, Column("base")).fingerprint == ""
    others = [contestant_of(model, Column("mine", folder, 0.5)),
              contestant_of(Model(source="starter", quantization="4bit"), Column("mine", folder))]
    shutil.copyfile(adapters["two"] / "adapter_model.safetensors",
                    folder / "adapter_model.safetensors")
    others.append(contestant_of(model, Column("mine", folder)))
    shutil.rmtree(folder)
    others.append(contestant_of(model, Column("mine", folder)))
    assert len({mine, *others}) == 5
