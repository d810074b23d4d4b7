"""The Chat tab: columns, conversations, and answers of a tiny model beside its adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from studio.arbiter import Holder
from studio.errors import ModelError
from studio.progress import Step
from studio.recipe import Model, Recipe
from studio.settings import Settings
from studio.ui.panels import chat
from studio.ui.panels.chat_answering import Answering
from studio.ui.panels.chat_board import Answer, Conversation, board_view
from studio.ui.panels.chat_columns import Trained, choices, columns_of
from studio.ui.shared import Shared
from studio.ui.studio import Studio
from tests.ui.work import short_recipe

SAMPLING = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0,
            "max_new_tokens": 6, "seed": None}


def trained(name: str, source: str = "starter", method: str = "lora") -> Trained:
    recipe = Recipe().with_values({"model.source": source, "adapter.method": method})
    return Trained(name, Path("/runs") / name / "adapter", recipe)


def test_only_runs_of_the_chosen_base_are_offered():
    runs = [trained("a"), trained("b", "Qwen/Qwen3-0.6B"), trained("whole", method="none")]
    found = choices(runs, "starter", "starter")
    assert [value for _, value in found.adapters] == ["a"]
    assert [value for _, value in found.bases] == [
        "starter", "Qwen/Qwen3-0.6B", str(runs[2].path)]


def test_the_base_comes_first_and_is_loaded_as_the_run_was_trained():
    run = trained("a")
    model, columns = columns_of([run], "starter", ["a"], Model(dtype="float32"))
    assert [column.name for column in columns] == ["base", "a"]
    assert columns[1].adapter_path == run.path
    assert model == run.recipe.model


def test_a_run_of_another_base_is_refused_by_name():
    with pytest.raises(ModelError, match=r"b was trained on Qwen/Qwen3-0.6B"):
        columns_of([trained("b", "Qwen/Qwen3-0.6B")], "starter", ["b"], Model())


def test_a_base_that_is_on_no_list_is_refused():
    with pytest.raises(ModelError, match="no base model"):
        columns_of([], "/etc", [], Model())


def test_each_column_remembers_only_its_own_answers():
    talk = Conversation().asked("one", ["base", "a"])
    talk = talk.with_last({"base": Answer("from base", 2, None, "end"),
                           "a": Answer("from a", 2, None, "end")}).asked("two", ["base", "b"])
    assert talk.history("base", "Be brief.") == [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "one"},
        {"role": "assistant", "content": "from base"}, {"role": "user", "content": "two"}]
    assert talk.history("b", "") == [{"role": "user", "content": "two"}]


def test_a_failed_prompt_is_dropped_by_the_next_one():
    talk = Conversation().asked("one", ["base"]).with_last(error=("Busy.", "Wait."))
    assert "Busy." in board_view(talk)
    assert [one.prompt for one in talk.asked("two", ["base"]).exchanges] == ["two"]


def test_what_models_and_people_write_is_shown_as_text():
    talk = Conversation().asked("<b>hi</b>", ["<i>"]).with_last(
        {"<i>": Answer("<script>alert()</script>", 3, 12.34, "length")})
    page = board_view(talk)
    assert "<script>" not in page and "<b>" not in page and "<i>" not in page
    assert "3 tokens, 12.3 tokens/s, cut at the token limit" in page


def test_the_empty_and_the_loading_board_say_what_goes_on():
    assert "press Send" in board_view(Conversation())
    asked = Conversation().asked("one", ["base"])
    loading = Conversation(asked.exchanges, Step("Loading the model", 1, 4))
    assert "Loading the model" in board_view(loading)
    assert 'aria-valuenow="25"' in board_view(loading)


def test_a_prompt_that_failed_stays_in_its_box():
    failed = Conversation().asked("one", ["base"]).with_last(error=("Busy.", ""))
    assert chat.talk_view(failed, is_over=True)[2] == "one"
    assert chat.talk_view(Conversation().asked("one", ["base"]), is_over=False)[2] == ""


def test_the_starter_example_is_a_held_out_prompt():
    assert "JSON" in chat.starter_prompt()


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return Studio(settings)


def form(model: Path, runs: list[str], prompt: str = "2 pizzas") -> dict[str, Any]:
    return {"base": str(model), "runs": runs, "prompt": prompt, "system": None,
            "model.source": str(model), "model.dtype": "float32", **SAMPLING}


def test_base_and_adapter_answer_side_by_side(studio: Studio, tiny_model: Path, tmp_path: Path):
    studio.jobs.start(short_recipe(tiny_model, tmp_path), "orders")
    studio.jobs.wait(240)
    values = form(tiny_model, ["orders"])
    newest = chat.choices_view(studio, {**values, "runs": []}, None)
    assert newest[1].value == ["orders"]
    assert chat.choices_view(studio, values, newest[2]) == [gr.skip()] * 3

    grown = list(Answering(studio.chat).ask(chat.question_of(studio, values), Conversation()))
    last = grown[-1].exchanges[-1]
    assert list(last.answers) == ["base", "orders"]
    assert all(answer.ending in ("end", "length") for answer in last.answers.values())
    assert last.error is None and last.prompt == "2 pizzas"
    # The next prompt goes on with the same conversation on the loaded model.
    more = list(Answering(studio.chat).ask(chat.question_of(studio, values), grown[-1]))
    assert len(more[-1].exchanges) == 2
    studio.chat.close()


def test_a_chat_during_training_is_told_who_works(studio: Studio, tiny_model: Path):
    studio.arbiter.acquire(Holder("The training run orders", "Stop it on the Train tab."))
    question = chat.question_of(studio, form(tiny_model, []))
    last = list(Answering(studio.chat).ask(question, Conversation()))[-1]
    assert "The training run orders" in last.exchanges[-1].error[0]


def test_an_empty_prompt_is_a_sentence(studio: Studio, tiny_model: Path):
    question = chat.question_of(studio, form(tiny_model, [], prompt=" "))
    last = list(Answering(studio.chat).ask(question, Conversation()))[-1]
    assert "empty" in last.exchanges[-1].error[0]
    studio.chat.close()


def test_the_panel_builds_with_private_events(studio: Studio):
    with gr.Blocks() as demo:
        shared = Shared(demo, gr.Tabs())
        chat.build(studio, shared)
        shared.complete()
    assert {event["api_visibility"] for event in demo.config["dependencies"]} == {"private"}
    ids = {part["props"].get("elem_id") for part in demo.config["components"]}
    assert {"chat-base", "chat-runs", "chat-prompt", "chat-send", "chat-stop", "chat-clear",
            "chat-board"} <= ids
