"""A column, a path into one, and a text with columns in it."""

from __future__ import annotations

import pytest

from studio.data.expressions import as_written, columns_in, getter

ROW = {"q": "why?", "n": 4, "none": None, "meta": {"q": "inner", "tags": ["a", "b"]},
       "turns": [{"text": "first"}, {"text": "last"}], "a.b": "dotted", "{q}": "braced",
       "choices": ["x", "y"], "flag": True}


@pytest.mark.parametrize(("expression", "value"), [
    ("q", "why?"), ("none", None), ("gone", None), ("meta.q", "inner"), ("meta.gone.deep", None),
    ("turns.0.text", "first"), ("turns.-1.text", "last"), ("turns.9.text", None),
    ("turns.x", None), ("a.b", "dotted"), ("meta.tags.1", "b"), ("{q}", "braced"),
    ("Q: {q}", "Q: why?"), ("{n} of {meta.q}", "4 of inner"), ("{q}{none?}{gone?}", "why?"),
    ("{q}{none}", None), ("{choices}", "x\ny"), ("{flag}", "true"), ("{meta.tags}!", "a\nb!"),
    ("{turns}", '[{"text":"first"},{"text":"last"}]'), ("no {} here", None), (".", None),
])
def test_an_expression_gives_its_value_or_nothing(expression, value):
    assert getter(expression)(ROW) == value


def test_the_columns_of_an_expression_are_known():
    assert columns_in("{a} and {b.c?}") == ["a", "b.c"]
    assert columns_in("a.b") == ["a.b"]


def test_lists_of_other_values_are_written_as_json():
    assert as_written([1, "a"]) == '[1,"a"]'
    assert as_written(2**70) == str(2**70)
