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
    import torch
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


def left_padded(rows: list[list[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask of shape (rows, longest), padded on the left."""
    import torch

    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad_id)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, longest - len(row):] = torch.tensor(row)
        mask[number, longest - len(row):] = 1
    return ids, mask


def end_ids_of(tokenizer: PreTrainedTokenizerBase, generation_config: Any) -> frozenset[int]:
    """Every id that ends an answer, by the model's generation config or by the tokenizer."""
    from studio.data.templates import stop_token_ids

    ends = generation_config.eos_token_id
    named = ends if isinstance(ends, list) else [] if ends is None else [ends]
    return frozenset([*named, *stop_token_ids(tokenizer)])


def readable(tokenizer: PreTrainedTokenizerBase, token_ids: list[int]) -> str:
    """The text so far, without special tokens and without the first bytes of half a character."""
    text = tokenizer.decode(token_ids, skip_special_tokens=True,
                            clean_up_tokenization_spaces=False)
    return str(text).rstrip("\ufffd")
