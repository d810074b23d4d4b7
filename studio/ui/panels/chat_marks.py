"""What is marked in answers: where they differ from the first column, or how far an adapter has
moved each token away from the base. Pure functions to HTML.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from html import escape
from typing import Literal

from studio.chat.conversation import Answer
from studio.chat.differences import Span, differences
from studio.chat.scoring import AnswerScore
from studio.ui.words import joined

Marks = Literal["plain", "differences", "distance"]
PLAIN: Marks = "plain"
DIFFERENCES: Marks = "differences"
DISTANCE: Marks = "distance"
MARKS: list[tuple[str, Marks]] = [
    ("Nothing", PLAIN), ("Differences", DIFFERENCES), ("Distance to the base", DISTANCE)]

LEAST_KEPT = 0.25
"""Share of an answer that another must have, too, for the two to be compared."""
FAINTEST = 0.03
"""Share of the strongest colour below which a token stays without."""
LOWEST_TOP_NATS = 0.1
"""The strongest colour stands for this much at least, or rounding errors would shine."""


def marked_texts(answers: Mapping[str, Answer], marks: Marks) -> dict[str, str]:
    """The texts in which something is to be marked, as HTML by column."""
    if marks == DIFFERENCES:
        texts = {name: answer.parts.answer for name, answer in answers.items()
                 if answer.parts.answer}
        return _different(tuple(texts.items()))
    if marks == DISTANCE:
        top = _top_nats(answers)
        return {name: "".join(_tokens(answer, answer.score, top))
                for name, answer in answers.items() if _moved(answer) and answer.score}
    return {}


def legend_view(answers: Mapping[str, Answer], marks: Marks, *, is_last: bool = True) -> str:
    """What the colours mean, under the answers that have some."""
    words = ""
    if marks == DIFFERENCES:
        words = _differences_legend(answers)
    elif marks == DISTANCE:
        words = _distance_legend(answers, is_last=is_last)
    return f'<p class="marks-legend quiet">{words}</p>' if words else ""


def _differences_legend(answers: Mapping[str, Answer]) -> str:
    texts = {name: answer.parts.answer for name, answer in answers.items() if answer.parts.answer}
    groups = _alike(tuple(texts.items()))
    compared = [f"{escape(joined(group[1:]))} against {escape(group[0])}" for group in groups
                if len(group) > 1]
    if not compared:
        return "No two of these answers share more than a few words." if len(texts) > 1 else ""
    alone = any(len(group) == 1 for group in groups)
    more = " An answer that shares hardly a word with another is left as it is." if alone else ""
    return f"Marked is what differs: {'; '.join(compared)}.{more}"


def _distance_legend(answers: Mapping[str, Answer], *, is_last: bool) -> str:
    if not any(answer.score for answer in answers.values()):
        return ("Not measured. Press Measure to see how far each adapter has moved these answers "
                "away from the base." if is_last else "")
    if not any(_moved(answer) for answer in answers.values()):
        return ("No adapter has moved anything here: each of these answers was drawn from the "
                "base's own odds.")
    return (f'<span>0</span><span class="heat-bar"></span><span>{_top_nats(answers):.2f} nats'
            "</span><span>The stronger the colour of a token, the further the adapter has moved "
            "the odds of what comes there away from the base's (Kullback-Leibler divergence). "
            "Without colour the base had the same odds.</span>")


# Both are kept, since a stream draws the turns above it again and again.
@functools.lru_cache(maxsize=256)
def _different(texts: tuple[tuple[str, str], ...]) -> dict[str, str]:
    by_name = dict(texts)
    return {name: "".join(map(_span, spans))
            for group in _alike(texts) if len(group) > 1
            for name, spans in differences({one: by_name[one] for one in group}).items()}


@functools.lru_cache(maxsize=256)
def _alike(texts: tuple[tuple[str, str], ...]) -> list[list[str]]:
    """Names of the columns that are compared with each other, the first of each group is what the
    others are held against. Where all is different, marking it would say nothing."""
    if not texts:
        return []
    (first, reference), *others = texts
    group, rest = [first], []
    for name, text in others:
        spans = differences({"first": reference, "other": text})["other"]
        if _kept_share(spans) >= LEAST_KEPT:
            group.append(name)
        else:
            rest.append((name, text))
    return [group, *_alike(tuple(rest))]


def _kept_share(spans: list[Span]) -> float:
    """How much of a text the others have, too, by its letters."""
    letters = [(sum(map(str.isalnum, span.text)), span.is_changed) for span in spans]
    total = sum(count for count, _ in letters)
    return sum(count for count, is_changed in letters if not is_changed) / total if total else 1.0


def _span(span: Span) -> str:
    word = span.text.strip()
    if not span.is_changed or not word:
        return escape(span.text)
    before, _, behind = span.text.partition(word)
    return f"{before}<mark>{escape(word)}</mark>{behind}"


def _moved(answer: Answer) -> bool:
    return answer.score is not None and any(answer.score.kl_to_base)


def _top_nats(answers: Mapping[str, Answer]) -> float:
    """What the strongest colour stands for: the same for all columns, or they could not be
    compared."""
    found = [value for one in answers.values() if one.score for value in one.score.kl_to_base]
    return max([LOWEST_TOP_NATS, *found])


def _tokens(answer: Answer, score: AnswerScore, top: float) -> Iterator[str]:
    """The tokens of the answer proper; those of a thought before it are folded away elsewhere."""
    written = "".join(score.texts)
    start = max(0, written.rfind(answer.parts.answer))
    place = 0
    for text, likely, moved in zip(
            score.texts, score.log_probabilities, score.kl_to_base, strict=True):
        place += len(text)
        if text and place > start:  # the first bytes of a character show nothing
            yield _token(text[max(0, start - place + len(text)):], likely, moved, moved / top)


def _token(text: str, likely: float, moved: float, share: float) -> str:
    title = f"{moved:.3f} nats from the base, probability {100 * math.exp(likely):.1f} %"
    style = f' style="--heat: {share:.2f}"' if share >= FAINTEST else ""
    return f'<span class="heat" title="{title}"{style}>{escape(text)}</span>'
