"""What the Hardware, Dataset and LoRA tabs show, from real engine results."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from studio.errors import RecipeError
from studio.recipe import Recipe, form_from_recipe
from studio.settings import Settings
from studio.ui.charts_memory import level, memory_card
from studio.ui.data_desk import DataDesk, record_of
from studio.ui.panels import dataset, dataset_view, hardware, lora
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
    shown = lora.view(reading)
    assert f"{reading.count.trainable:,}" in shown
    trained = re.findall(r'<td class="right">([\d,]+)</td></tr>', shown)
    assert sum(int(number.replace(",", "")) for number in trained) == reading.count.trainable


def test_the_effective_scale_follows_rank_and_rslora() -> None:
    adapter = Recipe().with_values({"adapter.rank": 16, "adapter.alpha": 32}).adapter
    assert lora.effective_scale(adapter) == 2
    steady = Recipe().with_values({"adapter.rank": 16, "adapter.alpha": 32,
                                   "adapter.use_rslora": True}).adapter
    assert lora.effective_scale(steady) == 8


def test_every_card_says_what_is_wrong_with_the_recipe() -> None:
    wrong = Reading(problem=RecipeError("adapter.rank is <0>.", "Raise it."))
    for shown in (lora.view(wrong), memory_card(wrong)):
        assert "adapter.rank is &lt;0&gt;." in shown


def test_this_pc_is_shown_part_by_part(settings: Settings) -> None:
    from studio.hardware.probe import probe

    found = probe(settings.home)
    shown = hardware.parts_view(found)
    for part in ("Processor", "Memory", "Disk", "Software"):
        assert part in shown
    assert found.verdict.split(":")[0] in hardware.verdict_view(found)


def test_learned_tokens_are_marked_and_text_is_escaped(
    settings: Settings, tiny_model: Path, tmp_path: Path
) -> None:
    row = {"prompt": "Say <b>hi</b>", "completion": "<script>alert(1)</script>"}
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    wanted = Recipe().with_values({"model.source": str(tiny_model), "data.source": str(file)})
    look = DataDesk(settings).look(wanted)
    record = record_of(look, 1)
    assert record is not None and record.example is not None
    shown = dataset_view.rendered_view(record)
    assert "<script>" not in shown and "<b>hi" not in shown
    assert shown.count('token-learned"') + shown.count("token-learned token-special") >= 1
    learned = [text for text, carries in record.example.pieces if carries]
    assert "".join(learned).startswith("<script>alert(1)</script>")
    assert "<script>" not in dataset_view.raw_view(record)


def test_what_is_cut_off_is_shown_as_cut(settings: Settings, recipe: Recipe) -> None:
    short = recipe.with_values({"data.max_length": 16})
    record = record_of(DataDesk(settings).look(short), 1)
    assert record is not None and record.example is not None and record.example.truncated
    assert "token-cut" in dataset_view.rendered_view(record)


def test_a_broken_line_is_named_on_the_page(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "a", "completion": "b"}\nbroken\n', encoding="utf-8")
    look = DataDesk(settings).look(Recipe().with_values({"data.source": str(file)}))
    shown = dataset_view.found_view(look)
    assert "line 2" in shown and 'data-rows="2"' in shown


def test_without_the_model_the_page_says_what_is_missing(settings: Settings) -> None:
    look = DataDesk(settings).look(Recipe())
    assert look.tokenizer is None
    assert "base model" in dataset_view.found_view(look)
    assert "Hardware tab" in dataset_view.rendered_view(record_of(look, 1))


def test_a_record_number_out_of_range_is_brought_back(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"text": "one"}\n{"text": "two"}\n', encoding="utf-8")
    look = DataDesk(settings).look(Recipe().with_values({"data.source": str(file)}))
    first, last = record_of(look, -5), record_of(look, 99)
    assert first is not None and last is not None
    assert (first.number, last.number) == (1, 2)


def test_the_same_look_is_not_taken_twice_until_the_file_changes(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"text": "one"}\n', encoding="utf-8")
    desk, wanted = DataDesk(settings), Recipe().with_values({"data.source": str(file)})
    assert desk.look(wanted) is desk.look(wanted.with_values({"adapter.rank": 4}))
    file.write_text('{"text": "one"}\n{"text": "two"}\n', encoding="utf-8")
    assert desk.look(wanted).inspection.rows == 2


@pytest.mark.parametrize("name", ["orders.jsonl", "CON.jsonl", "ein Käse?.jsonl"])
def test_an_upload_is_kept_under_a_safe_free_name(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    uploaded = tmp_path / name
    uploaded.write_text("{}\n", encoding="utf-8")
    first = dataset.keep_upload(uploaded, settings)
    second = dataset.keep_upload(uploaded, settings)
    assert first != second
    for kept in (first, second):
        assert kept.parent == settings.uploads and kept.suffix == ".jsonl"
        assert kept.read_text(encoding="utf-8") == "{}\n"
