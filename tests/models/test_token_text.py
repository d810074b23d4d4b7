"""The text of an answer, token by token, is the text of the whole answer."""

from __future__ import annotations

from studio.models.token_text import TokenText
from tests.tiny import make_tokenizer


def test_joined_pieces_are_the_answer_and_characters_stay_whole() -> None:
    tokenizer = make_tokenizer()
    answer = "Zoë has two 🍕🍕 and a cola, please."
    ids = tokenizer.encode(answer, add_special_tokens=False)
    text = TokenText(tokenizer)
    pieces = [text.add(one) for one in ids]
    assert "".join(pieces) == answer and text.rest() == ""
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_part_of_a_character_at_the_end_is_left_out() -> None:
    tokenizer = make_tokenizer()
    ids = tokenizer.encode("a🍕", add_special_tokens=False)
    text = TokenText(tokenizer)
    assert "".join(text.add(one) for one in ids[:-1]) + text.rest() == "a"


def test_what_a_token_would_add_is_told_and_changes_nothing() -> None:
    tokenizer = make_tokenizer()
    text = TokenText(tokenizer)
    first, second = tokenizer.encode("Paris pizza", add_special_tokens=False)[:2]
    text.add(first)
    assert text.alone(second) == text.alone(second) == text.add(second)
