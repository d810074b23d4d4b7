"""Win rates, their intervals, and who beats whom, against sums done by hand."""

from __future__ import annotations

import random

import pytest

from studio.chat.votes import ALL_BAD, TIE, VoteBox
from studio.chat.win_rates import duels, wilson_interval, win_rates
from studio.settings import Settings
from tests.chat.votes import ballot_answer, vote_for

BASE, ONE, TWO = (ballot_answer(name) for name in ("base", "one", "two"))


@pytest.mark.parametrize(("wins", "trials", "low", "high"), [
    (0, 0, 0.0, 1.0), (0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (5, 10, 0.23659, 0.76341),
    (81, 263, 0.25529, 0.36621),  # Newcombe 1998, Statistics in Medicine 17, table I, method 3
    (15, 148, 0.06239, 0.16053), (0, 20, 0.0, 0.16113), (1, 29, 0.00611, 0.17176),
])
def test_the_interval_is_that_of_the_literature(
    wins: int, trials: int, low: float, high: float
) -> None:
    assert wilson_interval(wins, trials) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    drawn = random.Random(1)
    hits = 0
    for _ in range(2000):
        low, high = wilson_interval(sum(drawn.random() < 0.7 for _ in range(40)), 40)
        hits += low <= 0.7 <= high
    assert 0.93 < hits / 2000 < 0.97


def test_wins_losses_ties_and_bad_ones_are_counted_by_contestant(settings: Settings) -> None:
    box = VoteBox(settings)
    for winner, answers in (("one", (BASE, ONE, TWO)), ("one", (BASE, ONE)), ("base", (BASE, ONE)),
                            (TIE, (BASE, ONE)), (ALL_BAD, (BASE, TWO)), ("two", (ONE, TWO))):
        vote_for(box, winner, *answers)
    rates = {one.contestant.name: one for one in win_rates(box.votes())}
    assert list(rates) == ["one", "two", "base"]
    one, base, two = rates["one"], rates["base"], rates["two"]
    assert (one.wins, one.losses, one.ties, one.all_bad) == (2, 2, 1, 0)
    assert (base.wins, base.losses, base.ties, base.all_bad) == (1, 2, 1, 1)
    assert (two.wins, two.losses, two.ties, two.all_bad) == (1, 1, 0, 1)
    assert one.chance == pytest.approx((1 / 3 + 3 * 1 / 2) / 4)
    assert one.interval == wilson_interval(2, 4)
    met = {(duel.one.name, duel.other.name): (duel.wins, duel.losses, duel.ties)
           for duel in duels(box.votes())}
    by_pair = {frozenset(pair): dict(zip(pair, counts[:2], strict=True)) | {"tie": counts[2]}
               for pair, counts in met.items()}
    assert by_pair == {
        frozenset({"base", "one"}): {"base": 1, "one": 2, "tie": 1},
        frozenset({"base", "two"}): {"base": 0, "two": 0, "tie": 0},
        frozenset({"one", "two"}): {"one": 1, "two": 1, "tie": 0},
    }


def test_no_votes_and_votes_without_a_winner_have_no_rate(settings: Settings) -> None:
    assert win_rates([]) == [] == duels([])
    box = VoteBox(settings)
    vote_for(box, TIE, BASE, ONE)
    rate = win_rates(box.votes())[0]
    assert rate.rate is None and rate.chance is None and rate.interval == (0.0, 1.0)
