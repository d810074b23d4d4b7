"""Detection rests on every record, explains itself, and can be overruled."""

from __future__ import annotations

import re

import pytest

from studio.data.convert import to_sample
from studio.data.detect import choose_format, detect, groups_of
from studio.data.samples import Conversation, PlainText, PromptOnly, RowFault
from studio.errors import DataError
from studio.recipe import Data

TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
PAIR = {"prompt": "q", "completion": "a"}


def counted(*rows):
    return groups_of(rows, [f"line {number}" for number in range(1, len(rows) + 1)])


def found(*rows):
    return detect(counted(*rows), "a.jsonl")


def test_the_reason_names_the_columns_used_and_those_that_are_not():
    why = found({"question": "q", "answer": "a", "passage": "p"}).why
    assert why == ("every record has a prompt and its completion: prompt in 'question', "
                   "completion in 'answer'. Not used: 'passage'.")


def test_mixed_formats_are_counted_with_their_rows():
    detection = found(*[PAIR] * 3, *[{"messages": TURNS}] * 2)
    assert detection.format is None
    [problem] = detection.problems
    assert problem.what == ("a.jsonl mixes formats: 3 prompt_completion (line 1, line 2, line 3); "
                            "2 messages (line 4, line 5).")


def test_each_row_of_a_mixed_file_can_be_read_in_its_own_format():
    rows = [PAIR, {"messages": TURNS}, {"text": "words"}]
    detection = found(*rows)
    assert [to_sample(row, detection) for row in rows] == [
        Conversation(TURNS), Conversation(TURNS), PlainText("words")]


def test_one_odd_row_in_many_does_not_make_a_file_mixed_but_is_named():
    detection = found(*[PAIR] * 30, {"text": "words"})
    assert detection.format == "prompt_completion"
    [problem] = detection.problems
    assert problem.where == "line 31"
    with pytest.raises(RowFault, match=r"has no prompt .* looks like text"):
        to_sample({"text": "words"}, detection)


def test_rows_of_which_most_are_unknown_have_no_format():
    detection = found(PAIR, {"foo": 1}, {"foo": 2}, {"foo": 3})
    assert detection.format is None
    assert "3 unknown (line 2, line 3, line 4); 1 prompt_completion" in detection.why


def test_prompts_among_pairs_are_pairs_that_lack_an_answer():
    detection = found(*[PAIR] * 4, {"prompt": "q"}, {"prompt": "q", "completion": None})
    assert detection.format == "prompt_completion"
    with pytest.raises(RowFault, match=r"has no completion \('completion'\)"):
        to_sample({"prompt": "q"}, detection)


def test_an_input_that_is_null_in_some_rows_stays_an_input():
    rows = [{"instruction": "q", "context": "c", "response": "a"},
            {"instruction": "q", "context": None, "response": "a"}]
    detection = found(*rows * 5)
    assert (detection.format, detection.problems) == ("alpaca", ())
    assert to_sample(rows[1], detection) == Conversation(TURNS)


def test_a_label_that_numbers_classes_is_no_judgement():
    rows = [{"prompt": "q", "completion": "a", "label": number % 4} for number in range(12)]
    detection = found(*rows)
    assert (detection.format, detection.problems) == ("prompt_completion", ())
    assert to_sample(rows[0], detection) == Conversation(TURNS)


def test_a_column_called_tools_that_names_hammers_is_not_used():
    detection = found({"question": "q", "answer": "a", "tools": ["hammer", "saw"]})
    assert detection.format == "prompt_completion"
    assert "Not used: 'tools'" in detection.why


def test_a_few_dialogues_among_texts_are_texts_and_the_other_way_round():
    marked, plain = {"text": "### Human: q### Assistant: a"}, {"text": "words"}
    assert found(*[plain] * 3, marked).format == "text"
    assert not found(*[plain] * 3, marked).problems
    dialogues = found(*[marked] * 3, plain)
    assert dialogues.format == "dialogue"
    with pytest.raises(RowFault, match="no marks that say who speaks"):
        to_sample(plain, dialogues)


def test_rows_may_spell_their_columns_differently():
    rows = [PAIR, {"Question": "q", "answer": "a"}]
    detection = found(*rows)
    assert [to_sample(row, detection) for row in rows] == [Conversation(TURNS)] * 2


