"""The Chat tab: columns, conversations, and answers of a tiny model beside its adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from studio.settings import Settings
from studio.ui.panels import chat, chat_talk
from studio.ui.panels.chat_columns import BASE_VALUE
from studio.ui.shared import Shared
from studio.ui.studio import Studio
from tests.ui.work import short_recipe

SAMPLING = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0,
            "max_new_tokens": 6, "seed": None}


def test_the_starter_example_is_a_held_out_prompt():
    assert "JSON" in chat_talk.starter_prompt()


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return Studio(settings)


def form(model: Path, runs: list[str], prompt: str = "2 pizzas") -> dict[str, Any]:
    return {"base": str(model), "runs": [BASE_VALUE, *runs], "prompt": prompt, "system": None,
            "model.source": str(model), "model.dtype": "float32", **SAMPLING}


def test_the_newest_run_is_chosen_beside_the_base(studio: Studio, tiny_model: Path, tmp_path: Path):
    studio.jobs.start(short_recipe(tiny_model, tmp_path), "orders")
    studio.jobs.wait(240)
    values = form(tiny_model, ["orders"])
    question = chat_talk.question_of(studio, values)
    assert question.names == ["base", "orders"] and question.prompt == "2 pizzas"


def test_the_panel_builds_with_private_events(studio: Studio):
    with gr.Blocks() as demo:
        shared = Shared(demo, gr.Tabs())
        chat.build(studio, shared)
        shared.complete()
    assert {event["api_visibility"] for event in demo.config["dependencies"]} == {"private"}
    ids = {part["props"].get("elem_id") for part in demo.config["components"]}
    assert {"chat-base", "chat-runs", "chat-prompt", "chat-send", "chat-stop", "chat-new",
            "chat-board"} <= ids
