"""What votes add up to: how often each contestant wins, how sure that is, and who beats whom.

Pure. A verdict for one answer is a win of its contestant over each of the others on the ballot;
a tie and "all bad" are counted, and decide nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from studio.chat.votes import ALL_BAD, TIE, Contestant, Vote

Z_95 = 1.959964
"""Standard normal quantile of a two-sided interval of 95 percent."""


class _Counted:
    """What follows from how often somebody won and lost."""

    wins: int
    losses: int

    @property
    def rate(self) -> float | None:
        """Wins among the ballots that were won by one side or the other; None without any."""
        decided = self.wins + self.losses
        return self.wins / decided if decided else None

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true rate lies, with 95 percent confidence."""
        return wilson_interval(self.wins, self.wins + self.losses)


@dataclass(frozen=True)
class WinRate(_Counted):
    """One contestant over all ballots that it was on.

    `chance` is the rate of somebody who votes without reading: 1/n on ballots of n answers.
    """

    contestant: Contestant
    wins: int
    losses: int
    ties: int
    all_bad: int
    chance: float | None


@dataclass(frozen=True)
class Duel(_Counted):
    """Two contestants over the ballots that they were both on and that one of them won.

    `ties` counts the ballots with both on which nobody won because all were alike.
    """

    one: Contestant
    other: Contestant
    wins: int
    losses: int
    ties: int


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """The score interval of a share (E. B. Wilson 1927, "Probable inference, the law of
    succession, and statistical inference", JASA 22, 209-212). (0, 1) without trials.

    Unlike share +- z standard errors, it holds for few votes and for shares of 0 and 1.
    """
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    middle = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    whole = 1 + z * z / trials
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


def win_rates(votes: Sequence[Vote]) -> list[WinRate]:
    """Every contestant's, the best first; names are those of its latest vote."""
    rates = [_win_rate(one, votes) for one in contestants_of(votes)]
    return sorted(rates, key=lambda one: (-1 if one.rate is None else one.rate, one.wins),
                  reverse=True)


def duels(votes: Sequence[Vote]) -> list[Duel]:
    """One for each pair of contestants that met, in the order of `contestants_of`."""
    found = []
    for one, other in combinations(contestants_of(votes), 2):
        met = [vote for vote in votes if {one, other} <= _on(vote)]
        if met:
            winners = [_winner(vote) for vote in met]
            found.append(Duel(one, other, winners.count(one), winners.count(other),
                              sum(vote.outcome == TIE for vote in met)))
    return found


def contestants_of(votes: Sequence[Vote]) -> list[Contestant]:
    """Everybody who was on a ballot, in order of appearance, by the latest name."""
    latest: dict[Contestant, Contestant] = {}
    for vote in votes:
        for one in vote.ballot.answers:
            latest[one.contestant] = one.contestant
    return list(latest.values())


def _win_rate(contestant: Contestant, votes: Sequence[Vote]) -> WinRate:
    own = [vote for vote in votes if contestant in _on(vote)]
    decided = [vote for vote in own if vote.winner is not None]
    wins = sum(_winner(vote) == contestant for vote in decided)
    chances = [sum(one.contestant == contestant for one in vote.ballot.answers)
               / len(vote.ballot.answers) for vote in decided]
    return WinRate(
        contestant, wins, len(decided) - wins, sum(vote.outcome == TIE for vote in own),
        sum(vote.outcome == ALL_BAD for vote in own),
        sum(chances) / len(chances) if chances else None)


def _on(vote: Vote) -> set[Contestant]:
    return {one.contestant for one in vote.ballot.answers}


def _winner(vote: Vote) -> Contestant | None:
    return None if vote.winner is None else vote.ballot.answers[vote.winner].contestant
