"""Where the answers stand in a rendered conversation: what the loss mask is made from.

An answer begins behind the prompt that the model would be given, which must be a prefix of the
full text, so the mask is exact for every template that says the same thing twice, and one that
does not is reported. Knows characters, no tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from studio.data.samples import RowFault, Turn

Span = tuple[int, int]
RenderTurns = Callable[..., str]
"""(turns, *, answer_next=False) -> text."""


def answer_spans(
    turns: list[Turn], chosen: list[int], text: str, render: RenderTurns
) -> list[Span]:
    """(start, end) in `text` of the turns numbered in `chosen`, each with its end-of-turn token.

    Raises RowFault where the template renders a turn differently when others follow.
    """
    spans: list[Span] = []
    for index in chosen:
        start = _answer_start(turns, index, text, render)
        last = index == len(turns) - 1
        whole = text if last else render(turns[: index + 1])
        same = text.startswith(whole)
        end = len(whole) if same else _answer_end(turns[index], whole, text, start)
        if end is None or end < start:
            raise _not_exact(index)
        # The line break after the end-of-turn token is the template's, not the answer's.
        spans.append((start, start + len(text[start:end].rstrip())))
    return spans


def answers_of(turns: list[Turn], loss_on: str) -> list[int]:
    """The numbers of the turns that carry loss; only the last for "last_response"."""
    found = [number for number, turn in enumerate(turns) if turn["role"] == "assistant"]
    return found[-1:] if loss_on == "last_response" else found


def _answer_start(turns: list[Turn], index: int, text: str, render: RenderTurns) -> int:
    """Behind the generation prompt, which is what the model is given when it answers."""
    prompt = render(turns[:index], answer_next=True)
    if text.startswith(prompt):
        return len(prompt)
    # Some templates open a thinking block in the generation prompt that taught answers lack.
    before = render(turns[:index])
    common = _common_prefix(prompt, text)
    content = text.find(_content(turns[index]), len(before))
    if not text.startswith(before) or common <= len(before) or content < 0:
        raise _not_exact(index)
    return min(common, content)


def _common_prefix(first: str, second: str) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(first), len(second)))


def _answer_end(turn: Turn, whole: str, text: str, start: int) -> int | None:
    """For templates that end a last turn otherwise than the same turn further up.

    Some write one mark more behind the last turn only; then what both have in common counts, up
    to the end of a mark or a line.
    """
    content = _content(turn)
    ending = whole[whole.rfind(content) + len(content):]
    at = text.find(content, start)
    if at < 0:
        return None
    end = at + len(content)
    common = _common_prefix(ending, text[end:])
    if common == len(ending):
        return end + common
    kept = max(ending.rfind(mark, 0, common) for mark in ">\n") + 1
    return end + kept if kept else None


def _content(turn: dict[str, Any]) -> str:
    return str(turn.get("content") or "").strip()


def _not_exact(index: int) -> RowFault:
    return RowFault(
        "template",
        f"the chat template renders turn {index + 1} differently when other turns follow, so "
        "it cannot be said exactly which tokens are the answer.",
        "Set data.loss_on to all, or choose another data.template.",
    )
