"""How an export answered beside the model in training, as the page shows it. Pure.

The words come from the check itself; here they get a place.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from studio.export.verify import Verification
from studio.export.verify.verification import AnswerPair, TokenMeasures
from studio.ui import markup

WORDS = {"same": "answers the same", "close": "hardly told apart", "changed": "can be told apart",
         "poor": "clearly worse", "broken": "answers as another model"}
LOOKS = {"same": "done", "close": "done", "changed": "stopped", "poor": "failed",
         "broken": "failed"}


def verdict_pill(found: Verification | None) -> str:
    """The result in two or three words and a number; nothing where nobody asked."""
    if found is None:
        return ""
    look = LOOKS[found.level] if found.is_good or LOOKS[found.level] != "done" else "stopped"
    return (f'<span class="pill pill-{look}" data-level="{found.level}">'
            f'{WORDS[found.level]}</span><span class="quiet">{escape(agreement(found))}</span>')


def agreement(found: Verification) -> str:
    """"98.2 % of the next tokens agree, KL 0.004"; of the answers where no token could be read."""
    if found.measures is not None:
        values = found.measures
        return f"{_percent(values.top1_agreement)} of next tokens agree, KL {values.mean_kl:.3g}"
    if found.answers:
        return f"{found.identical_answers} of {len(found.answers)} answers are equal"
    return ""


def verification_view(found: Verification) -> str:
    """The whole report: the sentence, warnings, what was measured, and the answers beside each
    other."""
    return f'<div class="verification">{"".join(_parts(found))}</div>'


def _parts(found: Verification) -> Iterator[str]:
    yield markup.note(found.summary, level="good" if found.is_good else "warning")
    for text in found.warnings:
        yield markup.note(text, level="warning")
    if found.measures is not None:
        yield _measures(found.measures)
    if found.checks:
        yield "".join(
            f'<p class="check check-{"passed" if check.passed else "failed"}">'
            f"<b>{escape(check.name.capitalize())}:</b> {escape(check.said)}</p>"
            for check in found.checks)
    for text in filter(None, (found.sample, *found.notes)):
        yield f'<p class="quiet">{escape(text)}</p>'
    if found.answers:
        yield _answers(found)


def _measures(values: TokenMeasures) -> str:
    more = " or a little more" if values.kl_is_lower_bound else ""
    return markup.tiles([
        ("top1", "same likeliest token", _percent(values.top1_agreement)),
        ("kl", f"mean KL, nats a token{more}", f"{values.mean_kl:.3g}"),
        ("perplexity", f"perplexity, live {values.live_perplexity:.3g}",
         f"{values.artifact_perplexity:.3g}"),
        ("rise", "perplexity against the live one", f"{values.perplexity_rise:+.1%}"),
        ("tokens", "answer tokens compared", f"{values.tokens:,}"),
    ])


def _answers(found: Verification) -> str:
    pairs = "".join(map(_pair, found.answers))
    return (f"<details><summary>{found.identical_answers} of {len(found.answers)} greedy answers "
            f"are equal to the last character</summary>{pairs}</details>")


def _pair(pair: AnswerPair) -> str:
    same = '<span class="answer-right">equal</span>' if pair.is_identical else (
        f" {pair.agreement:.0%} of the tokens agree before the first difference")
    rows = [("Prompt", pair.prompt)]
    if pair.live or pair.artifact:  # a folder that is passed on keeps no text of the data
        rows.append(("Live", pair.live + _cut(pair.live_ends)))
        if not pair.is_identical or pair.live_ends != pair.artifact_ends:
            rows.append(("Exported", pair.artifact + _cut(pair.artifact_ends)))
    inner = "".join(f'<div class="answer-row"><span>{name}</span><div>{escape(text)}</div></div>'
                    for name, text in rows)
    return f'<div class="answer-time">{inner}<p class="quiet">{same}</p></div>'


def _cut(ends: bool) -> str:
    return "" if ends else " [cut here]"


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")
