"""Conversations to the token ids that a column reads, each column through its own template.

Special tokens that a person typed are encoded as text: only the template's own control tokens
become control tokens (the tokenizer's `sanitize_control_tokens`). So nobody can end a turn or
fake another by typing `<|im_end|>`. A tokenizer without a chat template of its own gets the one
that training would have used.

A template that has a place for an answer's thoughts is given them there, so that it leaves out
those of earlier turns if that is its way; any other is given the text as it was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.chat.context import WAYS_OUT, ContextUse
from studio.data.records import has_broken_text
from studio.errors import DataError, ModelError
from studio.models.thoughts import opened_thought, split_thought

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = dict[str, str]

_LONGEST_OPENING_TOKENS = 16


def prompt_ids(
    history: list[Message], tokenizer: PreTrainedTokenizerBase, column: str
) -> list[int]:
    """Token ids up to where the answer begins.

    Raises DataError for an empty prompt, and ModelError where the template refuses the
    conversation or is wrong, naming the line of it.
    """
    from jinja2 import TemplateError

    from studio.data.samples import RowFault
    from studio.data.templates import render_turns, special_tokens_of, template_for
    from studio.recipe import Data

    require_question(history, column)
    template = template_for(tokenizer, Data())
    turns = _with_thoughts_apart(history, template, tokenizer)
    try:
        # Says where a template fails, and ends one that never would.
        render_turns(template, special_tokens_of(tokenizer), turns, answer_next=True)
        encoded: Any = tokenizer.apply_chat_template(
            turns, chat_template=template, add_generation_prompt=True, return_dict=True,
            sanitize_control_tokens=True,
        )
    except (RowFault, TemplateError) as error:
        said = error.message if isinstance(error, RowFault) else str(error)
        raise ModelError(
            f"The conversation of {column} cannot be answered: {said.rstrip('.')}.",
            "Some templates take no system prompt, or want user and assistant to alternate.",
        ) from error
    return list(encoded["input_ids"])


def opening_of(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """The tag of a thought that the template began at the end of the prompt, else ""."""
    return opened_thought(str(tokenizer.decode(ids[-_LONGEST_OPENING_TOKENS:])))


def _with_thoughts_apart(
    history: list[Message], template: str, tokenizer: PreTrainedTokenizerBase
) -> list[Message]:
    """The thoughts of earlier answers under the name by which templates know them."""
    apart = [with_thought_apart(turn) for turn in history]
    return apart if apart != history and _has_place(template, tokenizer) else history


def with_thought_apart(turn: Message) -> Message:
    """The thought of an answer under the name by which templates know it; else the turn as it is.
    """
    parts = split_thought(turn["content"])
    if turn["role"] != "assistant" or parts.answer == turn["content"]:
        return turn
    return {**turn, "content": parts.answer, "reasoning_content": parts.thought}


def _has_place(template: str, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the template writes the thought of a last answer."""
    from studio.data.samples import RowFault
    from studio.data.templates import render_turns, special_tokens_of
    from studio.data.templates.probe import QUESTION, REASONED

    try:
        text = render_turns(template, special_tokens_of(tokenizer), [QUESTION, REASONED])
    except RowFault:  # it wants other turns; a prompt that it refuses is told where it is rendered
        return False
    return REASONED["reasoning_content"] in text


def require_question(history: list[Message], column: str) -> None:
    """Raise DataError unless the conversation ends with a prompt that can be read."""
    last = history[-1] if history else {"role": "user", "content": ""}
    if last["role"] != "user":
        raise DataError(f"The conversation of {column} ends with a turn of the {last['role']}, so "
                        "there is nothing to answer.", "Add a turn of the user.")
    if not last["content"].strip():
        raise DataError("The prompt is empty.", "Write something for the models to answer.")
    if has_broken_text([turn["content"] for turn in history]):
        raise DataError(f"The conversation of {column} holds half of a character, which no "
                        "tokenizer takes.", "Write the prompt again, without what was pasted.")


def room_in_context(prompt_tokens: int, context_tokens: int | None, column: str) -> int | None:
    """How many tokens still fit behind the prompt, or None where the model names no limit."""
    if context_tokens is None:
        return None
    use = ContextUse(column, prompt_tokens, context_tokens)
    if use.is_full:
        raise ModelError(use.said, WAYS_OUT)
    return use.left_tokens
