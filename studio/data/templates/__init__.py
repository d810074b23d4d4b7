"""Chat templates: which one a recipe means, what it renders, and what is wrong with it.

    chosen (recipe -> Jinja text) -> rendering (turns -> text) -> checks (findings)
"""

from studio.data.templates.chosen import adds_bos, stop_token_ids, template_for
from studio.data.templates.rendering import render_turns, special_tokens_of

__all__ = ["adds_bos", "render_turns", "special_tokens_of", "stop_token_ids", "template_for"]
