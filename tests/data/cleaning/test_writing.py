"""A cleaned copy: new files that add up, with a record; the source stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from studio import __version__
from studio.data.checks.findings import find_all
from studio.data.cleaning import clean
from studio.errors import DataError, Stopped
from tests.data.whole import chat, pair, whole_of, write_rows

GOOD = [pair("How are you?", "Well, thanks.", id=n) for n in range(2)]


def cleaned_of(whole, choices, target, **more):
    return clean(whole, find_all(whole), choices, target, **more)


def rows_of(path):
    lines = path.read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    return [json.loads(line) for line in lines]


def test_dropped_rows_are_gone_and_the_others_are_value_for_value_the_same(settings, tmp_path):
    odd = pair("What?", "ünïcode \u2028 and 🎉", big=2**70, nested={"b": [1.5, None], "a": True})
    whole = whole_of([*GOOD, odd, pair("Nothing?", "")], settings)
    before = (settings.home.parent / "rows.jsonl").read_bytes()
    cleaned = cleaned_of(whole, {"exact_duplicates": "drop", "empty_answer": "drop"},
                         tmp_path / "out")
    (file,) = cleaned.files
    assert rows_of(file.file) == [GOOD[0], odd]
    assert (file.rows_in, file.kept, file.dropped, file.changed) == (4, 2, 2, 0)
    assert (settings.home.parent / "rows.jsonl").read_bytes() == before


def test_the_record_says_what_was_done(settings, tmp_path):
    whole = whole_of([*GOOD, "{broken", pair("Who?", "jane@example.com")], settings)
    cleaned = cleaned_of(whole, {"exact_duplicates": "drop", "personal_data": "mask"}, tmp_path)
    (file,) = cleaned.files
    record = json.loads(file.record.read_text(encoding="utf-8"))
    assert file.record.name == "rows-cleaned.record.json"
    assert record["source"] == whole.sources[0].name and record["file"] == "rows-cleaned.jsonl"
    assert record["fingerprint"] == whole.store.facts.fingerprint
    assert record["studio_version"] == __version__
    assert (record["rows_in"], record["rows_out"], record["dropped"], record["changed"],
            record["unreadable_left_behind"]) == (3, 2, 1, 1, 1)
    assert record["dropped_places"] == ["line 2"]
    assert [(one["finding"], one["remedy"], one["rows"], one["could_not_be_mended"])
            for one in record["done_in_all_sources"]] == [
        ("exact_duplicates", "drop", 1, 0), ("personal_data", "mask", 1, 0)]
    assert json.loads(json.dumps(cleaned.as_json()))["kept"] == 2


def test_a_file_that_is_there_is_never_overwritten(settings, tmp_path):
    whole = whole_of(GOOD, settings)
    first, second = (cleaned_of(whole, {"exact_duplicates": "drop"}, tmp_path).files[0]
                     for _ in range(2))
    assert (first.file.name, second.file.name) == ("rows-cleaned.jsonl", "rows-cleaned-2.jsonl")
    assert first.file.read_bytes() == second.file.read_bytes()
    assert first.record.exists() and second.record.exists()


def test_every_source_becomes_a_file_of_its_own(settings, tmp_path):
    other = write_rows([GOOD[0], pair("Else?", "Other.")], tmp_path / "rows.more.jsonl")
    whole = whole_of(GOOD, settings, mix={str(other): 1.0})
    files = cleaned_of(whole, {"exact_duplicates": "drop"}, tmp_path / "out").files
    assert [(file.kept, file.dropped) for file in files] == [(1, 1), (1, 1)]
    assert len({file.file for file in files}) == 2
    assert rows_of(files[1].file) == [pair("Else?", "Other.")]


def test_personal_data_are_masked_in_every_column_and_found_no_more(settings, tmp_path):
    row = chat("Mail jane@example.com, please", "Call +49 151 23456789") | {"by": "jo@example.com"}
    whole = whole_of([row], settings)
    cleaned = cleaned_of(whole, {"personal_data": "mask"}, tmp_path / "out")
    text = cleaned.files[0].file.read_text(encoding="utf-8")
    assert "jane" not in text and "jo@" not in text and "23456789" not in text
    again = whole_of(rows_of(cleaned.files[0].file), settings, name="again.jsonl")
    assert "personal_data" not in {finding.key for finding in find_all(again)}


ORDERS = {
    "a system turn in the middle": (
        [("user", "a"), ("system", "s"), ("assistant", "b")],
        [("system", "s"), ("user", "a"), ("assistant", "b")]),
    "two questions in a row": (
        [("user", "a"), ("user", "b"), ("assistant", "c")],
        [("user", "a\n\nb"), ("assistant", "c")]),
    "an answer before the first question": (
        [("assistant", "hello"), ("user", "a"), ("assistant", "b")],
        [("user", "a"), ("assistant", "b")]),
    "two system turns": (
        [("system", "s"), ("system", "t"), ("user", "a"), ("assistant", "b")],
        [("system", "s\n\nt"), ("user", "a"), ("assistant", "b")]),
}


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("shape", ["messages", "sharegpt", "json text"])
def test_roles_are_put_in_order_in_the_shape_that_the_row_has(name, shape, settings, tmp_path):
    before, after = ORDERS[name]

    def row(turns):
        if shape == "sharegpt":
            names = {"user": "human", "assistant": "gpt", "system": "system"}
            return {"id": 7, "conversations": [
                {"from": names[role], "value": text} for role, text in turns]}
        messages = [{"role": role, "content": text} for role, text in turns]
        return {"id": 7, "messages": json.dumps(messages) if shape == "json text" else messages}

    good = row([("user", "q"), ("assistant", "r")])
    whole = whole_of([good, row(before)], settings)
    cleaned = cleaned_of(whole, {"role_order": "fix"}, tmp_path / "out")
    assert rows_of(cleaned.files[0].file) == [good, row(after)]
    assert cleaned.files[0].changed == 1 and cleaned.done[0]["could_not_be_mended"] == 0


def test_a_row_that_cannot_be_mended_is_kept_as_it_is_and_counted(settings, tmp_path):
    nobody_called = {"messages": [{"role": "user", "content": "a"},
                                  {"role": "tool", "content": "1"},
                                  {"role": "assistant", "content": "b"}]}
    whole = whole_of([chat("q", "r"), nobody_called], settings)
    cleaned = cleaned_of(whole, {"role_order": "fix"}, tmp_path / "out")
    assert rows_of(cleaned.files[0].file) == [chat("q", "r"), nobody_called]
    assert cleaned.files[0].changed == 0 and cleaned.done[0]["could_not_be_mended"] == 1


@pytest.mark.parametrize("before, after", [
    (pair("Who? ", "\n I.\n"), pair("Who? ", "I.")),
    (chat("Who? ", " I. "), chat("Who? ", "I.")),
    ({"instruction": "Say", "input": " a ", "output": "a\n"},
     {"instruction": "Say", "input": " a ", "output": "a"}),
    ({"prompt": "Who?", "chosen": " I", "rejected": "you "},
     {"prompt": "Who?", "chosen": "I", "rejected": "you"}),
])
def test_blanks_around_answers_are_removed_and_those_of_prompts_stay(
    before, after, settings, tmp_path
):
    whole = whole_of([before], settings)
    cleaned = cleaned_of(whole, {"stray_blanks": "fix"}, tmp_path / "out")
    assert rows_of(cleaned.files[0].file) == [after]


def test_text_in_a_wrong_encoding_is_put_right_and_nothing_else_changes(settings, tmp_path):
    row = pair("Was ist schÃ¶n? “Ja”", "Ãœber alles…  so.")
    cleaned = cleaned_of(whole_of([row], settings), {"mojibake": "fix"}, tmp_path / "out")
    assert rows_of(cleaned.files[0].file) == [pair("Was ist schön? “Ja”", "Über alles…  so.")]


def test_a_row_may_need_several_repairs_and_a_drop_goes_before_them(settings, tmp_path):
    rows = [chat("a", "b "), {"messages": [
        {"role": "user", "content": "Who?"}, {"role": "system", "content": "Be kind."},
        {"role": "assistant", "content": "jane@example.com"}]}, chat("a", "b ")]
    whole = whole_of(rows, settings)
    cleaned = cleaned_of(whole, {"stray_blanks": "fix", "personal_data": "mask",
                                 "role_order": "fix", "exact_duplicates": "drop"}, tmp_path / "out")
    first, second = rows_of(cleaned.files[0].file)
    assert first == chat("a", "b")
    assert [turn["role"] for turn in second["messages"]] == ["system", "user", "assistant"]
    assert second["messages"][2]["content"] == "j***@e***.com"


@pytest.mark.parametrize("choices, said", [
    ({}, "Nothing was chosen"),
    ({"typo": "drop"}, "no finding 'typo'"),
    ({"exact_duplicates": "mask"}, "cannot be cleaned by 'mask'"),
])
def test_a_choice_that_there_is_not_is_named(choices, said, settings, tmp_path):
    with pytest.raises(DataError, match=said) as caught:
        cleaned_of(whole_of(GOOD, settings), choices, tmp_path / "out")
    assert caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_set_of_which_nothing_would_be_left_is_not_written(settings, tmp_path):
    with pytest.raises(DataError, match="nothing to write"):
        cleaned_of(whole_of([pair("a", ""), pair("b", "c ")], settings),
                   {"empty_answer": "drop", "stray_blanks": "drop"}, tmp_path / "out")


def test_a_stop_leaves_nothing_behind(settings, tmp_path):
    with pytest.raises(Stopped):
        cleaned_of(whole_of(GOOD, settings), {"exact_duplicates": "drop"}, tmp_path / "out",
                   stop=lambda: True)
    assert list((tmp_path / "out").iterdir()) == []


TEXTS = st.sampled_from(["", " ", "a", " a ", "jane@example.com", "schÃ¶n", "caf\ufffd", "42"])
TURNS = st.lists(st.fixed_dictionaries({
    "role": st.sampled_from(["user", "assistant", "system", "tool", "nobody"]), "content": TEXTS}),
    max_size=4)


@hypothesis_settings(deadline=None, max_examples=25, suppress_health_check=[
    HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rows=st.lists(st.fixed_dictionaries({"messages": TURNS}), min_size=1, max_size=8),
       which=st.integers(0, 1))
def test_whatever_is_chosen_no_row_disappears_without_being_counted(
    rows, which, settings, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("set")
    rows = [chat("Always here?", "Always."), *rows]
    whole = whole_of(rows, settings, name=f"{folder.name}.jsonl")
    findings = find_all(whole)
    choices = {one.key: one.remedies[min(which, len(one.remedies) - 1)]
               for one in findings if one.remedies}
    if not choices:
        return
    (file,) = clean(whole, findings, choices, folder).files
    assert len(rows_of(file.file)) == file.kept
    assert file.kept + file.dropped == file.rows_in == len(rows)
