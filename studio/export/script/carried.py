"""From an example to tokens and labels, with nothing but the model's tokenizer.

The script carries the source of these functions, and of the two that they call, so what is tried
here is what it does. Templates whose answers cannot be found so simply make other tokens:
`rows.py` compares, and then writes the tokens instead of the examples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from studio.data.samples import answer_text, shown_turns

Row = dict[str, Any]
Tokens = tuple[list[int], list[int]]


def text_tokens(tokenizer: Any, text: str) -> Tokens:
    """Plain text: every token is learned, and the end token, so that the model can stop."""
    if tokenizer.eos_token and not text.endswith(tokenizer.eos_token):
        text += tokenizer.eos_token
    begun = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
    ids = tokenizer(text, add_special_tokens=not begun, verbose=False)["input_ids"]
    return ids, list(ids)


def turn_tokens(
    tokenizer: Any, prompt: list[Row], answered: list[Row], tools: list[Row] | None, loss_on: str
) -> Tokens:
    """Turns as tokens; the labels are -100 but for the answers behind the prompt.

    An answer reaches from behind the generation prompt to the end of its turn. `loss_on` is
    "responses", "last_response", or "all" for every token of a conversation.
    """
    turns = [*prompt, *answered]

    def render(some: list[Row], answer_next: bool = False) -> str:
        return str(tokenizer.apply_chat_template(
            some, tools=tools, tokenize=False, add_generation_prompt=answer_next))

    text = render(turns)
    answers = [at for at, turn in enumerate(turns) if turn["role"] == "assistant"]
    if loss_on == "last_response":
        answers = answers[-1:]
    spans = []
    for at in (at for at in answers if at >= len(prompt)):
        start = len(render(turns[:at], answer_next=True))
        # The line break behind the end of a turn is the template's, not the answer's.
        spans.append((start, start + len(text[start:len(render(turns[:at + 1]))].rstrip())))
    if loss_on == "all" and not prompt:
        spans = [(0, len(text))]
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    learned = (any(start < end and first < end and max(behind, first + 1) > start
                   for start, end in spans) for first, behind in found["offset_mapping"])
    ids = found["input_ids"]
    return ids, [number if is_learned else -100
                 for number, is_learned in zip(ids, learned, strict=True)]


def supervised_rows(tokenizer: Any, row: Row, max_length: int, loss_on: str) -> Iterator[Row]:
    """One example, cut to `max_length` tokens."""
    if "text" in row:
        ids, labels = text_tokens(tokenizer, row["text"])
    else:
        ids, labels = turn_tokens(tokenizer, row.get("prompt", []),
                                  row.get("completion") or row["messages"], row.get("tools"),
                                  loss_on)
    yield {"input_ids": ids[:max_length], "labels": labels[:max_length]}


def divided_rows(tokenizer: Any, row: Row, max_length: int, loss_on: str) -> Iterator[Row]:
    """A text in rows; each begins with the last token of the one before, so that none is lost."""
    ids, _ = text_tokens(tokenizer, row["text"])
    for start in range(0, max(len(ids) - 1, 1), max_length - 1):
        part = ids[start:start + max_length]
        yield {"input_ids": part, "labels": list(part)}


def pair_rows(tokenizer: Any, row: Row, max_length: int, loss_on: str) -> Iterator[Row]:
    """A prompt with its better and its worse answer."""
    pair: Row = {}
    for kind in ("chosen", "rejected"):
        ids, labels = turn_tokens(tokenizer, row["prompt"], row[kind], row.get("tools"), loss_on)
        pair |= {f"{kind}_ids": ids[:max_length], f"{kind}_labels": labels[:max_length]}
    yield pair


def judged_rows(tokenizer: Any, row: Row, max_length: int, loss_on: str) -> Iterator[Row]:
    """An answer that is good or bad; of a pair the chosen as a good and the rejected as a bad one.
    """
    answers = [(row["completion"], row["label"])] if "completion" in row else \
        [(row["chosen"], True), (row["rejected"], False)]
    for answer, is_good in answers:
        ids, labels = turn_tokens(tokenizer, row["prompt"], answer, row.get("tools"), loss_on)
        yield {"input_ids": ids[:max_length], "labels": labels[:max_length], "is_good": is_good}


def prompt_rows(tokenizer: Any, row: Row, max_length: int, loss_on: str) -> Iterator[Row]:
    """What stands before the last answer, as tokens and as a person reads it, and that answer:
    rewards may compare with it."""
    turns = row.get("prompt") or row["messages"]
    answers = [at for at, turn in enumerate(turns) if turn["role"] == "assistant"]
    at = len(turns) if "prompt" in row else answers[-1]
    text = str(tokenizer.apply_chat_template(
        turns[:at], tools=row.get("tools"), tokenize=False, add_generation_prompt=True))
    yield {"prompt": tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"],
           "expected": answer_text(turns[at]) if at < len(turns) else "",
           "shown": shown_turns(turns[:at])}
