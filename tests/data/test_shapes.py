"""One row is matched by its names and the kinds of its values."""

from __future__ import annotations

import pytest

from studio.data.shapes import SHAPES, match, yes_or_no

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def matched(row):
    found = match(row)
    return None if found is None else (found.format, found.columns)


@pytest.mark.parametrize(("row", "expected"), [
    ({}, None), ({"foo": 1}, None), ({"messages": []}, None), ({"text": 4}, None),
    ({"prompt": None}, None),
    ({" Prompt ": "q", "COMPLETION": "a"},
     ("prompt_completion", {"prompt": " Prompt ", "completion": "COMPLETION"})),
    ({"system prompt": "s", "User": "q", "assistant": "a"},
     ("prompt_completion", {"prompt": "User", "completion": "assistant",
                            "system": "system prompt"})),
    ({"conversation": "id-7", "chat": TURNS}, ("messages", {"messages": "chat"})),
    ({"prompt": "q", "completion": "a", "label": 3},
     ("prompt_completion", {"prompt": "prompt", "completion": "completion"})),
    ({"output": "a", "label": 1}, None),
    ({"prompt": "[INST] q [/INST] a"}, ("dialogue", {"text": "prompt"})),
    ({"prompt": "[INST] q [/INST]"}, ("prompts", {"prompt": "prompt"})),
    ({"instruction": "q", "input": "c"}, ("prompts", {"prompt": "instruction", "input": "input"})),
    ({"question": "q", "context": "c"}, ("prompts", {"prompt": "question"})),
])
def test_a_row_belongs_to_the_first_format_that_it_fills(row, expected):
    assert matched(row) == expected


def test_rows_with_the_same_columns_share_one_match():
    assert match({"prompt": "q"}) is match({"prompt": "other"})


def test_no_part_of_a_format_is_named_twice():
    for shape in SHAPES:
        assert len(set(shape.roles)) == len(shape.roles)


@pytest.mark.parametrize(("value", "label"), [
    (True, True), (0, False), (1.0, True), ("False", False), (" yes ", True), ("0.0", False),
    (2, None), (0.5, None), ("good", None), (None, None), ([], None), (float("nan"), None),
])
def test_labels_are_read_in_their_usual_spellings(value, label):
    assert yes_or_no(value) is label
