"""Conversations to the token ids that a column reads, each column through its own template.

Special tokens that a person typed are encoded as text: only the template's own control tokens
become control tokens (the tokenizer's `sanitize_control_tokens`). So nobody can end a turn or
fake another by typing `<|im_end|>`. A tokenizer without a chat template of its own gets the one
that training would have used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.errors import DataError, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = dict[str, str]


def prompt_ids(
    history: list[Message], tokenizer: PreTrainedTokenizerBase, column: str
) -> list[int]:
    """Token ids up to where the answer begins. Raises DataError for an empty prompt."""
    from jinja2 import TemplateError

    from studio.data.templates import template_for
    from studio.recipe import Data

    _require_question(history, column)
    try:
        encoded: Any = tokenizer.apply_chat_template(
            history, chat_template=template_for(tokenizer, Data()), add_generation_prompt=True,
            return_dict=True, sanitize_control_tokens=True,
        )
    except TemplateError as error:
        raise ModelError(
            f"The chat template of {column} refuses this conversation: {error}.",
            "Some templates take no system prompt, or want user and assistant to alternate.",
        ) from error
    return list(encoded["input_ids"])


def _require_question(history: list[Message], column: str) -> None:
    last = history[-1] if history else {"role": "user", "content": ""}
    if last["role"] != "user":
        raise DataError(f"The conversation of {column} ends with a turn of the {last['role']}, so "
                        "there is nothing to answer.", "Add a turn of the user.")
    if not last["content"].strip():
        raise DataError("The prompt is empty.", "Write something for the models to answer.")


def room_in_context(prompt_tokens: int, context_tokens: int | None, column: str) -> int | None:
    """How many tokens still fit behind the prompt, or None where the model names no limit."""
    if context_tokens is None:
        return None
    if prompt_tokens >= context_tokens:
        raise ModelError(
            f"The conversation is {prompt_tokens} tokens long for {column}, but the model reads "
            f"at most {context_tokens}.", "Shorten it, or begin a new conversation.")
    return context_tokens - prompt_tokens
