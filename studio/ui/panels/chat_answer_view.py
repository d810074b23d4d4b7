"""How one answer looks: its column's name, its text, its numbers, and its other tries. Pure.

Exactly as the model wrote it: escaped text, no Markdown, so that a missing brace in JSON can be
seen. A thought before the answer is folded away.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from studio.chat.conversation import Answer, Tries
from studio.ui.words import counted

ENDINGS = {"end": "ended by itself", "length": "cut at the token limit",
           "context": "the context is full", "stopped": "stopped"}


@dataclass(frozen=True)
class Place:
    """Where an answer stands. `can_change`: nobody is writing, so another try may be chosen."""

    turn: int
    column: str
    can_change: bool = False


def answer_view(tries: Tries, place: Place, marked: str | None = None) -> str:
    """The chosen answer; `marked` is its text as HTML where something in it is marked."""
    answer, name = tries.answer, escape(place.column)
    writing = "" if answer.ending else " writing"
    which = f"{place.turn} {tries.chosen} {place.column}"
    return (
        f'<div class="answer{writing}" data-column="{name}" data-answer="{escape(which)}" '
        f'data-ending="{escape(answer.ending)}">'
        f'<div class="answer-head"><span class="answer-name">{name}</span>'
        f"{_tries(tries, place)}{_button(answer, place)}</div>"
        f"{thought_view(answer)}"
        f'<div class="answer-text">{marked if marked is not None else text_view(answer)}</div>'
        f'<div class="answer-foot">{escape(_numbers(answer))}{_measures(answer)}</div></div>'
    )


def text_view(answer: Answer) -> str:
    """What it wrote after its thought."""
    nothing = '<span class="quiet">(no answer)</span>' if answer.ending else ""
    return escape(answer.parts.answer) or nothing


def thought_view(answer: Answer) -> str:
    """Its thought, folded away; nothing without one."""
    parts = answer.parts
    if not parts.thought and not parts.is_thinking:
        return ""
    is_on = parts.is_thinking and not answer.ending
    words = "Thinking" if is_on else f"Thought, {len(parts.thought.split()):,} words"
    return (f'<details class="thought"><summary>{words}</summary>'
            f"<div>{escape(parts.thought)}</div></details>")


def _tries(tries: Tries, place: Place) -> str:
    """‹ 2/3 ›, once there is more than one."""
    count, number = len(tries.answers), tries.chosen + 1
    if count < 2:
        return ""
    seed = tries.answer.seed
    title = f' title="Seed {seed}"' if seed is not None else ""
    return (f'<span class="tries">{_choose(place, number - 1, "‹", "Earlier try", count)}'
            f"<span{title}>{number}/{count}</span>"
            f'{_choose(place, number + 1, "›", "Later try", count)}</span>')


def _choose(place: Place, number: int, sign: str, label: str, count: int) -> str:
    off = "" if place.can_change and 1 <= number <= count else " disabled"
    name = escape(place.column)
    return (f'<button type="button" data-what="choose" data-turn="{place.turn}" '
            f'data-column="{name}" data-number="{number}" title="{label}" '
            f'aria-label="{label} of {name}"{off}>{sign}</button>')


def _button(answer: Answer, place: Place) -> str:
    """Stop while the answer is written, Copy afterwards."""
    if answer.ending:
        return '<button type="button" class="copy" title="Copy this answer">Copy</button>'
    name = escape(place.column)
    return (f'<button type="button" class="copy stop-one" data-what="stop" data-column="{name}" '
            f'title="Stop this answer; the others go on" aria-label="Stop {name}">Stop</button>')


def _numbers(answer: Answer) -> str:
    if not answer.tokens:
        return ENDINGS.get(answer.ending, "") if answer.ending else "waiting"
    words = [counted(answer.tokens, "token")]
    if answer.tokens_per_second:
        words.append(f"{answer.tokens_per_second:.1f} tokens/s")
    if answer.seconds_to_first_token is not None:
        words.append(f"first after {answer.seconds_to_first_token:.2f} s")
    if answer.ending:
        words.append(ENDINGS.get(answer.ending, answer.ending))
    return ", ".join(words)


def _measures(answer: Answer) -> str:
    score = answer.score
    if score is None or score.mean_log_probability is None:
        return ""
    words = [f"log-probability {score.mean_log_probability:.3f} per token",
             f"perplexity {score.perplexity:.3g}",
             f"KL to base {score.mean_kl_to_base:.3f} nats per token"]
    return f'<div class="measures">{escape(", ".join(words))}</div>'
