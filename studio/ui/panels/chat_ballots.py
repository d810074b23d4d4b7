"""What a page of the blind test shows and does: the ballot it votes on, votes, and their sums.

Handlers; knows no layout. A page keeps the number of the prompt that it votes on; the order of
its answers follows from that, on the server alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.chat.vote_files import votes_csv, write_preferences
from studio.errors import DataError
from studio.ui.open_as_data import NewData
from studio.ui.panels import chat_votes_view as view
from studio.ui.panels.chat_prompts_view import SetState, set_label, work_view
from studio.ui.panels.chat_win_rates_view import win_rates_view
from studio.ui.save_file import page_file
from studio.ui.seen import Part, fresh_updates, stamp
from studio.ui.words import counted

if TYPE_CHECKING:
    from studio.chat.prompt_answers import AnsweredSet
    from studio.chat.votes import Vote
    from studio.ui.studio import Studio

THIS_SET, ALL_SETS = "set", "all"
PARTS = ("sets", "work", "paper", "rates", "place")
_EVERYTHING = "everything"


@dataclass(frozen=True)
class Place:
    """The prompt that a page votes on, counted from 0, and its verdict once there is one. `set` is
    the id of its prompt set: another one may come under the same name."""

    set: str = ""
    number: int = -1
    verdict: str = ""

    @classmethod
    def of(cls, kept: Any) -> Place:
        """From what a page has kept; nowhere where that is not ours."""
        found = kept if isinstance(kept, dict) else {}
        number = found.get("number")
        if not isinstance(number, int):
            return cls()
        return cls(str(found.get("set", "")), number, str(found.get("verdict", "")))


def page(studio: Studio, name: str | None, place: Place, scope: str, seen: dict[str, Any]) -> Any:
    """Updates for `PARTS` and for what was seen; nothing where nothing has changed.

    `name` is the chosen prompt set; a page that has chosen none shows the newest.
    """
    sets = studio.prompt_sets.all()
    chosen = next((one for one in sets if one.name == name), sets[0] if sets else None)
    task = studio.answering.snapshot()
    known = (
        [one.asked.id for one in sets], chosen and chosen.name, scope, task.version,
        chosen and studio.prompt_sets.answers_bytes(chosen.name), _votes_bytes(studio))
    if seen.get(_EVERYTHING) == stamp((known, place)):
        return gr.skip()
    votes = studio.votes.votes()
    place = _place(chosen, place, votes)
    state = _state(chosen, votes)
    counted = _counted(chosen, votes, scope)
    labels = [(_label(one), one.name) for one in sets]
    is_active = task.is_active
    waits = (len(sets), state.pending if state else 0, is_active)
    parts: dict[str, Part] = {
        _EVERYTHING: ((known, place), lambda: None),
        "sets": ((labels, chosen and chosen.name), lambda: gr.Dropdown(
            choices=labels, value=chosen.name if chosen else None, visible=bool(labels))),
        "work": ((state, task.version), lambda: work_view(state, task)),
        "paper": ((place, None if place.set else waits), lambda: _paper(chosen, place, waits)),
        "rates": ((scope, [(vote.ballot.id, vote.verdict) for vote in counted]),
                  lambda: win_rates_view(counted)),
        "place": (place, lambda: asdict(place)),
    }
    return fresh_updates(parts, PARTS, seen)


def act(studio: Studio, place: Place, what: str) -> Place:
    """Vote, undo, skip, or go on; gives where the page is then. Raises StudioError."""
    chosen = studio.prompt_sets.of_id(place.set)
    ballot = chosen.ballot(place.number)
    if what == view.UNDO:
        studio.votes.withdraw(ballot)
        return replace(place, verdict="")
    if what in (view.SKIP, view.NEXT):
        after = _next(chosen, place, studio.votes.votes())
        if after == place:
            gr.Info("This is the last one without a vote.")
        return after
    return replace(place, verdict=studio.votes.cast(ballot, what).verdict)


def preferences(studio: Studio, name: str | None, scope: str) -> NewData:
    """The pairs of better and worse answers as a file to train on. Raises DataError for none."""
    written = write_preferences(_chosen_votes(studio, name, scope), studio.settings)
    left_out = sum(written.left_out.values())
    more = f" {left_out:,} were left out, such as ties and answers that were cut." \
        if left_out else ""
    return NewData(
        written.path, f"{counted(written.pairs, 'pair')} of a better and a worse answer, to train "
        f"DPO on.{more}",
        {"training.method": "dpo", "training.learning_rate": None})


def table_file(studio: Studio, name: str | None, scope: str) -> str:
    """The votes as a CSV file that the page may hand out. Raises DataError for none."""
    votes = _chosen_votes(studio, name, scope)
    if not votes:
        raise DataError("There are no votes yet.", "Vote on some answers first.")
    return page_file(studio.settings, "votes.csv", votes_csv(votes))


def _place(chosen: AnsweredSet | None, place: Place, votes: list[Vote]) -> Place:
    """Where the page is; the first prompt without a vote where that is no longer."""
    if chosen is None:
        return Place()
    answered = chosen.answered().get(place.number)
    if place.set == chosen.asked.id and answered is not None and not answered.problem:
        return place
    return _next(chosen, Place(chosen.asked.id), votes)


def _next(chosen: AnsweredSet, place: Place, votes: list[Vote]) -> Place:
    """The next prompt without a vote, from the first again at the end; nowhere if all have one."""
    open_ones = chosen.unvoted(votes)
    later = [number for number in open_ones if number > place.number]
    number = next(iter(later or open_ones), None)
    return Place() if number is None else Place(chosen.asked.id, number)


def _paper(chosen: AnsweredSet | None, place: Place, waits: tuple[int, int, bool]) -> str:
    if chosen is None or not place.set:
        return view.nothing_to_vote_on(*waits)
    return view.paper_view(view.Paper(
        chosen.ballot(place.number), place.number, len(chosen.asked.prompts), place.verdict))


def _state(chosen: AnsweredSet | None, votes: list[Vote]) -> SetState | None:
    if chosen is None:
        return None
    impossible = tuple(f"Prompt {number + 1}: {problem}"
                       for number, problem in chosen.problems.items())
    answered = len(chosen.answered()) - len(impossible)
    return SetState(chosen.name, _columns(chosen), len(chosen.asked.prompts), answered,
                    answered - len(chosen.unvoted(votes)), impossible)


def _label(one: AnsweredSet) -> str:
    asked = one.asked
    return set_label(one.name, _columns(one), len(asked.prompts), asked.created_seconds)


def _columns(one: AnsweredSet) -> tuple[str, ...]:
    return tuple(column.name for column in one.asked.columns)


def _counted(chosen: AnsweredSet | None, votes: list[Vote], scope: str) -> list[Vote]:
    if scope == ALL_SETS:
        return votes
    return chosen.votes_on_it(votes) if chosen else []


def _chosen_votes(studio: Studio, name: str | None, scope: str) -> list[Vote]:
    chosen = studio.prompt_sets.get(name) if name and scope == THIS_SET else None
    return _counted(chosen, studio.votes.votes(), scope)


def _votes_bytes(studio: Studio) -> int:
    path = studio.votes.path
    return path.stat().st_size if path.exists() else 0
