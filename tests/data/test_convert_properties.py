"""Whatever a record holds, it becomes a sample or a fault that can be counted."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.data import shapes
from studio.data.convert import to_sample
from studio.data.detect import choose_format, detect, groups_of
from studio.data.detection import Detection
from studio.data.groups import Groups
from studio.data.mapping import choices_of, suggest
from studio.data.samples import RowFault, Sample
from studio.data.turns import ROLES
from studio.errors import DataError
from studio.recipe import Data

KINDS = {"missing_part", "no_answer", "empty_answer", "role_order", "unknown_role", "bad_turn"}
NAMES = sorted({name for shape in shapes.SHAPES
                for names in {**shape.needed, **shape.optional}.values() for name in names})
MARKS = ["### Human:", "### Assistant:", "\n\nHuman:", "\n\nAssistant:", "[INST]", "[/INST]",
         "<<SYS>>", "<</SYS>>", "USER:", "ASSISTANT:", "<|im_start|>user\n", "</s>", "\n", " ",
         "<|im_start|>assistant\n", "<|im_end|>", "### Input:", "FUNCTION RESPONSE:"]

scalars = st.none() | st.booleans() | st.integers(-2**63, 2**64 - 1) | \
    st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.text(max_size=5), inner, max_size=3), max_leaves=6)
dialogues = st.lists(st.sampled_from(MARKS) | st.text(max_size=4), max_size=10).map("".join)
keys = st.sampled_from(["role", "from", "content", "value", "text", "tool_calls", "function_call",
                        "name", "reasoning_content", "tool_call_id"])
calls = st.fixed_dictionaries({}, optional={
    "name": st.text(max_size=3), "arguments": values | st.sampled_from(["{}", "{", "[1]", "null"]),
    "function": values, "id": scalars})
turns = st.dictionaries(keys, values | calls | st.lists(calls, max_size=2), max_size=4) | \
    st.fixed_dictionaries({"role": st.sampled_from(sorted(ROLES)), "content": values}) | \
    st.fixed_dictionaries({"from": st.sampled_from(sorted(ROLES)), "value": st.text(max_size=3)}) \
    | values
lists = st.lists(turns, max_size=4)
cells = values | lists | dialogues | lists.map(json.dumps) | lists.map(str) | \
    st.fixed_dictionaries({"messages": lists})
rows = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), cells, max_size=5)

usual = settings(deadline=None, max_examples=150,
                 suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def read(row, detection):
    try:
        return to_sample(row, detection)
    except RowFault as fault:
        assert fault.kind in KINDS
        assert fault.message and not fault.message.startswith("turn 0")
        return fault


@usual
@given(st.lists(rows, max_size=4))
def test_any_rows_are_counted_and_each_becomes_a_sample_or_a_fault(found):
    groups = groups_of(found, [f"row {number}" for number in range(1, len(found) + 1)])
    assert sum(groups.counts.values()) == len(found)
    assert Groups.from_json(json.loads(json.dumps(groups.as_json()))).counts == groups.counts
    detection = detect(groups, "a.jsonl")
    assert detection.why
    for row in found:
        assert isinstance(read(row, detection), (*Sample.__args__, RowFault))
    choices_of(groups)
    suggest(groups)


@usual
@given(rows, st.sampled_from(sorted(shapes.BY_NAME)), st.booleans())
def test_any_row_can_be_read_as_any_format_that_a_person_chooses(row, format, chosen):
    shape = shapes.BY_NAME[format]
    columns = dict(zip(shape.roles, [*row, *shape.roles], strict=False))
    sample = read(row, Detection(format, "", columns, chosen=chosen))
    assert isinstance(sample, (*Sample.__args__, RowFault))


@usual
@given(rows, st.dictionaries(st.sampled_from(["prompt", "completion", "messages", "text", "label"]),
                             st.sampled_from(NAMES) | st.text("{}.?ab0", max_size=6), min_size=1))
def test_any_mapping_is_taken_or_refused_with_a_reason(row, columns):
    groups = groups_of([row], ["row 1"])
    try:
        detection = choose_format(groups, "a.jsonl", Data(columns=columns))
    except DataError as error:
        assert error.message and error.hint
        return
    assert set(columns) <= set(detection.columns)
    read(row, detection)


@usual
@given(st.lists(st.sampled_from(["user", "assistant", "system", "tool"]), max_size=6))
def test_a_conversation_that_is_taken_has_its_turns_in_order(roles):
    row = {"messages": [{"role": role, "content": "x"} for role in roles]}
    sample = read(row, Detection("messages", "", {"messages": "messages"}))
    if not isinstance(sample, RowFault):
        assert [turn["role"] for turn in sample.turns] == roles
        assert "assistant" in roles
        assert roles.count("system") <= 1
