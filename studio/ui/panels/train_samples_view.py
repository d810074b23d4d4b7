"""The answers of a model in training as a timeline, and how good they are: pure functions to HTML.

What changed since the answer before is marked quietly; answers that stayed the same share a line.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from studio.chat.differences import changed_spans
from studio.ui.markup import tiles

if TYPE_CHECKING:
    from studio.story import Story
    from studio.training.kept_answers import Answered

OPEN_PROMPTS = 6
"""More prompts than these wait behind a line that opens them."""
ENDS_SHOWN = 4
"""So many of the first and of the last answers stand open, the ones between are folded."""
SCORED_SHOWN = 30
SCORER_WORDS = {
    "exact_match": "exactly as expected", "similarity": "like the expected",
    "json_valid": "valid JSON",
    "json_equal": "the expected JSON", "contains": "holds the text", "regex": "fits the pattern",
    "python": "by your own function",
}
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Stretch:
    """The same answer after one round or several in a row."""

    first_step: int
    last_step: int
    answered: Answered

    @property
    def label(self) -> str:
        """"Step 50", or "Step 50 to 150"."""
        first, last = self.first_step, self.last_step
        return f"Step {first:,}" if first == last else f"Step {first:,} to {last:,}"


def timeline_view(answers: Sequence[Answered]) -> str:
    """Every prompt with its answers from the first step to the last; empty without answers."""
    prompts: dict[tuple[str, str | None], list[Answered]] = {}
    for one in answers:
        prompts.setdefault((one.prompt, one.expected), []).append(one)
    sections = [_prompt(rounds) for rounds in prompts.values()]
    more = sections[OPEN_PROMPTS:]
    folded = (f"<details><summary>{len(more)} more prompts</summary>{''.join(more)}</details>"
              if more else "")
    shown = "".join(sections[:OPEN_PROMPTS])
    return f'<div class="answer-times">{shown}{folded}</div>' if sections else ""


def _prompt(rounds: list[Answered]) -> str:
    first = rounds[0]
    expected = ("" if first.expected is None else
                '<div class="answer-row answer-expected"><span>Expected</span>'
                f"<div>{escape(first.expected)}</div></div>")
    return (f'<section class="answer-time"><h4>{escape(first.prompt)}</h4>{expected}'
            f"{_rounds(stretches(rounds))}</section>")


def stretches(rounds: Sequence[Answered]) -> list[Stretch]:
    """Rounds of one prompt in order, those with the same answer joined."""
    found = []
    for _, group in itertools.groupby(rounds, key=lambda one: (one.answer, one.cut)):
        same = list(group)
        found.append(Stretch(same[0].step, same[-1].step, same[0]))
    return found


def _rounds(found: list[Stretch]) -> str:
    rows = [_row(one, found[at - 1].answered.answer if at else None)
            for at, one in enumerate(found)]
    between = rows[ENDS_SHOWN:-ENDS_SHOWN]
    if not between:
        return "".join(rows)
    return ("".join(rows[:ENDS_SHOWN])
            + f"<details><summary>{len(between)} answers between</summary>{''.join(between)}"
              f"</details>{''.join(rows[-ENDS_SHOWN:])}")


def _row(one: Stretch, before: str | None) -> str:
    answered = one.answered
    text = marked_changes(before, answered.answer) if before is not None else escape(
        answered.answer)
    is_right = answered.expected is not None and _same(answered.answer, answered.expected)
    ending = '<span class="quiet" title="Longer answers are cut"> …</span>' if answered.cut else ""
    right = '<span class="answer-right" title="As expected">✓</span>' if is_right else ""
    shown = f"{text}{ending}" if answered.answer.strip() else '<span class="quiet">nothing</span>'
    return (f'<div class="answer-row"><span>{one.label}{right}</span><div>{shown}</div></div>')


def _same(answer: str, expected: str) -> bool:
    return answer.split() == expected.split()


def marked_changes(before: str, now: str) -> str:
    """`now` as HTML, words that did not stand in `before` marked; nothing is marked where little
    is left of it, since then everything is new."""
    old, new = _WORDS.findall(before), _WORDS.findall(now)
    if _kept_share(old, new) < 0.5:
        return escape(now)
    parts = []
    for span in changed_spans(before, now):
        text = span.text
        word = escape(text.strip())
        if word and span.is_changed:
            before_word, _, behind = text.partition(text.strip())
            parts.append(f"{before_word}<mark>{word}</mark>{behind}")
        else:
            parts.append(escape(text))
    return "".join(parts)


def _kept_share(old: list[str], new: list[str]) -> float:
    """How much of two texts is the same, words alone: brackets and commas are always there."""
    before, now = ([part for part in parts if part[0].isalnum()] for parts in (old, new))
    return difflib.SequenceMatcher(None, before, now, autojunk=False).ratio()


def measures_view(story: Story | None) -> str:
    """Scores and the loss on general text, from before the training to now, as tiles."""
    if story is None:
        return ""
    pairs = []
    if story.scores:
        first, last = story.scores[0], story.scores[-1]
        word = SCORER_WORDS.get(last.scorer, last.scorer)
        pairs.append(("score", f"{word}, of {last.count} answers",
                      _from_to(f"{first.value:.0%}", f"{last.value:.0%}",
                               first.step != last.step)))
    if story.forgetting:
        now = story.forgetting[-1]
        rise = now.rise or 0.0
        pairs.append(("forgetting", "loss on general text, base and now",
                      _from_to(f"{now.base_loss:.3f}", f"{now.loss:.3f} ({rise:+.1%})",
                               now.step > 0)))
    return tiles(pairs) if pairs else ""


def _from_to(first: str, last: str, has_moved: bool) -> str:
    return f"{first} → {last}" if has_moved else first


def scored_view(answers: Sequence[Answered]) -> str:
    """The answers of the latest scoring, wrong ones first; empty without any."""
    if not answers:
        return ""
    step = answers[-1].step
    latest = sorted((one for one in answers if one.step == step),
                    key=lambda one: one.score or 0.0)
    right = sum((one.score or 0.0) >= 1 for one in latest)
    rows = "".join(_scored_row(one) for one in latest[:SCORED_SHOWN])
    more = (f'<p class="quiet">{len(latest) - SCORED_SHOWN} more are in the run\'s '
            "scores.jsonl.</p>" if len(latest) > SCORED_SHOWN else "")
    return (f'<details class="scored"><summary>Scored answers after step {step:,}: {right} of '
            f"{len(latest)} right</summary>{rows}{more}</details>")


def _scored_row(one: Answered) -> str:
    cut = '<span class="quiet"> …</span>' if one.cut else ""
    return (
        f'<section class="answer-time"><h4>{escape(one.prompt)}</h4>'
        '<div class="answer-row answer-expected"><span>Expected</span>'
        f"<div>{escape(one.expected or '')}</div></div>"
        f'<div class="answer-row"><span>Scored {one.score or 0:.0%}</span>'
        f"<div>{escape(one.answer)}{cut}</div></div></section>")
