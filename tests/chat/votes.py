"""Votes on answers that nobody computed."""

from __future__ import annotations

from studio.chat.conversation import Answer
from studio.chat.sampling import Sampling
from studio.chat.votes import BallotAnswer, Contestant, Vote, VoteBox, make_ballot

ASK = [{"role": "user", "content": "Two pizzas, please."}]


def ballot_answer(
    name: str, text: str = "", *, ending: str = "end", prompt: str = ""
) -> BallotAnswer:
    history = [{"role": "user", "content": prompt}] if prompt else ASK
    return BallotAnswer(Contestant(name, "starter", f"/runs/{name}"), history,
                        Answer(text or f"{name} says", tokens=3, ending=ending, seed=42))


def vote_for(box: VoteBox, winner: str, *answers: BallotAnswer, seed: int = 0) -> Vote:
    """A vote for the answer of the column `winner`, or "tie" or "all_bad"."""
    ballot = make_ballot(answers, seed, Sampling(seed=42))
    names = [one.contestant.name for one in ballot.answers]
    verdict = ballot.labels[names.index(winner)] if winner in names else winner
    return box.cast(ballot, verdict)
