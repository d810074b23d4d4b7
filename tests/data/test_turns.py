"""Roles under their many names, texts in blocks, calls that belong to the turn before them."""

from __future__ import annotations

import pytest

from studio.data.samples import RowFault
from studio.data.turns import check_order, read_turns

CALL = {"type": "function", "function": {"name": "f", "arguments": {}}}


@pytest.mark.parametrize(("name", "role"), [
    ("human", "user"), ("User", "user"), ("prompter", "user"), ("gpt", "assistant"),
    ("model", "assistant"), (" Assistant ", "assistant"), ("developer", "system"),
    ("observation", "tool"), ("function", "tool"), ("tool-response", "tool"),
])
def test_roles_are_known_under_their_usual_names(name, role):
    assert read_turns([{"from": name, "value": "x"}]) == [{"role": role, "content": "x"}]


@pytest.mark.parametrize(("content", "text"), [
    ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
    (["a", "b"], "ab"), (4, "4"), (2.5, "2.5"), ("", ""),
])
def test_a_text_may_come_in_blocks_or_be_a_number(content, text):
    assert read_turns([{"role": "user", "content": content}])[0]["content"] == text


@pytest.mark.parametrize("content", [None, [], True, {}, [{"type": "image"}], [1]])
def test_what_is_no_text_is_refused(content):
    with pytest.raises(RowFault, match="turn 1 has no text"):
        read_turns([{"role": "user", "content": content}])


def test_what_stands_in_the_place_of_a_text_is_named():
    with pytest.raises(RowFault, match="turn 1 has no text alone: it holds 'image_url'"):
        read_turns([{"role": "user", "content": [{"type": "text", "text": "Look:"},
                                                 {"type": "image_url"}]}])


def test_what_a_tool_gives_may_be_any_value():
    turns = read_turns([{"role": "tool", "content": {"a": [1, None]}},
                        {"role": "tool", "content": [{"type": "text", "text": "b"}]},
                        {"role": "tool", "content": [1, 2], "name": "f", "tool_call_id": "c"}])
    assert turns == [{"role": "tool", "content": '{"a":[1,null]}'},
                     {"role": "tool", "content": "b"},
                     {"role": "tool", "content": "[1,2]", "name": "f", "tool_call_id": "c"}]


def test_calls_written_as_turns_belong_to_one_answer():
    text = '{"name": "f", "arguments": {}}'
    assert read_turns([{"from": "gpt", "value": "Let me look."},
                       {"from": "function_call", "value": text},
                       {"from": "tool_call", "value": text}]) == [
        {"role": "assistant", "content": "Let me look.", "tool_calls": [CALL, CALL]}]


def test_a_call_without_content_is_refused():
    with pytest.raises(RowFault, match="turn 1 is a tool call without content"):
        read_turns([{"from": "function_call", "value": ""}])


def test_weights_and_names_of_people_are_not_kept():
    assert read_turns([{"role": "user", "content": "q", "weight": 0, "name": "Ann"}]) == [
        {"role": "user", "content": "q"}]


@pytest.mark.parametrize("roles", ["uaua", "suau", "uattau", "uata", "u", "uatu", ""])
def test_orders_that_templates_take(roles):
    check_order(turns_of(roles))


@pytest.mark.parametrize("roles", ["a", "sa", "t", "uu", "uaa", "uas", "ut", "st", "ss"])
def test_orders_that_no_template_takes(roles):
    with pytest.raises(RowFault) as fault:
        check_order(turns_of(roles))
    assert fault.value.kind == "role_order"


def turns_of(roles):
    names = {"u": "user", "a": "assistant", "s": "system", "t": "tool"}
    return [{"role": names[role], "content": "x"} for role in roles]
