"""Chat templates: which one a recipe means for a tokenizer.

The studio's own are Jinja as well, so the one that was trained with can be saved beside the
adapter and chat renders the same text. Jinja drops a line break that follows a block, so those
that matter are written as expressions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.recipe import Data

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHATML = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}END{% else %}<|im_end|>{% endif %}{{ '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_ALPACA = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }}\n\n"
    "{% elif message['role'] == 'user' %}"
    "{% if loop.first %}Below is an instruction that describes a task. Write a response that "
    "appropriately completes the request.\n\n{% endif %}"
    "### Instruction:\n{{ message['content'] }}\n\n"
    "{% else %}### Response:\n{{ message['content'] }}END"
    "{% if not loop.last %}{{ '\n\n' }}{% endif %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}### Response:\n{% endif %}"
)


def template_for(tokenizer: PreTrainedTokenizerBase, data: Data) -> str:
    """The Jinja template to render with; save it as the tokenizer's own beside the adapter.

    Where the studio's own is used, an answer ends with the token that generation stops at.
    """
    own = tokenizer.chat_template
    if data.template == "auto" and isinstance(own, str) and own:
        return own
    if data.template == "auto" and isinstance(own, dict) and own.get("default"):
        return str(own["default"])
    begin = "{{ bos_token }}" if adds_bos(tokenizer) else ""
    end = "{{ eos_token }}"
    if data.template == "alpaca":
        return begin + _ALPACA.replace("END", end)
    knows_im_end = _token_id(tokenizer, "<|im_end|>") is not None
    return begin + _CHATML.replace("END", "<|im_end|>" if knows_im_end else end)


def _token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int | None:
    number = tokenizer.convert_tokens_to_ids(token)
    return None if number in (None, tokenizer.unk_token_id) else int(number)


def adds_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether this tokenizer puts a begin-of-text token before plain text."""
    bos = tokenizer.bos_token_id
    return bos is not None and list(tokenizer("a")["input_ids"])[:1] == [bos]


def stop_token_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens at which an answer ends: the tokenizer's own, and ChatML's where it has it."""
    ids = [tokenizer.eos_token_id, _token_id(tokenizer, "<|im_end|>")]
    return list(dict.fromkeys(number for number in ids if number is not None))
