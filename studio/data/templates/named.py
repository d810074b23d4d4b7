"""The studio's own chat templates: the files of assets/templates, fitted to a tokenizer.

Each file stands for itself. Two of its first lines are set here for the tokenizer at hand, so that
what is saved beside an adapter renders the same text everywhere: `begin` is the begin-of-text token
or nothing, `end` closes an answer and is always one that generation stops at.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from studio.data.templates.tokens import adds_bos, token_id

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FOLDER = Path(__file__).resolve().parents[3] / "assets" / "templates"
_BEGIN = "{%- set begin = bos_token -%}"
_END = re.compile(r"\{%- set end = '(?P<mark>[^']+)' -%\}")
_END_OF_TEXT = "{%- set end = eos_token -%}"


class Named(NamedTuple):
    """`label` for a list to choose from, `why` says what it is good for. `marks` are written as
    special tokens by the models that the template comes from; none where it uses plain words."""

    label: str
    why: str
    marks: tuple[str, ...] = ()


NAMED = {
    "chatml": Named("ChatML", "Qwen, SmolLM and many others; the only one here with tools and "
                    "reasoning.", ("<|im_start|>", "<|im_end|>")),
    "alpaca": Named("Alpaca", "Plain words, for any base model; made for single instructions."),
    "llama2": Named("Llama 2 [INST]", "Llama 2 Chat and models made from it."),
    "llama3": Named("Llama 3", "Llama 3 Instruct and models made from it.",
                    ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
    "mistral": Named("Mistral [INST]", "Mistral 7B Instruct 0.1 and 0.2; system text joins the "
                     "user's."),
    "zephyr": Named("Zephyr", "Zephyr and TinyLlama Chat; plain words and the end-of-text token."),
    "gemma": Named("Gemma", "Gemma 1 to 3; system text joins the user's.",
                   ("<start_of_turn>", "<end_of_turn>")),
    "phi": Named("Phi", "Phi-3 and Phi-3.5.",
                 ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")),
    "vicuna": Named("Vicuna", "Vicuna 1.5 and LLaVA; plain words USER and ASSISTANT."),
    "human_assistant": Named("### Human / ### Assistant", "Guanaco and older chat models; plain "
                             "words."),
}


def named_template(name: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """The Jinja text of one of `NAMED`, fitted to the tokenizer."""
    text = _file(name)
    if not adds_bos(tokenizer):
        text = text.replace(_BEGIN, _BEGIN.replace("bos_token", "''"))
    mark = _END.search(text)
    if mark and token_id(tokenizer, mark["mark"]) is None:
        text = text.replace(mark.group(), _END_OF_TEXT)
    return text


def family_of(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The first of `NAMED` all of whose marks are tokens here; None where there is none."""
    return next((name for name, named in NAMED.items()
                 if named.marks and not split_marks(name, tokenizer)), None)


def split_marks(name: str, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The marks of a template that this tokenizer has to spell in several tokens."""
    return [mark for mark in NAMED[name].marks if token_id(tokenizer, mark) is None]


@cache
def _file(name: str) -> str:
    return (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
