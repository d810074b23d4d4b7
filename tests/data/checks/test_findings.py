"""Each finding, from a file on disk to its count, its rows, and what can be done about it."""

from __future__ import annotations

import json

import numpy
import pytest

from studio.data.checks.findings import find_all, languages
from tests.data.whole import chat, pair, whole_of, write_rows

GOOD = [pair(f"What is the colour of the {thing}, please?", f"The {thing} is {colour}.")
        for thing, colour in [("old door", "green"), ("sea", "blue"), ("clay pot", "brown"),
                              ("first snow", "white"), ("rubber tyre", "black")]]


def found(whole):
    return {finding.key: finding for finding in find_all(whole)}


def found_in(rows, settings, tokenizer=None, **data):
    return found(whole_of(rows, settings, tokenizer, **data))


def test_a_good_set_has_no_findings(settings, tokenizer):
    assert found_in(GOOD, settings, tokenizer) == {}


def test_every_finding_is_plain_json_with_words_and_its_rows_in_order(settings, tokenizer):
    rows = [*GOOD, GOOD[0], pair("Who?", " jane@example.com "), pair("a", ""), "{broken",
            pair("Was ist schÃ¶n?", "caf\ufffd")]
    findings = find_all(whole_of(rows, settings, tokenizer, max_length=8))
    levels = [finding.level for finding in findings]
    assert levels == sorted(levels, key=["problem", "warning", "info"].index)
    for finding in findings:
        assert json.loads(json.dumps(finding.as_json())) == finding.as_json()
        assert finding.title and finding.what and finding.count > 0
        assert finding.rows.dtype == numpy.uint32
        assert list(finding.rows) == sorted(set(finding.rows.tolist()))
        assert len(finding.rows) or not finding.remedies
        assert all(one.row in finding.rows for one in finding.shown)


def test_records_that_cannot_be_read_are_counted_and_named(settings):
    finding = found_in([*GOOD, "{broken", "also broken"], settings)["unreadable"]
    assert finding.level == "problem" and finding.count == 2
    assert "line 6" in finding.what and finding.remedies == ()


def test_a_value_that_is_not_json_is_a_note(settings):
    finding = found_in([*GOOD, '{"prompt": "a", "completion": "b", "score": NaN}'], settings)[
        "read_otherwise"]
    assert finding.level == "info" and finding.count == 1 and "line 6" in finding.what


@pytest.mark.parametrize("kind, row, remedies", [
    ("empty_answer", chat("a", " "), ("drop",)),
    ("no_answer", chat("a"), ("drop",)),
    ("role_order", chat("a", "b", roles=("assistant", "user")), ("fix", "drop")),
    ("unknown_role", chat("a", "b", roles=("user", "narrator")), ("drop",)),
    ("bad_turn", {"messages": [{"role": "user", "content": [{"image": "a.png"}]}]}, ("drop",)),
    ("missing_part", {"other": 1}, ("drop",)),
])
def test_each_kind_of_fault_is_a_finding_of_its_own(kind, row, remedies, settings):
    rows = [chat("How are you?", "Well."), row, chat("And now?", "Still well.")]
    finding = found_in(rows, settings)[kind]
    assert (finding.level, finding.count, list(finding.rows)) == ("problem", 1, [1])
    assert finding.remedies == remedies
    assert finding.shown[0].place == "line 2"


def test_rows_that_are_cut_and_rows_whose_answer_lies_behind_the_cut(settings, tokenizer):
    rows = [*GOOD, pair("short", "word " * 60), pair("word " * 60, "short")]
    whole = whole_of(rows, settings, tokenizer, max_length=64)
    findings = found(whole)
    assert list(findings["truncated"].rows) == [5]
    assert list(findings["no_loss"].rows) == [6]
    assert str(int(whole.lengths.total[5])) in findings["truncated"].hint
    assert str(int(whole.lengths.total[6])) in findings["no_loss"].hint


def test_without_a_tokenizer_nothing_is_said_of_lengths(settings):
    rows = [*GOOD, pair("short", "word " * 60 + "end")]
    assert found_in(rows, settings, max_length=64) == {}


def test_exact_duplicates_are_the_later_rows_whatever_else_they_hold(settings):
    rows = [{**GOOD[0], "id": 1}, *GOOD[1:], {**GOOD[0], "id": 2}, {**GOOD[0], "id": 3}]
    findings = found_in(rows, settings)
    assert list(findings["exact_duplicates"].rows) == [5, 6]
    assert "near_duplicates" not in findings


def test_near_duplicates_are_all_but_the_first_and_name_the_row_that_they_are_like(settings):
    text = "A river runs from the hills through three towns and past an old mill to the sea."
    rows = [pair(text, "It is long."), *GOOD, pair(text.upper(), "It is long!")]
    finding = found_in(rows, settings)["near_duplicates"]
    assert list(finding.rows) == [6]
    assert finding.shown[0].text.startswith("like line 1: ")


