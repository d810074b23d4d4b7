"""How much of what the model can read a conversation takes, under the prompt box. Pure."""

from __future__ import annotations

from html import escape

from studio.chat.context import tightest
from studio.chat.conversation import Conversation
from studio.ui import markup


def context_view(conversation: Conversation, longest_answer_tokens: int) -> str:
    """The count of the column that is full first, and a warning once it is nearly so."""
    uses = conversation.context_uses
    use = tightest(uses)
    if use is None:
        longest = max(uses, key=lambda one: one.used_tokens, default=None)
        return f'<p class="quiet">{escape(longest.said)}</p>' if longest else ""
    warning = use.warning(longest_answer_tokens)
    words = f"{use.used_tokens:,} of {use.limit_tokens:,} tokens"
    level = "problem" if use.is_full else "warning"
    return (f'<div class="context" data-used="{use.used_tokens}"><div class="bar-line">'
            f'<span class="quiet">The conversation so far ({escape(use.column)})</span>'
            f'<span class="quiet">{words}</span></div>'
            f"{markup.bar(min(1.0, use.share or 0.0), words)}</div>"
            f"{markup.note(warning, level=level) if warning else ''}")
