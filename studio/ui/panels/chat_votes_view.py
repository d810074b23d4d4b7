"""A blind vote as it looks: the prompt, the answers A, B and so on, the verdicts. Pure.

Before the verdict nothing in the HTML tells who wrote what: no name, no count, no speed. Answers
stand exactly as the models wrote them: escaped text, no Markdown.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from studio.chat.training_file import CUT
from studio.chat.votes import ALL_BAD, TIE, Ballot, BallotAnswer
from studio.ui import markup
from studio.ui.panels.chat_answer_view import text_view, thought_view
from studio.ui.presses import press_script
from studio.ui.words import counted

ACT_SCRIPT = press_script("act")
"""Runs in the browser: a press on a button of ours tells which one it was."""

VOTE_SCRIPT = ACT_SCRIPT + """
document.addEventListener('keydown', (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) { return; }
    if (element.offsetParent === null || !event.target.closest) { return; }
    if (event.target.closest('input, textarea, select, [contenteditable]')) { return; }
    if (event.key === 'Enter' && event.target.closest('button, summary')) { return; }
    const key = event.key.toLowerCase();
    const button = [...element.querySelectorAll('[data-key]')].find(
        (one) => one.dataset.key === key);
    if (!button) { return; }
    event.preventDefault();
    document.activeElement.blur();  // or Enter would press what was pressed by hand before
    button.click();
});
"""
"""The same, and keys do what the buttons do that name them, while nobody types."""

SKIP, UNDO, NEXT = "skip", "undo", "next"


@dataclass(frozen=True)
class Paper:
    """A ballot on the page: which of how many prompts it is, and the verdict once there is one."""

    ballot: Ballot
    number: int
    prompts: int
    verdict: str = ""


def paper_view(paper: Paper) -> str:
    """Prompt, answers, verdicts; after the verdict the names."""
    ballot, verdict = paper.ballot, paper.verdict
    answers = "".join(
        _revealed(label, one, is_best=label == verdict) if verdict else _unnamed(label, one)
        for label, one in zip(ballot.labels, ballot.answers, strict=True))
    below = _after(paper) if verdict else _verdicts(ballot)
    return (f'<div class="ballot" data-number="{paper.number + 1}" '
            f'data-verdict="{escape(verdict)}">'
            f'<div class="quiet">Prompt {paper.number + 1:,} of {paper.prompts:,}</div>'
            f'{_history(ballot.answers[0])}<div class="answers">{answers}</div>{below}</div>')


def verdict_words(ballot: Ballot, verdict: str) -> str:
    """A verdict as a sentence with names."""
    if verdict == TIE:
        return "You called it a tie."
    if verdict == ALL_BAD:
        return "You found none of them good."
    winner = ballot.answers[ballot.labels.index(verdict)]
    return f"You chose {verdict}, which {winner.contestant.name} wrote."


def _history(one: BallotAnswer) -> str:
    *before, asked = one.history
    earlier = "".join(f'<div class="quiet">{escape(turn["role"])}</div>'
                      f'<div class="earlier-turn">{escape(turn["content"])}</div>'
                      for turn in before)
    folded = (f"<details><summary>What stands before it</summary>{earlier}</details>"
              if before else "")
    return f'{folded}<div class="prompt">{escape(asked["content"])}</div>'


def _unnamed(label: str, one: BallotAnswer) -> str:
    return (f'<div class="answer" data-label="{label}"><div class="answer-head">'
            f'<span class="answer-name">{label}</span></div>{_text(one)}</div>')


def _revealed(label: str, one: BallotAnswer, *, is_best: bool) -> str:
    who, tokens = one.contestant, counted(one.answer.tokens, "token")
    best = '<span class="pill pill-done">your choice</span>' if is_best else ""
    return (f'<div class="answer{" answer-best" if is_best else ""}" data-label="{label}" '
            f'data-column="{escape(who.name)}"><div class="answer-head">'
            f'<span class="answer-name">{label}: {escape(who.name)}</span>{best}'
            f'<span class="quiet">{tokens}</span></div>{_text(one)}</div>')


def _text(one: BallotAnswer) -> str:
    cut = (f'<div class="answer-cut quiet">The answer {CUT[one.answer.ending]}.</div>'
           if one.answer.ending in CUT else "")
    return (f'{thought_view(one.answer)}<div class="answer-text">{text_view(one.answer)}</div>'
            f"{cut}")


def _verdicts(ballot: Ballot) -> str:
    best = "".join(_button(label, f"{label} is best", label.lower(), "verdict-best")
                   for label in ballot.labels)
    return (f'<div class="verdicts">{best}{_button(TIE, "Tie", "t")}'
            f'{_button(ALL_BAD, "All bad", "x")}{_button(SKIP, "Skip", "s")}</div>')


def _after(paper: Paper) -> str:
    said = escape(verdict_words(paper.ballot, paper.verdict))
    return (f'<div class="verdicts"><span class="verdict-said">{said}</span>'
            f'{_button(NEXT, "Next", "enter", "verdict-best")}{_button(UNDO, "Undo", "u")}</div>')


def _button(act: str, text: str, key: str, css: str = "") -> str:
    return (f'<button type="button" class="verdict {css}" data-act="{act}" data-key="{key}">'
            f"{escape(text)}<kbd>{escape(key.capitalize())}</kbd></button>")


def nothing_to_vote_on(sets: int, pending: int, is_active: bool) -> str:
    """What stands in place of a ballot, and how one gets there."""
    if not sets:
        return markup.empty("No vote is open", "Let the columns answer some prompts above. You "
                            "then choose the best answer without knowing who wrote it.")
    if is_active:
        return markup.empty("The first answers are on their way",
                            "You can vote on a prompt as soon as all columns have answered it.")
    if pending:
        return markup.empty("Nothing more to vote on yet", "Let the rest be answered.")
    return markup.empty("You have voted on all of these prompts",
                        "What your votes say stands below. Ask more prompts to be surer.")
