"""The form that maps columns knows every part and makes a first guess."""

from __future__ import annotations

import pytest

from studio.data import shapes
from studio.data.detect import choose_format, groups_of
from studio.data.mapping import choices_of, parts_of, suggest
from studio.recipe import Data

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def counted(row):
    return groups_of([row], ["row 1"])


@pytest.mark.parametrize("format", shapes.BY_NAME)
def test_every_part_of_every_format_is_explained(format):
    parts = parts_of(format)
    assert {part.role for part in parts if part.needed} == set(shapes.BY_NAME[format].needed)
    assert all(part.label and part.help.endswith(".") and part.usual for part in parts)


def test_choices_are_the_columns_and_what_lies_inside_them():
    choices = choices_of(counted({"id": 7, "meta": {"q": "why?"}}))
    assert [(one.expression, one.kind, one.sample) for one in choices] == [
        ("id", "number", "7"), ("meta", "object", '{"q":"why?"}'), ("meta.q", "text", "why?")]


@pytest.mark.parametrize(("row", "guess"), [
    ({"question": "q", "answer": "a"}, {"prompt": "question", "completion": "answer"}),
    ({"id": 1, "user_question": "q", "bot_answer": "a"},
     {"prompt": "user_question", "completion": "bot_answer"}),
    ({"Frage": "q", "Antwort": "a"}, {"prompt": "Frage", "completion": "Antwort"}),
    ({"问题": "q", "回答": "a"}, {"prompt": "问题", "completion": "回答"}),
    ({"qa": {"question": "q", "answer": "a"}},
     {"prompt": "qa.question", "completion": "qa.answer"}),
    ({"nr": "12", "Frage an uns": "q", "unsere Worte": "a", "am": "2.10."},
     {"prompt": "Frage an uns", "completion": "unsere Worte"}),
    ({"trajectory": TURNS}, {"messages": "trajectory"}),
    ({"record": {"log": TURNS}}, {"messages": "record.log"}),
    ({"sample": "### Human: q### Assistant: a"}, {"text": "sample"}),
    ({"story_id": "7", "story": "Once."}, {"text": "story"}),
    ({"left": "one", "right": "two"}, {"prompt": "left", "completion": "right"}),
    ({"the_question": "q", "better_reply": "a", "worse_reply": "b", "x": "y"},
     {"prompt": "the_question", "chosen": "better_reply", "rejected": "worse_reply"}),
    ({"a": 1, "b": [2]}, {}), ({}, {}),
])
def test_the_guess_comes_near_and_can_be_used_as_it_is(row, guess):
    assert suggest(counted(row)) == guess
    if guess:
        assert choose_format(counted(row), "a.jsonl", Data(columns=guess)).format
