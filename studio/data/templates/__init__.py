"""Chat templates: which one a recipe means, what it renders, and what is wrong with it.

    chosen (recipe -> Jinja text) -> rendering (turns -> text) -> checks (findings)
"""

from studio.data.templates.chosen import (
    end_ids_of,
    named_ends,
    stop_token_ids,
    template_for,
    template_names,
)
from studio.data.templates.rendering import render_turns, special_tokens_of
from studio.data.templates.syntax import check_syntax
from studio.data.templates.tokens import adds_bos

__all__ = ["adds_bos", "check_syntax", "end_ids_of", "named_ends", "render_turns",
           "special_tokens_of", "stop_token_ids", "template_for", "template_names"]
