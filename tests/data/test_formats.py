"""Detection looks at every record, explains itself, and can be overruled."""

from __future__ import annotations

import pytest

from studio.data.formats import choose_format, detect, to_messages
from studio.data.sources import read_records
from studio.errors import DataError
from studio.recipe import Data

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
SHARED = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
SYSTEM = {"role": "system", "content": "s"}

EACH = [
    ("alpaca", {"instruction": "q", "input": "", "output": "a"}, TURNS),
    ("alpaca", {"instruction": "q", "output": "a"}, TURNS),
    ("alpaca", {"instruction": "q", "context": "c", "response": "a"},
     [{"role": "user", "content": "q\n\nc"}, TURNS[1]]),
    ("prompt_completion", {"prompt": "q", "completion": "a"}, TURNS),
    ("prompt_completion", {"question": "q", "answer": "a", "id": 4}, TURNS),
    ("prompt_completion", {"input": "q", "output": "a"}, TURNS),
    ("prompt_completion", {"instruction": "q", "response": "a"}, TURNS),
    ("prompt_completion", {"Prompt": "q", "Completion": "a"}, TURNS),
    ("prompt_completion", {"system": "s", "prompt": "q", "response": "a"}, [SYSTEM, *TURNS]),
    ("prompt_completion", {"prompt": TURNS[:1], "completion": TURNS[1:]}, TURNS),
    ("prompt_completion", {"prompt": "2 + 2", "completion": 4},
     [{"role": "user", "content": "2 + 2"}, {"role": "assistant", "content": "4"}]),
    ("messages", {"messages": TURNS}, TURNS),
    ("messages", {"conversations": TURNS}, TURNS),
    ("messages", {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]},
                               TURNS[1]]}, TURNS),
    ("sharegpt", {"conversations": SHARED}, TURNS),
    ("sharegpt", {"conversations": SHARED, "system": "s"}, [SYSTEM, *TURNS]),
    ("text", {"text": "words"}, "words"),
    ("preference", {"prompt": "q", "chosen": "a", "rejected": "b"}, TURNS),
    ("preference", {"chosen": TURNS, "rejected": TURNS}, TURNS),
    ("kto", {"prompt": "q", "completion": "a", "label": True}, TURNS),
    ("prompts", {"prompt": "q"}, TURNS[:1]),
]


@pytest.mark.parametrize(("name", "row", "conversation"), EACH)
def test_each_format_is_detected_and_converted(write, settings, name, row, conversation):
    detection = detect(read_records(write("a.jsonl", [row, row]), settings))
    assert detection.format == name
    assert detection.why
    assert not detection.problems
    assert to_messages(row, detection) == conversation


def test_a_column_that_is_not_used_is_named(write, settings):
    path = write("a.jsonl", [{"question": "q", "answer": "a", "passage": "p"}])
    assert "Not used: 'passage'" in detect(read_records(path, settings)).why


def test_mixed_formats_are_counted_with_their_rows(write, settings):
    rows = [{"prompt": "q", "completion": "a"}] * 3 + [{"messages": TURNS}] * 2
    detection = detect(read_records(write("a.jsonl", rows), settings))
    assert detection.format is None
    [problem] = detection.problems
    assert "3 prompt_completion (line 1, line 2, line 3)" in problem.what
    assert "2 messages (line 4, line 5)" in problem.what


def test_unknown_columns_are_named(write, settings):
    detection = detect(read_records(write("a.jsonl", [{"foo": 1, "bar": 2}]), settings))
    assert detection.format is None
    assert "'foo', 'bar'" in detection.problems[0].what


def test_a_few_odd_rows_do_not_spoil_a_file_but_are_named(write, settings):
    rows = [{"prompt": "q", "completion": "a"}] * 4 + [{"prompt": "q"}, {"other": 1}]
    records = read_records(write("a.jsonl", rows), settings)
    detection = detect(records)
    assert detection.format == "prompt_completion"
    assert {problem.where for problem in detection.problems} == {"line 5", "line 6"}
    with pytest.raises(DataError, match="has no completion"):
        to_messages(rows[4], detection)


def test_rows_may_spell_their_columns_differently(write, settings):
    rows = [{"prompt": "q", "completion": "a"}, {"question": "q", "answer": "a"}]
    detection = detect(read_records(write("a.jsonl", rows), settings))
    assert [to_messages(row, detection) for row in rows] == [TURNS, TURNS]


def test_the_recipe_overrules_columns_and_format(write, settings):
    rows = [{"frage": "q", "antwort": "a"}]
    records = read_records(write("a.jsonl", rows), settings)
    data = Data(columns={"prompt": "frage", "completion": "antwort"})
    detection = choose_format(records, data)
    assert detection.format == "prompt_completion"
    assert to_messages(rows[0], detection) == TURNS
    as_text = choose_format(records, Data(format="text", columns={"text": "antwort"}))
    assert to_messages(rows[0], as_text) == "a"


@pytest.mark.parametrize(("data", "said"), [
    (Data(format="alpaca"), "needs 'instruction', 'output', but .* columns 'frage', 'antwort'"),
    (Data(columns={"prompt": "fragen", "completion": "antwort"}), "Did you mean 'frage'"),
    (Data(columns={"promt": "frage", "completion": "antwort"}), "make up no format"),
    (Data(format="text", columns={"prompt": "frage"}), "text has no such part"),
])
def test_wrong_columns_name_what_is_there_and_what_is_needed(write, settings, data, said):
    records = read_records(write("a.jsonl", [{"frage": "q", "antwort": "a"}]), settings)
    with pytest.raises(DataError, match=said):
        choose_format(records, data)


@pytest.mark.parametrize(("turns", "said"), [
    ([], "no list of turns"),
    ([{"role": "user", "content": "q"}], "no answer"),
    ([{"role": "assistant", "content": "a"}], "begins with the assistant"),
    ([*TURNS, {"role": "narrator", "content": "x"}], "role 'narrator'"),
    ([TURNS[0], TURNS[0], TURNS[1]], "turns 1 and 2 are both the user's"),
    ([*TURNS, SYSTEM], "turn 3 is a system turn"),
    ([TURNS[0], {"role": "assistant", "content": "  "}], "an answer is empty"),
    ([TURNS[0], {"role": "assistant", "content": None}], "turn 2 has no text"),
    ([TURNS[0], "a"], "turn 2 is not an object"),
])
def test_turns_that_no_template_can_take_are_refused_with_a_reason(turns, said):
    from studio.data.detection import Detection

    with pytest.raises(DataError, match=said):
        to_messages({"messages": turns}, Detection("messages", "", {"messages": "messages"}))