def test_the_columns_that_most_rows_use_are_the_detected_ones():
    rows = [{"question": "q", "answer": "a"}, *[PAIR] * 5]
    assert found(*rows).columns == {"prompt": "prompt", "completion": "completion"}


def test_unknown_columns_are_named_and_the_way_out_too():
    [problem] = found({"foo": 1, "bar": 2}).problems
    assert "'foo', 'bar'" in problem.what
    assert "for example data.columns: {prompt: ..., completion: ...}" in problem.hint
    [problem] = found({"Frage": "q", "Antwort": "a"}).problems
    assert "perhaps data.columns: {prompt: Frage, completion: Antwort}" in problem.hint


def test_no_rows_at_all_give_no_format():
    assert found().format is None


def test_the_recipe_overrules_columns_and_format():
    row = {"frage": "q", "antwort": "a"}
    groups = counted(row)
    pair = choose_format(groups, "a.csv",
                         Data(columns={"prompt": "frage", "completion": "antwort"}))
    assert (pair.format, pair.chosen) == ("prompt_completion", True)
    assert to_sample(row, pair) == Conversation(TURNS)
    text = choose_format(groups, "a.csv", Data(format="text", columns={"text": "antwort"}))
    assert to_sample(row, text) == PlainText("a")


def test_a_mapped_text_is_a_dialogue_where_it_marks_its_speakers():
    rows = {"a": "### Human: q### Assistant: a", "b": "words"}
    groups = counted(rows)
    assert choose_format(groups, "", Data(columns={"text": "a"})).format == "dialogue"
    assert choose_format(groups, "", Data(columns={"text": "b"})).format == "text"
    assert choose_format(groups, "", Data(columns={"text": "{a} {b}"})).format == "text"


def test_one_named_column_is_completed_with_the_usual_names():
    row = {"frage": "q", "answer": "a", "label": 1}
    detection = choose_format(counted(row), "a.csv", Data(columns={"prompt": "frage"}))
    assert detection.columns == {"prompt": "frage", "completion": "answer"}
    alone = choose_format(counted({"frage": "q"}), "a.csv", Data(columns={"prompt": "frage"}))
    assert alone.format == "prompts"


def test_conversations_can_be_read_as_prompts():
    row = {"messages": TURNS}
    detection = choose_format(counted(row), "a.jsonl", Data(format="prompts"))
    assert to_sample(row, detection) == PromptOnly(TURNS[:1])


def test_columns_may_reach_into_others_and_be_put_together():
    row = {"meta": {"question": "q"}, "turns": [{"text": "a"}], "context": "c", "note": None}
    data = Data(columns={"prompt": "{context}: {meta.question}{note?}",
                         "completion": "turns.0.text"})
    detection = choose_format(counted(row), "a.jsonl", data)
    assert to_sample(row, detection) == Conversation([
        {"role": "user", "content": "c: q"}, {"role": "assistant", "content": "a"}])
    with pytest.raises(RowFault, match="has no prompt"):
        to_sample({**row, "context": None}, detection)


def test_a_row_of_a_chosen_format_is_read_in_no_other_way():
    groups = counted(PAIR, {"question": "q", "answer": "a"})
    detection = choose_format(groups, "a.jsonl", Data(format="prompt_completion"))
    with pytest.raises(RowFault, match="has no prompt"):
        to_sample({"question": "q", "answer": "a"}, detection)


@pytest.mark.parametrize(("data", "said"), [
    (Data(format="alpaca"), "needs 'instruction', 'output', but a.csv has the columns 'frage', "
                            "'antwort'.*data.columns: {instruction: ..., output: ...}"),
    (Data(columns={"prompt": "fragen", "completion": "antwort"}), "Did you mean 'frage'"),
    (Data(columns={"prompt": "{fragen}?", "completion": "antwort"}),
     "no column 'fragen'.*Did you mean 'frage'"),
    (Data(columns={"prompt": "zzz.y", "completion": "antwort"}), "It has 'frage', 'antwort'"),
    (Data(columns={"promt": "frage", "completion": "antwort"}), "make up no format"),
    (Data(format="text", columns={"prompt": "frage"}), "text has no such part"),
])
def test_wrong_columns_name_what_is_there_and_what_is_needed(data, said):
    with pytest.raises(DataError) as error:
        choose_format(counted({"frage": "q", "antwort": "a"}), "a.csv", data)
    assert re.search(said, str(error.value))
