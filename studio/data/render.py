"""From a conversation to token ids and the loss mask: the only tokenisation in the studio.

The full text is rendered once. Where each answer stands in it is found by rendering the turns
before it with the generation prompt, which must be a prefix of the full text, so the mask is
exact for every template that says the same thing twice, and one that does not is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from studio.data.conversations import Conversation, Turn
from studio.data.templates import template_for
from studio.errors import DataError
from studio.recipe import Data

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NO_LOSS = -100
"""The label that PyTorch's cross entropy and TRL's collator pass over."""

Span = tuple[int, int]


@dataclass(frozen=True)
class Example:
    """One example as the trainer gets it.

    `text` is the whole rendering; `input_ids` and `labels` (-100: no loss) are cut to
    max_length, `cut_tokens` were cut off. `ends[i]` is where token i ends in `text`.
    """

    text: str
    input_ids: list[int]
    labels: list[int]
    truncated: bool
    cut_tokens: int
    ends: list[int]

    @property
    def pieces(self) -> list[tuple[str, bool]]:
        """(text of the token, carries loss), one per token; joined they are the kept text.

        A character that takes several tokens is shown at the last of them.
        """
        start = 0
        shown = []
        for end, label in zip(self.ends, self.labels, strict=True):
            shown.append((self.text[start:end], label != NO_LOSS))
            start = max(start, end)
        return shown

    @property
    def cut_text(self) -> str:
        """What the model never sees, because it lies behind max_length."""
        return self.text[max(self.ends, default=0):] if self.truncated else ""

    @property
    def loss_tokens(self) -> int:
        """Tokens that are learned. The first token is never predicted, so it does not count."""
        return sum(label != NO_LOSS for label in self.labels[1:])


def render(
    conversation: Conversation, tokenizer: PreTrainedTokenizerBase, data: Data
) -> Example:
    """Render, tokenise, mask and cut one conversation.

    Raises DataError where the template refuses the turns or cannot be masked exactly.
    """
    if isinstance(conversation, str):
        return _render_text(conversation, tokenizer, data)
    template = template_for(tokenizer, data)
    text = _apply(conversation, tokenizer, template)
    if data.loss_on == "all":
        spans = [(0, len(text))]
    else:
        spans = answer_spans(conversation, text, tokenizer, template)
    # The template writes the begin-of-text token itself where the model wants one.
    return _example(text, spans, tokenizer, data, add_special_tokens=False)


def _render_text(text: str, tokenizer: PreTrainedTokenizerBase, data: Data) -> Example:
    """Plain text: every token is learned, and the end token so that the model can stop."""
    eos = tokenizer.eos_token or ""
    if not text.endswith(eos):
        text += eos
    bos = tokenizer.bos_token
    has_bos = bool(bos) and text.startswith(bos)
    return _example(text, [(0, len(text))], tokenizer, data, add_special_tokens=not has_bos)


def _apply(
    turns: list[Turn], tokenizer: PreTrainedTokenizerBase, template: str, *,
    answer_next: bool = False,
) -> str:
    import jinja2

    try:
        return str(tokenizer.apply_chat_template(
            turns, chat_template=template, tokenize=False, add_generation_prompt=answer_next,
        ))
    except jinja2.TemplateError as error:
        raise DataError(f"the chat template refuses these turns: {error}",
                        "Correct the turns, or choose another data.template.") from error


def answer_spans(
    turns: list[Turn], text: str, tokenizer: PreTrainedTokenizerBase, template: str
) -> list[Span]:
    """(start, end) in `text` of every assistant turn, its end-of-turn token included."""
    spans: list[Span] = []
    for index, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        start = _answer_start(turns, index, text, tokenizer, template)
        last = index == len(turns) - 1
        whole = text if last else _apply(turns[: index + 1], tokenizer, template)
        end = len(whole) if text.startswith(whole) else _answer_end(turn, whole, text, start)
        if end is None or end < start:
            raise _not_exact(index)
        # The line break after the end-of-turn token is the template's, not the answer's.
        spans.append((start, start + len(text[start:end].rstrip())))
    return spans


def _answer_start(
    turns: list[Turn], index: int, text: str, tokenizer: PreTrainedTokenizerBase, template: str
) -> int:
    """Behind the generation prompt, which is what the model is given when it answers."""
    prompt = _apply(turns[:index], tokenizer, template, answer_next=True)
    if text.startswith(prompt):
        return len(prompt)
    # Some templates open a thinking block in the generation prompt that taught answers lack.
    before = _apply(turns[:index], tokenizer, template)
    common = _common_prefix(prompt, text)
    content = text.find(turns[index]["content"].strip(), len(before))
    if not text.startswith(before) or common <= len(before) or content < 0:
        raise _not_exact(index)
    return min(common, content)


def _common_prefix(first: str, second: str) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(first), len(second)))


def _answer_end(turn: Turn, whole: str, text: str, start: int) -> int | None:
    """For templates that render a last turn differently from the same turn further up."""
    content = turn["content"].strip()
    ending = whole[whole.rfind(content) + len(content):]
    end = text.find(content + ending, start)
    return None if end < 0 else end + len(content) + len(ending)


def _not_exact(index: int) -> DataError:
    return DataError(
        f"the chat template renders turn {index + 1} differently when other turns follow, so "
        "it cannot be said exactly which tokens are the answer.",
        "Set data.loss_on to all, or choose another data.template.",
    )


def _example(
    text: str, spans: list[Span], tokenizer: PreTrainedTokenizerBase, data: Data, *,
    add_special_tokens: bool,
) -> Example:
    if not tokenizer.is_fast:
        raise DataError(
            f"The tokenizer {type(tokenizer).__name__} does not say where its tokens stand.",
            "Use a model with a tokenizer.json (a fast tokenizer).",
        )
    encoded = tokenizer(
        text, add_special_tokens=add_special_tokens, return_offsets_mapping=True,
        return_attention_mask=False, verbose=False,
    )
    ids: list[int] = encoded["input_ids"]
    offsets: list[Span] = encoded["offset_mapping"]
    labels = _labels(ids, offsets, spans)
    kept = data.max_length
    return Example(
        text=text, input_ids=ids[:kept], labels=labels[:kept], truncated=len(ids) > kept,
        cut_tokens=max(0, len(ids) - kept), ends=[end for _, end in offsets[:kept]],
    )


def _labels(ids: list[int], offsets: Sequence[Span], spans: list[Span]) -> list[int]:
    """A token carries loss if any of its characters lies in a span; both lists are in order."""
    labels = []
    current = 0
    for token, (start, end) in zip(ids, offsets, strict=True):
        while current < len(spans) and spans[current][1] <= start:
            current += 1
        inside = current < len(spans) and max(end, start + 1) > spans[current][0]
        labels.append(token if inside else NO_LOSS)
    return labels
