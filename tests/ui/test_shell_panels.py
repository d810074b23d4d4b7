"""What the Hardware and LoRA tabs show, from real engine results; and what becomes of an upload."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from studio.errors import RecipeError
from studio.recipe import Recipe, form_from_recipe
from studio.settings import Settings
from studio.ui.charts_memory import level, memory_card
from studio.ui.panels import hardware, lora_view
from studio.ui.panels.dataset_sources import keep_upload
from studio.ui.reading import Reading, read
from studio.ui.studio import Studio


@pytest.fixture
def recipe(tiny_model: Path) -> Recipe:
    """The starter data on the tiny model."""
    return Recipe().with_values({"model.source": str(tiny_model), "data.max_length": 256})


@pytest.fixture
def reading(settings: Settings, recipe: Recipe) -> Reading:
    """The reading of `recipe`."""
    found = read(Studio(settings), form_from_recipe(recipe))
    assert found.problem is None
    return found


def test_the_memory_bar_has_every_part_with_its_formula(reading: Reading) -> None:
    assert reading.estimate is not None
    shown = memory_card(reading)
    for part in reading.estimate.parts:
        assert f"part-{part.name}" in shown
    widths = [float(width) for width in re.findall(r'memory-part[^>]*width:([\d.]+)%', shown)]
    assert len(widths) == len(reading.estimate.parts)
    assert sum(widths) <= 100


def test_a_need_beyond_what_is_free_is_a_problem(reading: Reading) -> None:
    assert reading.estimate is not None
    assert level(reading.estimate, reading.estimate.high_bytes) == "good"
    assert level(reading.estimate, reading.estimate.low_bytes) == "warning"
    assert level(reading.estimate, reading.estimate.low_bytes - 1) == "problem"


def test_the_lora_card_shows_the_exact_count(reading: Reading) -> None:
    assert reading.count is not None
    shown = lora_view.view(reading)
    assert f"{reading.count.trainable:,}" in shown
    trained = re.findall(r'<td class="right">([\d,]+)</td></tr>', shown)
    assert sum(int(number.replace(",", "")) for number in trained) == reading.count.trainable


def test_the_effective_scale_follows_rank_and_rslora() -> None:
    adapter = Recipe().with_values({"adapter.rank": 16, "adapter.alpha": 32}).adapter
    assert lora_view.effective_scale(adapter) == 2
    steady = Recipe().with_values({"adapter.rank": 16, "adapter.alpha": 32,
                                   "adapter.use_rslora": True}).adapter
    assert lora_view.effective_scale(steady) == 8


def test_every_card_says_what_is_wrong_with_the_recipe() -> None:
    wrong = Reading(problem=RecipeError("adapter.rank is <0>.", "Raise it."))
    for shown in (lora_view.view(wrong), memory_card(wrong)):
        assert "adapter.rank is &lt;0&gt;." in shown


def test_this_pc_is_shown_part_by_part(settings: Settings) -> None:
    from studio.hardware.probe import probe

    found = probe(settings.home)
    shown = hardware.parts_view(found)
    for part in ("Processor", "Memory", "Disk", "Software"):
        assert part in shown
    assert found.verdict.split(":")[0] in hardware.verdict_view(found)


@pytest.mark.parametrize("name", ["orders.jsonl", "CON.jsonl", "ein Käse?.jsonl", "a.JSONL.gz"])
def test_an_upload_is_kept_under_a_safe_free_name(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    uploaded = tmp_path / name
    uploaded.write_text("{}\n", encoding="utf-8")
    first, second = keep_upload(uploaded, settings), keep_upload(uploaded, settings)
    assert first != second
    for kept in (first, second):
        assert kept.parent == settings.uploads and ".jsonl" in kept.suffixes[-2:]
        assert kept.read_text(encoding="utf-8") == "{}\n"


def test_a_preset_says_what_it_sets_for_the_method() -> None:
    shown = lora_view.preset_view("low memory", Recipe())
    assert "For SFT: 4-bit LoRA rank 8" in shown
    rewarded = lora_view.preset_view("balanced", Recipe().with_values({"training.method": "grpo"}))
    assert "For GRPO" in rewarded and "8 answers of 256 tokens" in rewarded


@pytest.mark.parametrize("method", ["adalora", "vera", "ia3", "oft", "prompt_tuning",
                                    "prefix_tuning", "none"])
def test_another_adapter_is_shown_beside_lora(
    settings: Settings, recipe: Recipe, method: str
) -> None:
    other = recipe.with_values({"adapter.method": method})
    found = read(Studio(settings), form_from_recipe(other))
    assert found.problem is None and found.count is not None
    shown = lora_view.view(found)
    assert f"{found.count.trainable:,}" in shown
    assert "Beside LoRA" in shown and "memory in training" in shown
