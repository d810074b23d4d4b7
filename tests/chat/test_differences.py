"""Differences between answers are marked by word, and the spans joined are the answers."""

from __future__ import annotations

import pytest

from studio.chat.differences import changed_spans, differences


def _changed(texts: dict[str, str]) -> dict[str, list[str]]:
    return {name: [span.text.strip() for span in spans if span.is_changed]
            for name, spans in differences(texts).items()}


def test_two_columns_show_what_each_has_for_itself() -> None:
    assert _changed({"base": "The capital is Lyon, I think.", "run": "The capital is Paris."}) == {
        "base": ["Lyon, I think"], "run": ["Paris"]}


def test_a_word_of_the_first_column_is_marked_only_where_none_of_the_others_has_it() -> None:
    assert _changed({"base": "two red pizzas", "one": "two pizzas", "two": "two red colas"}) == {
        "base": [], "one": [], "two": ["colas"]}


@pytest.mark.parametrize("texts", [
    {"a": "one"}, {"a": "", "b": ""}, {"a": "", "b": "new words"}, {"a": "gone", "b": ""},
    {"a": "  {\n  \"x\": 1}", "b": "{\"x\":  2}\n\n"}, {"a": "价格是三元", "b": "价格是五元。"},
    {"a": "नमस्ते दुनिया", "b": "नमस्ते", "c": "e\u0301 \U0001f355\u200d\U0001f525"},
])
def test_spans_joined_are_the_text(texts: dict[str, str]) -> None:
    spans = differences(texts)
    assert {name: "".join(span.text for span in found) for name, found in spans.items()} == texts


def test_blanks_and_a_single_column_mark_nothing() -> None:
    assert _changed({"a": "one two\nthree", "b": "one  two three "}) == {"a": [], "b": []}
    assert _changed({"a": "alone"}) == {"a": []}


def test_scripts_without_blanks_are_compared_by_character() -> None:
    spans = changed_spans("价格是三元", "价格是五元")
    assert [span.text for span in spans if span.is_changed] == ["五"]


def test_long_answers_that_repeat_themselves_are_compared_too() -> None:
    """Word by word against each other these would be four hundred million comparisons."""
    found = _changed({"a": "pizza " * 20_000 + "a", "b": "pizza " * 19_000 + "b",
                      "c": " ".join(map(str, range(20_000)))})
    assert found["b"] == ["b"] and len(found["c"]) == 1
