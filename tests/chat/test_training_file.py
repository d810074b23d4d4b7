"""One column's side of a conversation is data that the studio itself reads and teaches."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from studio.chat.conversation import Answer, Conversation
from studio.chat.saved import SavedConversation
from studio.chat.training_file import write_training_file
from studio.data.lab.look import inspect
from studio.data.prepare import prepare
from studio.errors import DataError
from studio.recipe import parse_recipe
from studio.settings import Settings
from tests.tiny import make_tokenizer


def kept(*turns: tuple[str, str, str], title: str = "Orders", system: str = "Be brief."
         ) -> SavedConversation:
    """(prompt, answer, ending) for each turn; a second column answers the first one only."""
    talk = Conversation()
    for prompt, text, ending in turns:
        talk = talk.asked(prompt, ["orders", "base"] if not talk.exchanges else ["orders"])
        talk = talk.with_last({"orders": Answer(text, 3, None, ending),
                               "base": Answer("Base says so.", 3, None, "end")})
    return SavedConversation(talk, system, title=title)


WHOLE = kept(("One?", "First.", "end"), ("Two?", "<think>Well</think>Second.", "end"))


def test_the_dataset_tab_reads_and_teaches_what_was_said(settings: Settings) -> None:
    written = write_training_file(settings, [WHOLE, kept(("Three?", "Third.", "end"))], "orders")
    assert (written.records, written.answers, written.left_out) == (2, 3, ())
    assert written.path.parent == settings.uploads

    recipe = parse_recipe({"data": {"source": str(written.path), "eval_fraction": 0}})
    tokenizer = make_tokenizer()
    report = inspect(recipe.data, settings, tokenizer)
    assert (report.format, report.rows, report.problems) == ("messages", 2, ())
    prepared = prepare(recipe, tokenizer, settings)
    assert prepared.skipped_count == 0 and len(prepared.train) == 2
    taught = tokenizer.decode([token for row in prepared.train["labels"] for token in row
                               if token >= 0])
    assert "First." in taught and "Second." in taught and "Third." in taught
    read = tokenizer.decode(prepared.train["input_ids"][0])
    assert "system\nBe brief." in read and "Base says so" not in read


def test_a_record_is_the_columns_side_with_thoughts_in_their_place(settings: Settings) -> None:
    written = write_training_file(settings, [WHOLE], "orders")
    assert json.loads(written.path.read_text(encoding="utf-8")) == {"messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "First."}, {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "Second.", "reasoning_content": "Well"}]}
    base = write_training_file(settings, [replace(WHOLE, system="")], "base")
    assert json.loads(base.path.read_text(encoding="utf-8")) == {"messages": [
        {"role": "user", "content": "One?"}, {"role": "assistant", "content": "Base says so."}]}


@pytest.mark.parametrize(("text", "ending", "said"), [
    ("Sec", "length", "was cut at the token limit"), ("Sec", "stopped", "was stopped"),
    ("Sec", "context", "context is full"), ("Sec", "", "not finished"),
    (" \n", "end", "is empty"), ("<think>only</think>", "end", "is empty"),
])
def test_a_record_ends_before_an_answer_that_is_not_whole(
    settings: Settings, text: str, ending: str, said: str
) -> None:
    talk = kept(("One?", "First.", "end"), ("Two?", text, ending), ("Three?", "Third.", "end"))
    written = write_training_file(settings, [talk], "orders")
    found = json.loads(written.path.read_text(encoding="utf-8"))["messages"]
    assert [turn["content"] for turn in found] == ["Be brief.", "One?", "First."]
    assert said in written.left_out[0] and "Orders: the answer to turn 2" in written.left_out[0]


def test_where_nothing_is_left_the_reasons_are_said_and_nothing_is_written(
    settings: Settings
) -> None:
    cut = kept(("One?", "Fir", "length"), title="Pizza")
    with pytest.raises(DataError) as refused:
        write_training_file(settings, [cut, WHOLE], "nobody")
    assert "Pizza: nobody answered nothing" in str(refused.value)
    with pytest.raises(DataError, match="cut at the token limit"):
        write_training_file(settings, [cut], "orders")
    with pytest.raises(DataError, match="nothing to export"):
        write_training_file(settings, [], "orders")
    assert not settings.uploads.exists()


def test_a_second_export_does_not_replace_the_first(settings: Settings) -> None:
    paths = [write_training_file(settings, [WHOLE], "orders").path for _ in range(3)]
    assert [path.name for path in paths] == [
        "chat-orders-Orders.jsonl", "chat-orders-Orders-2.jsonl", "chat-orders-Orders-3.jsonl"]
