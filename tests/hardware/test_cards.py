"""The list of cards: its figures hold together, and a card is found by what people call it."""

from __future__ import annotations

import re

import pytest

from studio.errors import StudioError
from studio.hardware.cards import (
    DESKTOP_BYTES,
    THIS_PC,
    Card,
    cards,
    find_card,
    find_place,
    place_on,
    this_pc,
)
from studio.settings import Settings


@pytest.mark.parametrize("card", cards(), ids=lambda card: card.name)
def test_a_card_reports_a_little_less_than_its_box_says(card: Card) -> None:
    boxed = int(re.search(r"(\d+) GB$", card.name)[1]) * 2**30  # type: ignore[index]
    assert 0.9 * boxed < card.total_bytes < boxed
    assert card.kind in ("GeForce", "laptop", "workstation", "data centre")
    assert ("Laptop" in card.name) == (card.kind == "laptop")


def test_every_name_stands_once_and_finds_itself() -> None:
    names = [card.name for card in cards()]
    assert len(names) == len(set(names))
    assert [find_card(name).name for name in names] == names


def test_only_ampere_and_later_train_in_bfloat16() -> None:
    for name in ("GTX 1660 6 GB", "RTX 2080 Ti 11 GB", "T4 16 GB", "V100 32 GB"):
        assert find_card(name).device.fast_dtype == "float16"
    for name in ("RTX 3050 6 GB", "A100 40 GB", "RTX 4090 24 GB", "RTX 5060 Ti 16 GB"):
        assert find_card(name).device.fast_dtype == "bfloat16"


@pytest.mark.parametrize(("called", "name"), [
    ("4090", "RTX 4090 24 GB"), ("rtx4090", "RTX 4090 24 GB"), ("3060", "RTX 3060 12 GB"),
    ("NVIDIA GeForce RTX 4060", "RTX 4060 8 GB"), ("4060 ti 16gb", "RTX 4060 Ti 16 GB"),
    ("nvidia a100-80GB", "A100 80 GB"), ("Tesla T4", "T4 16 GB"), ("l40s", "L40S 48 GB"),
    ("4090 laptop", "RTX 4090 Laptop 16 GB"), ("RTX 2080 Ti", "RTX 2080 Ti 11 GB"),
])
def test_a_card_is_found_by_what_people_call_it(called: str, name: str) -> None:
    assert find_card(called).name == name


def test_a_name_that_several_cards_have_asks_which() -> None:
    with pytest.raises(StudioError) as caught:
        find_card("A100")
    assert "A100 40 GB, A100 80 GB" in caught.value.hint


@pytest.mark.parametrize("called", ["GTX 970", "Voodoo 2", "nvidia", "-"])
def test_an_unknown_card_names_the_nearest_or_what_to_do(called: str) -> None:
    with pytest.raises(StudioError, match="no card") as caught:
        find_card(called)
    assert "how much memory yours has" in caught.value.hint


def test_a_card_with_a_screen_keeps_something_for_the_desktop() -> None:
    card = find_card("RTX 4090")
    assert card.free_bytes == card.total_bytes - DESKTOP_BYTES
    assert "desktop" in place_on(card).note
    server = find_card("H100")
    assert server.free_bytes == server.total_bytes
    assert "desktop" not in place_on(server).note


def test_without_a_card_this_pc_is_meant_with_what_is_free_now(settings: Settings) -> None:
    for name in (None, "", THIS_PC):
        place = find_place(settings, name)
        assert place.is_this_pc
        assert place.device == this_pc(settings).device
        assert 0 < place.free_bytes <= place.device.total_bytes


def test_memory_that_is_given_counts_instead(settings: Settings) -> None:
    place = find_place(settings, "RTX 4090", 10)
    assert (place.free_bytes, place.device.name) == (10 * 10**9, "RTX 4090 24 GB")
    assert find_place(settings, None, 1000).device.total_bytes == 10**12
    with pytest.raises(StudioError, match="is nothing to train in"):
        find_place(settings, "RTX 4090", 0)
