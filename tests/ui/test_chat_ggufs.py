"""GGUF files on the Chat tab: offered, told before anything is loaded, asked, and measured not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from studio.chat.sampling import Sampling
from studio.errors import ModelError
from studio.settings import Settings
from studio.ui.panels import chat_serve, chat_turns
from studio.ui.panels.chat_answering import Answering, Question
from studio.ui.panels.chat_columns import BASE_VALUE
from studio.ui.panels.chat_lineup_page import PARTS, lineup_of, opened, page
from studio.ui.panels.chat_room import room_view
from studio.ui.panels.chat_turns import BLANK
from studio.ui.studio import Studio
from tests.browser.chat_runs import home_with_runs
from tests.ggufs import write_tiny_gguf, write_tiny_lora

LORA = "gguf:orders-lora.gguf"


@pytest.fixture
def studio(settings: Settings) -> Iterator[Studio]:
    write_tiny_gguf(settings.exports / "orders.gguf")
    write_tiny_lora(settings.exports / "orders-lora.gguf")
    studio = Studio(settings)
    yield studio
    studio.chat.close()


@pytest.fixture
def base(settings: Settings) -> str:
    return str(settings.exports / "orders.gguf")


def values(base: str = "starter", *runs: str, **more: Any) -> dict[str, Any]:
    return {"base": base, "runs": [BASE_VALUE, *runs], "model.source": "starter",
            "strengths": {}, **more}


def sent(found: list[Any]) -> dict[str, Any]:
    return {name: part for name, part in zip((*PARTS, "seen"), found, strict=True)
            if part != gr.skip()}


def test_models_are_bases_and_adapters_are_columns_over_them(studio: Studio, base: str) -> None:
    first = sent(page(studio, values(), {}))
    assert ("orders.gguf", base) in first["base"].choices
    assert "orders-lora" not in str(first["base"].choices) + str(first["runs"].choices)
    chosen = sent(page(studio, values(base), first["seen"]))
    assert chosen["runs"].choices == [("base", BASE_VALUE), ("orders-lora (GGUF adapter)", LORA)]
    both = sent(page(studio, values(base, LORA), chosen["seen"]))
    assert [row["name"] for row in both["strengths"]["rows"]] == ["orders-lora"]
    assert sent(page(studio, values(base, LORA), both["seen"])) == {}
    # What a browser kept of it is chosen again.
    kept = {"base": base, "runs": [BASE_VALUE, LORA], "loading": "as trained"}
    assert sent(opened(studio, values(), kept)[:-1])["runs"].value == [BASE_VALUE, LORA]


def test_runs_checkpoints_and_blends_are_columns_over_a_file_too(
    studio: Studio, tiny_model: Path, base: str
) -> None:
    home_with_runs(studio.settings.home, tiny_model, ["first"], {"first": [5]})
    shown = sent(page(studio, values(base), {"of_base": base}))
    assert [value for _, value in shown["runs"].choices] == [
        BASE_VALUE, LORA, "first", "first/checkpoint-5"]
    asked = values(base, LORA, "first/checkpoint-5", strengths={"chosen": {LORA: 0.5}})
    _, columns = lineup_of(studio, asked)
    assert [one.name for one in columns] == ["base", "orders-lora × 0.5", "first, step 5"]
    told = sent(page(studio, asked, {"of_base": base}))["status"]
    assert "first, step 5 was trained on tiny-llama, so the file should be a GGUF of that" in told
    # The wider feed-forward layers of the run's base are none of the file's.
    room = room_view(studio, asked)
    assert "first, step 5 does not fit orders.gguf" in room and studio.chat.session is None


def test_what_answers_and_what_cannot_be_measured_is_said(studio: Studio, base: str) -> None:
    told = sent(page(studio, values(base, LORA, loading="8bit"), {"of_base": base}))["status"]
    assert "They answer one after another" in told and "llama.cpp answers from orders.gguf" in told
    assert "keeps 256 tokens" in told and "cannot be measured" in told
    assert "held as it was written" in told
    assert "trained on" not in told
    alone = sent(page(studio, values(base), {"of_base": base}))["status"]
    assert "Only base answers." in alone
    room = room_view(studio, values(base))
    assert "A conversation of up to 256 tokens takes about" in room and "of memory" in room


@pytest.mark.parametrize(("file", "columns", "sentence"), [
    ("gone.gguf", (), "There is no file"), ("text.gguf", (), "text.gguf is not a GGUF file"),
    ("orders-lora.gguf", (), "orders-lora.gguf is an adapter"),
    ("orders.gguf", ("first",), "There is no adapter"),
])
def test_a_choice_that_cannot_be_is_a_sentence_before_anything_is_loaded(
    studio: Studio, settings: Settings, file: str, columns: tuple[str, ...], sentence: str
) -> None:
    (settings.exports / "text.gguf").write_text("hello", encoding="utf-8")
    asked = values(str(settings.exports / file), *columns)
    assert sentence in room_view(studio, asked) and studio.chat.session is None
    with pytest.raises(ModelError, match=sentence):
        lineup_of(studio, asked)


def test_a_page_asks_a_file_by_its_path_and_is_told_that_it_cannot_be_measured(
    studio: Studio, base: str, tmp_path: Path
) -> None:
    elsewhere = write_tiny_gguf(tmp_path / "elsewhere.gguf")
    for source, runs in ((str(elsewhere), ()), (base, (LORA,))):
        model, columns = lineup_of(studio, values(source, *runs, strengths={"chosen": {LORA: 0.5}}))
        question = Question("Two pizzas", "", model, columns, Sampling(max_new_tokens=6))
        *_, last = chat_turns.sent(studio, Answering(studio.chat), "page", question,
                                   {"talk": BLANK, "editing": 0, "marks": "plain"})
        answers = last["talk"].conversation.exchanges[-1].answers
        assert list(answers) == ["base", *(["orders-lora × 0.5"] if runs else [])]
        assert all(one.tokens and one.seconds_to_first_token for one in answers.values())
    with pytest.raises(ModelError, match="cannot be measured on orders"):
        list(chat_turns.with_measures(studio, question, {**last, "marks": "plain"}))


def test_a_file_in_the_line_up_is_served_with_its_columns(studio: Studio, base: str) -> None:
    asked = {**values(base, LORA, strengths={"chosen": {LORA: 0.5}}),
             "source": chat_serve.LINEUP, "file": None, "port": 0}
    assert chat_serve.endpoint_of(studio, asked).model_names == ["orders", "orders-lora × 0.5"]
    asked |= {"source": chat_serve.GGUF, "file": "orders.gguf"}
    assert chat_serve.endpoint_of(studio, asked).model_names == ["orders"]
