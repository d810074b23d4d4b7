"""A saved conversation comes back as it was, and a damaged one is in nobody's way."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from studio.chat.conversation import Answer, Conversation
from studio.chat.sampling import Sampling
from studio.chat.saved import (
    SavedConversation,
    delete_conversation,
    list_conversations,
    open_conversation,
    rename_conversation,
    save_conversation,
)
from studio.chat.session import Column
from studio.errors import DataError
from studio.progress import Step
from studio.recipe import Model
from studio.settings import Settings


def talk(prompt: str = "Two pizzas,\n  please.") -> Conversation:
    """Two prompts, the last one answered twice by one column."""
    answer = Answer('{"qty": 2} ü', 5, 12.5, "end", 42, 20, 512)
    begun = Conversation().asked(prompt, ["base", "orders"]).with_last(
        {"base": answer, "orders": replace(answer, opening="<think>\n", text="So</think>2")})
    again = begun.asked("And a cola?", ["orders"]).with_last({"orders": answer}).again()
    return again.with_last({"orders": replace(answer, seed=43)}).choose(2, "orders", 1)


def kept(conversation: Conversation | None = None, **values: object) -> SavedConversation:
    usual = SavedConversation(
        conversation or talk(), "Be brief.", Model(source="starter", dtype="float32"),
        (Column("base"), Column("orders", Path("/runs/orders/adapter"), 0.5)),
        Sampling(temperature=0.3, seed=7))
    return replace(usual, **values)  # type: ignore[arg-type]


def test_a_conversation_comes_back_as_it_was(settings: Settings) -> None:
    saved = save_conversation(settings, kept())
    assert saved.title == "Two pizzas, please." and saved.name
    assert open_conversation(settings, saved.name) == saved
    assert replace(saved, title="", name="", created_seconds=0.0, changed_seconds=0.0) == kept()
    assert [path.name for path in settings.conversations.iterdir()] == [f"{saved.name}.json"]


def test_saving_again_replaces_the_file_and_keeps_when_it_began(settings: Settings) -> None:
    first = save_conversation(settings, kept())
    grown = first.conversation.asked("Three?", ["base"]).with_last({"base": Answer("3", 1)})
    second = save_conversation(settings, replace(first, conversation=grown))
    assert (second.name, second.created_seconds) == (first.name, first.created_seconds)
    assert second.changed_seconds > first.changed_seconds
    assert len(open_conversation(settings, first.name).conversation.exchanges) == 3
    assert len(list_conversations(settings)) == 1


def test_pages_that_save_at_once_take_nothing_from_each_other(settings: Settings) -> None:
    one = save_conversation(settings, kept())
    with ThreadPoolExecutor(8) as pages:
        list(pages.map(lambda _: save_conversation(settings, one), range(20)))
        made = list(pages.map(lambda _: save_conversation(settings, kept()), range(20)))
    rows = list_conversations(settings)
    assert {row.name for row in rows} == {one.name, *(saved.name for saved in made)}
    assert len(rows) == 21 and not any(row.problem for row in rows)


def test_prompts_that_nobody_answered_are_not_saved(settings: Settings) -> None:
    pending = replace(talk().asked("Pending?", ["base"]), loading=Step("Loading"))
    assert save_conversation(settings, kept(pending)).conversation == talk()
    failed = Conversation().asked("one", ["base"]).with_last(error=("Busy.", ""))
    for empty in (Conversation(), failed):
        with pytest.raises(DataError, match="nothing to save"):
            save_conversation(settings, kept(empty))


def test_the_list_is_newest_first_and_titled_by_the_first_prompt(settings: Settings) -> None:
    old = save_conversation(settings, kept(talk("word " * 40)))
    new = save_conversation(settings, kept())
    rows = list_conversations(settings)
    assert [row.name for row in rows] == [new.name, old.name]
    assert (rows[0].prompts, rows[0].columns, rows[0].problem) == (2, ("base", "orders"), "")
    assert rows[1].title.endswith("word…") and len(rows[1].title) <= 80
    rename_conversation(settings, old.name, "Long\nwords")
    assert [row.title for row in list_conversations(settings)] == [
        "Long words", "Two pizzas, please."]
    assert rename_conversation(settings, new.name, "").title == "Two pizzas, please."


def test_a_new_home_has_no_conversations(settings: Settings) -> None:
    assert list_conversations(settings) == []


@pytest.mark.parametrize(("text", "said"), [
    ("", "Expecting value"), ("[]", "damaged"), ("{}", "it has no 'version'"),
    ('{"version": 9}', "form 9, this studio reads 1"),
    ('{"version": 1}', "conversation: Field required"),
    ('{"version": 1, "conversation": {"exchanges": [{"prompt": 3}]}}',
     "conversation.exchanges.0.prompt: Input should be a valid string"),
    ('{"version": 1, "conversation": {"exchanges": [{"prompt": "a", "columns": {"b": '
     '{"answers": [], "chosen": 2}}}]}}', "answer 2 of 0 is chosen"),
    ('{"version": 1, "conversation": {}, "sampling": {"temperature": 99}}',
     "temperature is 99"),
    ('{"version": 1, "conversation": {}, "columns": [{"name": "a", "strength": 9}]}', "9"),
    ("\xff", "damaged"),
])
def test_a_damaged_file_is_a_sentence_and_not_in_the_way(
    settings: Settings, text: str, said: str
) -> None:
    good = save_conversation(settings, kept())
    bad = settings.conversations / "bad.json"
    bad.write_text(text, encoding="latin-1")
    rows = list_conversations(settings)
    assert [row.name for row in rows] == [good.name, "bad"]
    assert said in rows[1].problem and "bad.json" in rows[1].problem
    with pytest.raises(DataError, match=r"bad\.json"):
        open_conversation(settings, "bad")
    delete_conversation(settings, "bad")
    assert [row.name for row in list_conversations(settings)] == [good.name]


def test_a_file_that_changes_is_read_again(settings: Settings) -> None:
    saved = save_conversation(settings, kept())
    path = settings.conversations / f"{saved.name}.json"
    assert list_conversations(settings)[0].problem == ""
    found = path.read_text(encoding="utf-8")
    path.write_text(found[:100], encoding="utf-8")
    assert list_conversations(settings)[0].problem
    path.write_text(found, encoding="utf-8")
    os.utime(path, ns=(1, 1))
    assert list_conversations(settings)[0].problem == ""


@pytest.mark.parametrize("name", ["gone", "../recipe", "..", "", "/etc/passwd"])
def test_a_name_that_is_not_there_is_a_sentence_and_leads_nowhere(
    settings: Settings, name: str
) -> None:
    save_conversation(settings, kept())
    (settings.home / "recipe.json").write_text("{}", encoding="utf-8")
    for refused in (open_conversation, delete_conversation):
        with pytest.raises(DataError, match="no saved conversation"):
            refused(settings, name)
    assert (settings.home / "recipe.json").is_file()


def test_consent_to_a_models_own_code_is_not_taken_from_a_file(settings: Settings) -> None:
    saved = save_conversation(settings, kept(model=Model(source="x", trust_remote_code=True)))
    model = open_conversation(settings, saved.name).model
    assert model is not None and model.source == "x" and not model.trust_remote_code


def test_fields_of_a_later_version_do_not_hide_a_conversation(settings: Settings) -> None:
    saved = save_conversation(settings, kept())
    path = settings.conversations / f"{saved.name}.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    found["conversation"]["exchanges"][0]["mood"] = "fine"
    path.write_text(json.dumps({**found, "colour": 3}), encoding="utf-8")
    assert open_conversation(settings, saved.name) == saved
