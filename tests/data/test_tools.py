"""Tools and calls in any of their usual spellings come out in one."""

from __future__ import annotations

import json

import pytest

from studio.data.samples import RowFault
from studio.data.tools import as_json, may_be_tools, read_calls, read_tools

BARE = {"name": "f", "parameters": {"type": "object", "properties": {}}}
FULL = {"type": "function", "function": BARE}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}


@pytest.mark.parametrize("value", [
    [FULL], [BARE], BARE, json.dumps([BARE]), json.dumps(FULL), [json.dumps(FULL)],
    [{"function": BARE}], [{**BARE, "description": None}],
])
def test_a_tool_is_read_in_any_spelling(value):
    assert read_tools(value) == [FULL]
    assert may_be_tools(value)


@pytest.mark.parametrize("value", [None, [], "", " ", "[]", "null", {}])
def test_no_tools_are_none(value):
    assert read_tools(value) is None


@pytest.mark.parametrize(("value", "said"), [
    ("[", "the tools cannot be read as JSON"), ("4", "the tools are no list"),
    ([4], "tool 1 has no name"), ([FULL, {"x": 1}], "tool 2 has no name"),
    (["hammer"], "tool 1 cannot be read as JSON"),
])
def test_tools_that_cannot_be_read_say_which(value, said):
    with pytest.raises(RowFault, match=said) as fault:
        read_tools(value)
    assert fault.value.kind == "bad_turn"


@pytest.mark.parametrize("value", [
    [CALL], CALL, CALL["function"], json.dumps(CALL), [json.dumps(CALL["function"])],
    {"name": "f", "arguments": "{\"x\": 1}"}, {"name": "f", "parameters": {"x": 1, "y": None}},
])
def test_a_call_is_read_in_any_spelling(value):
    assert read_calls(value, 2) == [CALL]


def test_nulls_that_json_text_spells_out_are_kept():
    [call] = read_calls({"name": "f", "arguments": '{"x": null}'}, 1)
    assert call["function"]["arguments"] == {"x": None}


@pytest.mark.parametrize(("value", "said"), [
    ({"name": "f", "arguments": "{x}"}, "the arguments of the tool call in turn 2 cannot be read"),
    ({"name": "f", "arguments": "[1]"}, "are no object"), ({"name": ""}, "has no name"),
    ("oops", "the tool call of turn 2 cannot be read"), (4, "has no name"), ([[]], "has no name"),
    ({"name": "f", "arguments": '{"x":' * 150 + "1" + "}" * 150}, "nested too deep"),
    (json.dumps({"name": "f"})[:-1] + ', "arguments": ' + '{"x":' * 500 + "1" + "}" * 501,
     "nested too deep"),
])
def test_calls_that_cannot_be_read_say_where(value, said):
    with pytest.raises(RowFault, match=said) as fault:
        read_calls(value, 2)
    assert fault.value.kind == "bad_turn"


def test_what_orjson_cannot_write_is_written_all_the_same():
    assert as_json({"x": 2**70}) == '{"x": 1180591620717411303424}'
