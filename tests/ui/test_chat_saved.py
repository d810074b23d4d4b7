"""The list of saved conversations, and what becomes of them as training data."""

from __future__ import annotations

from dataclasses import replace

import gradio as gr
import pytest

from studio.chat.conversation import Answer, Conversation
from studio.chat.saved import (
    SavedConversation,
    SavedRow,
    delete_conversation,
    rename_conversation,
    save_conversation,
)
from studio.data.lab.look import inspect
from studio.errors import DataError
from studio.recipe import parse_recipe
from studio.settings import Settings
from studio.ui.panels.chat_saved import rows_view
from studio.ui.panels.chat_saved_view import SHOWN, list_view
from studio.ui.panels.chat_teaching import taught
from studio.ui.studio import Studio
from tests.tiny import make_tokenizer


def talk(prompt: str, **answers: str) -> SavedConversation:
    asked = Conversation().asked(prompt, answers)
    return SavedConversation(asked.with_last(
        {name: Answer(text, 3, ending="end") for name, text in answers.items()}))


def test_the_list_is_read_again_only_when_a_conversation_came_changed_or_went(
    settings: Settings
) -> None:
    studio = Studio(settings)
    empty, seen = rows_view(studio, "", {})
    assert "No conversation yet" in empty
    assert rows_view(studio, "", seen) == gr.skip()
    for change in (lambda: save_conversation(settings, replace(talk("One?", base="1"), name="a")),
                   lambda: rename_conversation(settings, "a", "Pizza"),
                   lambda: save_conversation(settings, talk("Two?", base="2")),
                   lambda: delete_conversation(settings, "a")):
        change()
        _, seen = rows_view(studio, "", seen)
        assert rows_view(studio, "", seen) == gr.skip()
    shown, _ = rows_view(studio, "", {})
    assert "Two?" in shown and "Pizza" not in shown


def test_rows_are_text_and_a_damaged_one_can_only_be_deleted() -> None:
    rows = [SavedRow("a", "<b>Pizza</b>", 1e9, 2, ("base", "<i>")),
            SavedRow("b", "b", 1e9, problem="It is <u>damaged</u>.")]
    page = list_view(rows, "a")
    assert "<b>" not in page and "<i>" not in page and "<u>" not in page
    assert "2 prompts to base · &lt;i&gt;; " in page and page.count("class=is-open") == 1
    assert [page.count(f'data-what="{what}"') for what in ("open", "rename", "delete")] == [1, 1, 2]
    many = list_view([replace(rows[0], name=str(number)) for number in range(SHOWN + 3)])
    assert "3 older ones" in many and many.count("<li") == SHOWN


def test_one_columns_answers_become_data_that_the_dataset_tab_counts(settings: Settings) -> None:
    here = save_conversation(settings, talk("One?", base="1", run="First."))
    save_conversation(settings, talk("Two?", base="2", run="Second."))
    save_conversation(settings, talk("Three?", base="3"))
    for with_others, count in ((False, 1), (True, 2)):
        made = taught(settings, here, "run", with_others=with_others)
        recipe = parse_recipe({"data": {"source": str(made.source), "eval_fraction": 0}})
        report = inspect(recipe.data, settings, make_tokenizer())
        assert (report.format, report.rows, report.problems) == ("messages", count, ())
    assert made.told == "2 conversations with 2 answers of run: the data of this page now."
    with pytest.raises(DataError, match="no column"):
        taught(settings, SavedConversation(Conversation()), "", with_others=False)
