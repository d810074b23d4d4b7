"""What a chat, a merge and a GGUF will take, as the tabs tell it."""

from __future__ import annotations

import pytest

from studio.device import Device
from studio.hardware.chat_memory import estimate_chat
from studio.hardware.export_memory import estimate_gguf
from studio.hardware.memory import estimate
from studio.hardware.simulate.result import Difference, Simulated
from studio.presets import starter_recipe
from studio.recipe import Adapter, Model
from studio.settings import Settings
from studio.ui.charts_memory import legend
from studio.ui.panels.job_memory import chat_room, job_view
from studio.ui.panels.simulate import result_view
from studio.ui.studio import Studio
from tests.hardware.shapes import shape_of

CARD = Device("cuda", "Card", "bfloat16", 24 * 10**9)


def test_memory_and_disk_that_suffice_are_a_quiet_sentence_and_others_a_warning() -> None:
    found = estimate_gguf(shape_of("starter"), "q8_0")
    calm = job_view("The file", found, 10**10, 10**11)
    assert "144.8 MB of disk (100.0 GB free)" in calm and "note" not in calm
    assert "note-warning" in job_view("The file", found, 10**8, 10**11)
    narrow = job_view("The file", found, 10**10, 10**8)
    assert "note-warning" in narrow and "--home" in narrow


def test_every_part_can_be_reached_by_keyboard_and_has_a_plain_name() -> None:
    found = estimate_chat(Model(), shape_of("starter"), CARD, columns=2, adapters=[Adapter()],
                          context_tokens=512)
    page = legend(found.parts, "chat")
    assert page.count('tabindex="0"') == len(found.parts)
    for name in ("Base model", "Adapters", "Conversation cache", "One layer at work"):
        assert name in page
    assert "30 layers x 384 keys and values" in page


def test_a_chat_is_told_from_the_shape_alone(settings: Settings) -> None:
    studio = Studio(settings)
    chat = chat_room(studio, Model(), 2, [Adapter()])
    assert "A conversation of 2,048 tokens takes about" in chat
    assert not settings.models.exists()


def test_a_model_that_is_not_there_is_said(settings: Settings) -> None:
    missing = chat_room(Studio(settings), Model(source="./no/such/folder"), 1, [])
    assert "note-warning" in missing and "no/such/folder" in missing


@pytest.mark.parametrize("is_apart", [False, True])
def test_a_simulation_is_told_beside_the_formulas(is_apart: bool) -> None:
    guess = estimate(starter_recipe(), shape_of("starter"), CARD)
    seen = Simulated(guess.allocated_bytes, {}, "the loss", 1.5, 3, 30)
    rows = [Difference("logits", 10**9, 2 * 10**9)] if is_apart else []
    page = result_view(guess, seen, rows)
    assert ("note-good" in page) != is_apart
    assert ("Word scores, loss" in page) == is_apart
