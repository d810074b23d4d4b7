"""Numbers and names as the page says them."""

from __future__ import annotations

import pytest

from studio.ui.words import counted, joined


@pytest.mark.parametrize(("count", "words"), [
    (0, "0 prompts"), (1, "1 prompt"), (2000, "2,000 prompts")])
def test_one_is_one_and_more_are_several(count: int, words: str) -> None:
    assert counted(count, "prompt") == words


@pytest.mark.parametrize(("names", "words"), [
    ([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_names_are_joined_as_in_a_sentence(names: list[str], words: str) -> None:
    assert joined(names) == words
