"""What a chat template writes before and behind each turn, found by rendering and taken apart.

For programs that do not read Jinja, such as Ollama. Most templates put fixed text around what is
said; one that does more is not described at all rather than wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from studio.data.samples import RowFault

Message = dict[str, str]
Render = Callable[[Sequence[Message], bool], str]
"""Text of a conversation; with True up to where the next answer begins. Raises RowFault."""

_SYSTEM, _FIRST, _ANSWER, _SECOND = "Qsystem1", "Qfirst2", "Qanswer3", "Qsecond4"


@dataclass(frozen=True)
class TurnTexts:
    """Pairs are (before, behind) what is said. `without_system` stands in the place of a system
    turn where there is none; `system` is None where the template has no place for one. Then
    `joined`, if there is any, stands between its text and the first question in one turn.
    `opening` begins the next answer."""

    beginning: str
    without_system: str
    system: tuple[str, str] | None
    user: tuple[str, str]
    assistant: tuple[str, str]
    opening: str
    joined: str = ""

    @property
    def takes_system(self) -> bool:
        """Whether a system prompt has a place, of its own or in the first question."""
        return self.system is not None or bool(self.joined)

    def text(self, messages: Sequence[Message]) -> str:
        """The conversation up to where the next answer begins."""
        around = {"system": self.system or ("", ""), "user": self.user,
                  "assistant": self.assistant}
        system = "".join(one["content"] for one in messages if one["role"] == "system")
        parts = [self.beginning, "" if system else self.without_system]
        for number, one in enumerate(messages):
            before, behind = around[one["role"]]
            is_joined = bool(system and self.joined)
            if is_joined and number == 0:
                continue
            within = [system, self.joined] if is_joined and number == 1 else []
            parts += [before, *within, one["content"], behind]
        return "".join([*parts, self.opening])


def turn_texts(render: Render, beginning: str = "") -> TurnTexts | None:
    """The texts of a template; None where fixed text around each turn does not describe it.

    `beginning` is the token that starts every text, left out where the reader adds it itself; then
    it is still what `render` begins with and "" in the result.
    """
    try:
        found = _without_system(render, beginning)
        if found is None or not _agrees(found, render, _plain_talks()):
            return None
        return _with_system(found, render) or found
    except RowFault:
        return None


def _without_system(render: Render, beginning: str) -> TurnTexts | None:
    talk = [_turn("user", _FIRST), _turn("assistant", _ANSWER), _turn("user", _SECOND)]
    whole = _between(render(talk, True), (_FIRST, _ANSWER, _SECOND))
    behind_user = _between(render(talk[:1], False), (_FIRST,))
    behind_answer = _between(render(talk[:2], False), (_FIRST, _ANSWER))
    if whole is None or behind_user is None or behind_answer is None:
        return None
    user_end, answer_end = behind_user[-1], behind_answer[-1]
    if not (whole[1].startswith(user_end) and whole[2].startswith(answer_end)
            and whole[3].startswith(user_end)):
        return None
    user_start = whole[2].removeprefix(answer_end)
    if not whole[0].startswith(beginning) or not whole[0].endswith(user_start):
        return None
    return TurnTexts(
        beginning, whole[0].removesuffix(user_start).removeprefix(beginning), None,
        (user_start, user_end), (whole[1].removeprefix(user_end), answer_end),
        whole[3].removeprefix(user_end))


def _with_system(found: TurnTexts, render: Render) -> TurnTexts | None:
    """The same with the place of a system turn; None where the template has none of that kind."""
    try:
        text = render([_turn("system", _SYSTEM), _turn("user", _FIRST)], True)
        parts = _between(text, (_SYSTEM, _FIRST))
        if parts is None or not parts[0].startswith(found.beginning):
            return None
        before = parts[0].removeprefix(found.beginning)
        behind = parts[1].removesuffix(found.user[0])
        ways = (replace(found, system=(before, behind)), replace(found, joined=parts[1]))
        return next((way for way in ways if _agrees(way, render, _system_talks())), None)
    except RowFault:
        return None


def _agrees(found: TurnTexts, render: Render, talks: list[list[Message]]) -> bool:
    return all(found.text(talk) == render(talk, True) for talk in talks)


def _plain_talks() -> list[list[Message]]:
    one = [_turn("user", "How are you?")]
    return [one, [*one, _turn("assistant", "Well.\nAnd you?"), _turn("user", "Fine, {thanks}!")]]


def _system_talks() -> list[list[Message]]:
    system = _turn("system", "Be brief.")
    return [[system, *talk] for talk in _plain_talks()]


def _turn(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _between(text: str, said: tuple[str, ...]) -> list[str] | None:
    """What stands before, between and behind the parts `said`, each of which occurs once."""
    if any(text.count(one) != 1 for one in said):
        return None
    places = [(text.index(one), text.index(one) + len(one)) for one in said]
    edges = [(0, 0), *places, (len(text), len(text))]
    if any(behind[0] < before[1] for before, behind in pairwise(edges)):
        return None
    return [text[before[1]:behind[0]] for before, behind in pairwise(edges)]
