"""Facts about rows: one row of plain numbers for each, whatever the row is."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.data.checks.rows import SIGNATURE_BYTES, Flag, check_rows, checks_schema
from studio.data.convert import to_sample
from studio.data.detection import Detection
from studio.data.samples import (
    Conversation,
    Judged,
    PlainText,
    Preference,
    PromptOnly,
    RowFault,
)

ASKED = [{"role": "user", "content": "How warm is it in Oslo today?"}]


def answer(text):
    return [{"role": "assistant", "content": text}]


def facts(*samples, rows=None):
    rows = rows or [{"n": number} for number in range(len(samples))]
    return check_rows(rows, samples).to_pylist()


def flags(sample):
    return Flag(facts(sample)[0]["flags"])


def test_rows_that_teach_the_same_share_their_content_whatever_other_columns_say():
    one, other, third = facts(
        Conversation([*ASKED, *answer("Warm.")]), Conversation([*ASKED, *answer("Warm.")]),
        Conversation([*ASKED, *answer("Cold.")]), rows=[{"id": 1}, {"id": 2}, {"id": 3}])
    assert one["content"] == other["content"] != third["content"]
    assert one["prompt"] == other["prompt"] == third["prompt"]
    assert [one["turns"], third["turns"]] == [2, 2]


def test_the_order_of_keys_is_no_difference():
    turned = [{"content": turn["content"], "role": turn["role"]} for turn in ASKED]
    one, other = facts(PromptOnly(ASKED), PromptOnly(turned))
    assert one["content"] == other["content"]


def test_case_and_punctuation_leave_the_signature_as_it_is():
    one, other, third = facts(PlainText("It is warm, in Oslo!"), PlainText("it is WARM in oslo"),
                              PlainText("Nothing of that is said here."))
    assert one["signature"] == other["signature"] != third["signature"]
    assert len(one["signature"]) == SIGNATURE_BYTES


def test_a_row_without_words_or_with_a_fault_has_no_signature_and_no_prompt():
    empty, fault = facts(PlainText("?!"), RowFault("empty_answer", "is empty"))
    assert empty["signature"] is None and fault["signature"] is None
    assert empty["prompt"] is None and fault["prompt"] is None
    assert Flag(fault["flags"]) == Flag.FAULT


def test_labels_pairs_and_blanks_are_flagged():
    assert flags(Judged(ASKED, answer("a"), True)) == Flag.JUDGED | Flag.GOOD
    assert flags(Judged(ASKED, answer("a"), False)) == Flag.JUDGED
    assert flags(Preference(ASKED, answer("a"), answer("a"))) == Flag.IDENTICAL_PAIR
    assert flags(Preference(ASKED, answer("a"), answer("b"))) == Flag(0)
    assert flags(Conversation([*ASKED, *answer(" a\n")])) == Flag.STRAY_BLANKS


def test_lost_and_wrongly_read_characters_are_flagged_and_real_accents_are_not():
    assert flags(PlainText("caf\ufffd")) == Flag.LOST_CHARACTERS
    assert flags(PlainText("Das ist schÃ¶n, und Ã¼ber alles.")) == Flag.MOJIBAKE
    assert flags(PlainText("itâ€™s here")) == Flag.MOJIBAKE
    for text in ("Das ist schön, über alles – “ja”.", "L’été à Paris, où l’on s’ennuie…",
                 "Съешь ещё этих булок", "今日はいい天気ですね", "naïve café № 5", "5 µm ± 2 °C"):
        assert flags(PlainText(text)) == Flag(0), text


def test_personal_data_is_found_in_calls_of_tools_and_in_rows_that_cannot_be_taught():
    call = {"function": {"name": "mail", "arguments": {"to": "jane@example.com"}}}
    turns = [*ASKED, {"role": "assistant", "content": "", "tool_calls": [call]}]
    assert flags(Conversation(turns)) == Flag.EMAIL
    (fault,) = facts(RowFault("no_answer", "x"), rows=[{"note": [{"by": "jane@example.com"}]}])
    assert Flag(fault["flags"]) == Flag.EMAIL | Flag.FAULT


def test_no_rows_give_an_empty_batch_of_the_same_columns():
    batch = check_rows([], [])
    assert batch.schema == checks_schema() and batch.num_rows == 0


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                                max_size=3), max_leaves=8)
MESSAGES = Detection("messages", "", {"messages": "messages"})


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100)
@given(st.dictionaries(st.sampled_from(["messages", "a", "b"]), JSON_LIKE, max_size=3))
def test_any_row_of_json_has_its_facts(row):
    try:
        sample = to_sample(row, MESSAGES)
    except RowFault as fault:
        sample = fault
    batch = check_rows([row], [sample])
    again = check_rows([json.loads(json.dumps(row))], [sample])
    assert batch.num_rows == 1 and batch.equals(again)
