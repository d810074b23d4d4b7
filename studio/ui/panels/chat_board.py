"""The conversation: what was asked, what each column answered, and how it looks. Pure.

Answers stand side by side under their prompt, exactly as the models wrote them: escaped text, no
Markdown, so that a missing brace in JSON can be seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from html import escape

from studio.progress import Step
from studio.ui import markup

Message = dict[str, str]

ENDINGS = {"length": "cut at the token limit", "context": "the context is full",
           "stopped": "stopped"}

COPY_SCRIPT = """
element.addEventListener('click', async (event) => {
    const button = event.target.closest('.copy');
    if (!button) { return; }
    const text = button.closest('.answer').querySelector('.answer-text').textContent;
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 1200);
});
"""
"""Runs in the browser: the copy button of an answer."""


@dataclass(frozen=True)
class Answer:
    """What one column wrote. `ending` is empty while it still writes."""

    text: str = ""
    tokens: int = 0
    tokens_per_second: float | None = None
    ending: str = ""


@dataclass(frozen=True)
class Exchange:
    """One prompt and its answers by column, in order; or the error that came instead."""

    prompt: str
    answers: dict[str, Answer] = field(default_factory=dict)
    error: tuple[str, str] | None = None


@dataclass(frozen=True)
class Conversation:
    """All exchanges, oldest first. `loading` is set while the model is being loaded."""

    exchanges: tuple[Exchange, ...] = ()
    loading: Step | None = None

    def asked(self, prompt: str, columns: Iterable[str]) -> Conversation:
        """With a new prompt that nobody has answered; earlier ones that failed are dropped."""
        kept = tuple(one for one in self.exchanges if one.error is None)
        return Conversation((*kept, Exchange(prompt, {name: Answer() for name in columns})))

    def with_last(self, answers: dict[str, Answer] | None = None,
                  error: tuple[str, str] | None = None) -> Conversation:
        """With the last exchange answered so far, or failed."""
        last = self.exchanges[-1]
        new = replace(last, answers=last.answers if answers is None else answers, error=error)
        return Conversation((*self.exchanges[:-1], new))

    def history(self, column: str, system: str) -> list[Message]:
        """What `column` reads: the turns that it answered itself, and the last prompt."""
        turns: list[Message] = []
        if system.strip():
            turns.append({"role": "system", "content": system.strip()})
        for exchange in self.exchanges[:-1]:
            answer = exchange.answers.get(column)
            if answer is not None and exchange.error is None:
                turns += [{"role": "user", "content": exchange.prompt},
                          {"role": "assistant", "content": answer.text}]
        return [*turns, {"role": "user", "content": self.exchanges[-1].prompt}]


def board_view(conversation: Conversation) -> str:
    """The whole conversation as HTML."""
    if not conversation.exchanges:
        return markup.empty(
            "Ask the base and your adapters the same question",
            "Choose the runs to compare above, write a prompt below, and press Send. "
            "All answer side by side, with the same seed.",
        )
    parts = [_exchange(number, exchange) for number, exchange
             in enumerate(conversation.exchanges, start=1)]
    if conversation.loading is not None:
        parts.append(f'<div class="chat-loading">{markup.step_bar(conversation.loading)}</div>')
    # Reversed here and again by the style, which keeps the newest answer in view.
    return f'<div class="chat">{"".join(reversed(parts))}</div>'


def _exchange(number: int, exchange: Exchange) -> str:
    columns = len(exchange.answers)
    answers = "".join(_answer(name, answer) for name, answer in exchange.answers.items())
    below = (markup.note(*exchange.error, "problem") if exchange.error
             else f'<div class="answers answers-{columns}">{answers}</div>')
    return (f'<div class="exchange" data-turn="{number}"><div class="prompt">'
            f'{escape(exchange.prompt)}</div>{below}</div>')


def _answer(name: str, answer: Answer) -> str:
    nothing = '<span class="quiet">(no answer)</span>' if answer.ending else ""
    writing = "" if answer.ending else " writing"
    return (
        f'<div class="answer{writing}" data-column="{escape(name)}" '
        f'data-ending="{escape(answer.ending)}">'
        f'<div class="answer-head"><span class="answer-name">{escape(name)}</span>'
        f'<span class="quiet">{escape(_numbers(answer))}</span>'
        f'<button type="button" class="copy" title="Copy this answer">Copy</button></div>'
        f'<div class="answer-text">{escape(answer.text) or nothing}</div></div>'
    )


def _numbers(answer: Answer) -> str:
    if not answer.tokens:
        return "" if answer.ending else "waiting"
    words = [f"{answer.tokens} tokens"]
    if answer.tokens_per_second:
        words.append(f"{answer.tokens_per_second:.1f} tokens/s")
    if answer.ending in ENDINGS:
        words.append(ENDINGS[answer.ending])
    return ", ".join(words)
