"""How a conversation looks: prompts, and under each the answers of all columns. Pure.

Answers stand side by side under their prompt; one of them is in `chat_answer_view.py`. A piece of
HTML for each exchange, so that a stream sends the last one only.
"""

from __future__ import annotations

from html import escape

from studio.chat.conversation import Conversation, Exchange
from studio.ui import markup
from studio.ui.panels.chat_answer_view import Place, answer_view
from studio.ui.panels.chat_marks import PLAIN, Marks, legend_view, marked_texts
from studio.ui.presses import COPY

TEMPLATE = '<div class="chat"><div class="chat-turns">${value.join("")}</div></div>'
"""The outer box is turned round by its style, which keeps the newest answer in view."""

BOARD_SCRIPT = COPY + """
const opened = new Set();
const name = (fold) => fold.closest('.answer').dataset.answer;
element.addEventListener('toggle', (event) => {
    if (!event.target.matches('details.thought')) { return; }
    opened[event.target.open ? 'add' : 'delete'](name(event.target));
}, true);
// What is drawn anew is drawn closed.
watch('value', () => {
    for (const fold of element.querySelectorAll('details.thought')) {
        fold.open = opened.has(name(fold));
    }
});
element.addEventListener('click', (event) => {
    const button = event.target.closest('button');
    if (!button) { return; }
    if (button.dataset.what) {
        const {what, turn, column, number} = button.dataset;
        trigger('click', {what, turn: Number(turn), column, number: Number(number)});
        return;
    }
    copy(button, button.closest('.answer').querySelector('.answer-text').textContent);
});
"""
"""Runs in the browser: unfolded thoughts stay so, buttons tell what shall become of which answer,
and the one that copies needs nobody."""


def board_view(conversation: Conversation, marks: Marks = PLAIN) -> list[str]:
    """The whole conversation, oldest first."""
    if not conversation.exchanges:
        return [markup.empty(
            "Ask the base and your adapters the same question",
            "Choose the runs to compare above, write a prompt below, and press Send. "
            "All answer side by side, with the same seed.",
        )]
    last = len(conversation.exchanges)
    can_change = not is_growing(conversation)
    parts = [_exchange(number, exchange, marks, can_change=can_change, is_last=number == last)
             for number, exchange in enumerate(conversation.exchanges, start=1)]
    if conversation.loading is not None:
        parts.append(f'<div class="chat-loading">{markup.step_bar(conversation.loading)}</div>')
    return parts


def is_growing(conversation: Conversation) -> bool:
    """Whether the last prompt is being answered."""
    if not conversation.exchanges or conversation.exchanges[-1].error is not None:
        return False
    return any(not answer.ending for answer in conversation.exchanges[-1].answers.values())


def _exchange(turn: int, exchange: Exchange, marks: Marks, *, can_change: bool,
              is_last: bool) -> str:
    # Of what still grows nothing can be said to differ.
    marks = PLAIN if is_last and not can_change else marks
    texts = marked_texts(exchange.answers, marks)
    shown = {name: tries for name, tries in exchange.columns.items()
             if exchange.error is None or tries.answer.is_begun}
    answers = "".join(
        answer_view(tries, Place(turn, name, can_change=can_change), texts.get(name))
        for name, tries in shown.items())
    below = f'<div class="answers answers-{len(shown)}">{answers}</div>' if shown else ""
    legend = legend_view(exchange.answers, marks, is_last=is_last)
    error = markup.note(*exchange.error, "problem") if exchange.error else ""
    return (f'<div class="exchange" data-turn="{turn}">{_prompt(turn, exchange, can_change)}'
            f"{below}{legend}{error}</div>")


def _prompt(turn: int, exchange: Exchange, can_change: bool) -> str:
    edit = (f'<button type="button" class="edit" data-what="edit" data-turn="{turn}" '
            f'title="Edit this prompt" aria-label="Edit prompt {turn}">✎</button>'
            if can_change else "")
    return (f'<div class="prompt-line">{edit}<div class="prompt">{escape(exchange.prompt)}</div>'
            "</div>")