def test_an_overlap_with_a_held_out_file_is_dropped_from_training_only(settings, tmp_path):
    aside = write_rows([GOOD[0], pair("What is new?", "Nothing is.")], tmp_path / "aside.jsonl")
    findings = found_in(GOOD, settings, held_out="file", eval_source=str(aside))
    assert list(findings["eval_overlap"].rows) == [0]
    assert findings["eval_overlap"].remedies == ("drop",)
    assert "exact_duplicates" not in findings


def test_an_overlap_by_a_random_split_is_mended_by_dropping_duplicates_or_grouping(settings):
    rows = [*GOOD] * 20
    findings = found_in(rows, settings, eval_fraction=0.2)
    assert findings["eval_overlap"].remedies == ()
    assert "grouped" in findings["eval_overlap"].hint
    assert "eval_overlap" not in found_in(rows, settings, eval_fraction=0.2, held_out="grouped")


def test_an_overlap_between_the_values_of_a_column(settings):
    rows = [{**row, "part": "train"} for row in GOOD] + [{**GOOD[2], "part": "test"}]
    findings = found_in(rows, settings, held_out="column", eval_column="part")
    assert list(findings["eval_overlap"].rows) == [2]
    assert "exact_duplicates" not in findings


def test_one_question_with_several_answers_is_good_to_know(settings):
    finding = found_in([*GOOD, {**GOOD[1], "completion": "It is grey."}], settings)["same_question"]
    assert (finding.level, list(finding.rows), finding.remedies) == ("info", [1, 5], ())


def test_personal_data_are_shown_masked_only(settings):
    rows = [*GOOD, pair("Who wrote?", "jane.doe@example.com did, call +49 151 23456789."),
            pair("Who?", "jane.doe@example.com")]
    whole = whole_of([*rows, rows[-1]], settings)
    findings = find_all(whole)
    finding = {one.key: one for one in findings}["personal_data"]
    assert list(finding.rows) == [5, 6, 7]
    assert finding.remedies == ("mask", "drop")
    assert "e-mail addresses in 3, phone numbers in 1" in finding.what
    assert finding.shown[0].text == "email: j***@e***.com, phone: +** *** ******89"
    assert "jane.doe" not in json.dumps([one.as_json() for one in findings])


def test_lost_and_wrongly_read_characters_are_two_findings(settings):
    findings = found_in([*GOOD, pair("caf\ufffd?", "No."), pair("Was ist schÃ¶n?", "Alles.")],
                        settings)
    assert list(findings["undecoded"].rows) == [5]
    assert findings["undecoded"].remedies == ("drop",)
    assert list(findings["mojibake"].rows) == [6]
    assert findings["mojibake"].remedies == ("fix", "drop")


def test_a_pair_of_the_same_answers_teaches_nothing(settings):
    rows = [{"prompt": f"Question {n}?", "chosen": "yes", "rejected": "no"} for n in range(3)]
    finding = found_in([*rows, {**rows[0], "rejected": "yes"}], settings)["identical_pair"]
    assert list(finding.rows) == [3]


def test_labels_that_are_out_of_balance(settings):
    def judged(good, bad):
        return [pair(f"Question {n}?", f"answer {n}", label=n < good) for n in range(good + bad)]

    assert "kto_imbalance" not in found_in(judged(4, 2), settings)
    for good, bad in ((9, 1), (0, 5)):
        finding = found_in(judged(good, bad), settings)["kto_imbalance"]
        assert f"{good} answers are labelled good and {bad} bad" in finding.what


def test_blanks_around_answers_can_be_fixed(settings):
    finding = found_in([*GOOD, pair("Who?", "\nI. ")], settings)["stray_blanks"]
    assert (finding.level, list(finding.rows), finding.remedies[0]) == ("info", [5], "fix")


def test_languages_are_shares_of_the_rows_and_a_few_others_are_shown(settings):
    english = [pair(f"Could you tell me what the weather will be like on day {n}?",
                    "It will most likely rain during the whole day.") for n in range(18)]
    german = [pair("Kannst du mir bitte sagen, wie das Wetter morgen wird?", "Es regnet wohl."),
              pair("Wie heißt die Hauptstadt von Frankreich eigentlich?", "Das ist Paris.")]
    whole = whole_of([*english, *german], settings)
    shares = languages(whole)
    assert shares["en"] == pytest.approx(0.9) and shares["de"] == pytest.approx(0.1)
    assert list(found(whole)["rare_languages"].rows) == [18, 19]


def test_a_file_without_rows_has_findings_too(settings):
    whole = whole_of(["{broken"], settings)
    assert list(found(whole)) == ["unreadable"]
    assert languages(whole) == {}
