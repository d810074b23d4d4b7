"""Which chat template a recipe means for a tokenizer, and at which tokens its answers end.

The model's own comes first. The text is saved beside the adapter, so that chat and every other
program render what was trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.data.samples import RowFault
from studio.data.templates.named import NAMED, family_of, named_template, split_marks
from studio.data.templates.rendering import render_turns, special_tokens_of
from studio.data.templates.syntax import check_syntax
from studio.data.templates.tokens import is_special, token_id
from studio.recipe import Data

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FALLBACK = "chatml"
"""Offered to a model without a chat template. Its answers end with the model's own end-of-text
token where <|im_end|> is none, which a base model knows how to write."""


def template_for(tokenizer: PreTrainedTokenizerBase, data: Data) -> str:
    """The Jinja template to render with; save it as the tokenizer's own beside the adapter.

    Where the studio's own is used, an answer ends with a token that generation stops at. Raises
    DataError where a custom one is not valid.
    """
    if data.template == "custom":
        check_syntax(data.custom_template)
        return data.custom_template
    if data.template == "auto":
        return own_template(tokenizer) or named_template(FALLBACK, tokenizer)
    return named_template(data.template, tokenizer)


def own_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The chat template that came with the model; the default one where it has several."""
    own = tokenizer.chat_template
    if isinstance(own, dict):
        own = own.get("default")
    return str(own) if own else None


def template_names(tokenizer: PreTrainedTokenizerBase | None) -> list[tuple[str, str, str]]:
    """(value for data.template, label, why) of every choice, in the order to show them.

    Without a tokenizer nothing is said about how well each fits.
    """
    named = [(name, one.label, one.why + _misfit(name, tokenizer)) for name, one in NAMED.items()]
    return [("auto", "The model's own", _why_auto(tokenizer)), *named,
            ("custom", "My own Jinja", "Write it yourself; an error names its line and variable.")]


def _why_auto(tokenizer: PreTrainedTokenizerBase | None) -> str:
    if tokenizer is None:
        return "What the model was trained with, or ChatML where it has none."
    if own_template(tokenizer):
        return "The model has one: what it was trained with is nearly always the best choice."
    family = family_of(tokenizer)
    also = "" if family in (None, FALLBACK) else (
        f" Its tokenizer also has the tokens of {NAMED[str(family)].label}.")
    return f"The model has none, so ChatML is used and saved with the adapter.{also}"


def _misfit(name: str, tokenizer: PreTrainedTokenizerBase | None) -> str:
    spelled = split_marks(name, tokenizer) if tokenizer is not None else []
    return f" This tokenizer spells {spelled[0]} in several tokens." if spelled else ""


def stop_token_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens at which an answer ends: the tokenizer's own, ChatML's where it has it, and the one
    that its chat template writes behind an answer."""
    template = template_for(tokenizer, Data())
    ids = [tokenizer.eos_token_id, token_id(tokenizer, "<|im_end|>"),
           end_of_answer(tokenizer, template)]
    return list(dict.fromkeys(number for number in ids if number is not None))


def end_ids_of(tokenizer: PreTrainedTokenizerBase, generation_config: Any) -> frozenset[int]:
    """Every id that ends an answer, by the model's generation config or by the tokenizer."""
    return frozenset([*named_ends(generation_config.eos_token_id), *stop_token_ids(tokenizer)])


def named_ends(eos_token_id: int | list[int] | None) -> list[int]:
    """The ids that a generation config names there: none, one, or several."""
    if eos_token_id is None:
        return []
    return eos_token_id if isinstance(eos_token_id, list) else [eos_token_id]


def end_of_answer(tokenizer: PreTrainedTokenizerBase, template: str) -> int | None:
    """The special token that the template writes behind a last answer; None where it writes none
    or refuses a plain conversation."""
    answer = "It is done"
    turns = [{"role": "user", "content": "Do it"}, {"role": "assistant", "content": answer}]
    try:
        text = render_turns(template, special_tokens_of(tokenizer), turns)
    except RowFault:
        return None
    behind = text.rpartition(answer)[2].lstrip()
    ids = tokenizer.encode(behind, add_special_tokens=False) if behind else []
    return ids[0] if ids and is_special(tokenizer, ids[0]) else None
