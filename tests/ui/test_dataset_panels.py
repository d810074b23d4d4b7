"""The parts of the Dataset tab as handlers: what follows the data, mapping, template, cleaning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from studio.data import shapes
from studio.data.cleaning import Cleaned, CleanedFile
from studio.data.lab.first_page import Page, first_page
from studio.errors import DataError
from studio.recipe import Data, Recipe, form_from_recipe
from studio.settings import Settings
from studio.ui.app import build_app
from studio.ui.panels import (
    dataset,
    dataset_mapping,
    dataset_record,
    dataset_report,
    dataset_split,
)
from studio.ui.panels import dataset_findings_view as findings_view
from studio.ui.panels import dataset_mapping_view as mapping_view
from studio.ui.panels.dataset_page import DataPage, record_updates
from studio.ui.panels.dataset_sources import split_endings
from studio.ui.panels.dataset_template import mistake_view, why_view
from studio.ui.studio import Studio

PATIENCE_SECONDS = 120
ODD = {"nr": 7, "they wonder": "What <is> it?", "meta": {"we say": "A cat, I think."}}


@pytest.fixture
def studio(settings: Settings) -> Studio:
    """A studio on an empty home."""
    return Studio(settings)


@pytest.fixture
def odd(settings: Settings, tmp_path: Path) -> Page:
    """Two rows with columns nobody knows, one of them nested."""
    file = tmp_path / "odd.jsonl"
    file.write_text((json.dumps(ODD) + "\n") * 2, encoding="utf-8")
    return first_page(Data(source=str(file)), settings)


def page() -> DataPage:
    """A page with one live view, one settled one, and one that is refilled."""
    with gr.Blocks():
        made = DataPage()
        made.number, made.record = gr.Number(1), (gr.HTML(), gr.HTML(), gr.HTML())
        made.live.append((gr.HTML(), lambda look: look.state))
        made.settled.append((gr.HTML(), lambda look: str(look.report and look.report.rows)))
        made.refilled.append((gr.HTML(), lambda look: look.page.name if look.page else ""))
    return made


def finished(studio: Studio, key: str) -> None:
    studio.data.begin(key)
    studio.data.wait(key, PATIENCE_SECONDS)


def test_following_shows_the_first_rows_then_the_report_and_then_nothing_new(
    studio: Studio
) -> None:
    made, form = page(), form_from_recipe(Recipe())
    key, number, filled, seen, signal, record, live, settled = dataset.follow_data(
        studio, made, form, "")
    assert (filled, live, settled, number) == ("train.jsonl", "running", "None", 1)
    assert record == seen[0] and signal == gr.skip()
    finished(studio, key)
    seen, signal, record, live, settled = made.updates(studio.data, key, seen)
    assert (live, settled, signal) == ("done", "720", seen[0])
    assert record == seen[0]
    assert made.updates(studio.data, key, seen) == gr.skip()


def test_a_record_is_shown_by_its_number_and_only_a_wrong_number_is_corrected(
    studio: Studio
) -> None:
    key, *_ = dataset.follow_data(studio, page(), form_from_recipe(Recipe()), "")
    number, raw, *_ = record_updates(studio.data, key, 1)
    assert "line 1" in raw and number == gr.skip()
    finished(studio, key)
    number, raw, *_ = record_updates(studio.data, key, 10_000)
    assert number == 720 and "line 720" in raw
    assert dataset_record.turned(-1, 1) == 1 and dataset_record.turned(1, None) == 2


def test_the_same_rows_cut_elsewhere_leave_the_number_and_what_was_typed(studio: Studio) -> None:
    made = page()
    key, *_ = dataset.follow_data(studio, made, form_from_recipe(Recipe()), "")
    finished(studio, key)
    shorter = form_from_recipe(Recipe().with_values({"data.max_length": 64}))
    _, number, filled, *_, settled = dataset.follow_data(studio, made, shorter, key)
    assert (number, filled) == (gr.skip(), gr.skip())
    assert settled == "720"


def test_a_form_that_is_no_recipe_leaves_everything_as_it_is(studio: Studio) -> None:
    form = {**form_from_recipe(Recipe()), "data.held_out": "file"}
    assert dataset.follow_data(studio, page(), form, "") == gr.skip()


def test_every_part_of_the_tab_is_on_the_page(studio: Studio) -> None:
    demo = build_app(studio)
    names = {component["props"].get("elem_id") for component in demo.config["components"]}
    assert {"dataset-found", "dataset-findings", "dataset-lengths", "dataset-advice",
            "dataset-mapping", "dataset-template-error", "dataset-rendered", "dataset-packed",
            "dataset-split", "dataset-clean", "dataset-checklist"} <= names


def test_the_mapping_form_offers_columns_with_a_sample_and_places_inside_them(odd: Page) -> None:
    choices = dict(mapping_view.column_choices(dataset_mapping.groups_of_page(odd)))
    assert "meta.we say" in choices.values()
    assert any("What <is> it?" in shown for shown in choices)
    updates = dataset_mapping.form_updates(odd)
    assert len(updates) == 1 + mapping_view.MOST_PARTS
    shown = [one for one in updates[1:] if one["visible"]]
    assert len(shown) == len(shapes.BY_NAME[updates[0]["value"]].roles)


def test_the_preview_is_the_first_record_as_it_would_be_taught(odd: Page) -> None:
    shown = dataset_mapping.preview(odd, "prompt_completion", {
        "prompt": "{nr}, {they wonder}", "completion": "meta.we say"})
    assert "7, What &lt;is&gt; it?" in shown and "<is>" not in shown
    assert 'turn-taught"><div class="turn-who">Model' in shown and "A cat, I think." in shown


def test_the_preview_says_what_is_missing_or_wrong(odd: Page) -> None:
    assert "Still to choose: Answer." in dataset_mapping.preview(
        odd, "prompt_completion", {"prompt": "they wonder"})
    assert "they wander" in dataset_mapping.preview(
        odd, "prompt_completion", {"prompt": "they wander", "completion": "nr"})


@pytest.mark.parametrize("format", list(shapes.BY_NAME))
def test_values_of_the_form_go_to_the_parts_of_the_format(format: str) -> None:
    roles = shapes.BY_NAME[format].roles
    values = [f"column {number}" for number in range(mapping_view.MOST_PARTS)]
    assert mapping_view.mapping_of(format, values) == dict(zip(roles, values, strict=False))
    assert mapping_view.mapping_of(format, [" ", None]) == {}


def test_only_the_fields_of_the_chosen_way_to_hold_out_are_shown() -> None:
    shown = dataset_split.visible_fields("column")
    assert {key for key, visible in shown.items() if visible} == {"data.eval_column",
                                                                  "data.eval_value"}
    assert set(shown) == set(dataset_split.KEYS)
    assert any(dataset_split.visible_fields("fraction").values())


def test_a_mistake_in_a_template_is_told_with_its_line() -> None:
    shown = mistake_view("{% for message in messages %}\n{{ massage.content }}{% endfor %}")
    assert "massage" in shown and "line 2" in shown
    assert "Valid Jinja" in mistake_view("{{ messages[0].content }}")
    assert mistake_view("  ") == ""


def test_the_reason_for_a_template_stands_with_its_text(studio: Studio, tiny_model: Path) -> None:
    wanted = Recipe().with_values({"model.source": str(tiny_model), "data.template": "alpaca"})
    key = studio.data.follow(wanted)
    studio.data.begin(key)
    look = studio.data.look(key)
    assert look is not None
    shown = why_view(look)
    assert "Plain words" in shown and "### Response" in shown


def cleaned(folder: Path, *names: str) -> Cleaned:
    files = tuple(
        CleanedFile(name, folder / f"{name}-cleaned.jsonl", folder / f"{name}.record.json",
                    10, 8, 2, 1, 0) for name in names)
    return Cleaned(files, ({"finding": "a", "title": "<Twice>", "remedy": "drop", "rows": 2,
                            "could_not_be_mended": 0},))


def test_cleaned_files_become_the_sources_in_their_order(tmp_path: Path) -> None:
    data = Data(source="a.jsonl", mix={"b.jsonl": 0.5, "a.jsonl": 2}, held_out="file",
                eval_source="c.jsonl")
    found = findings_view.new_sources(cleaned(tmp_path, "a", "b", "c"), data)
    a, b, c = (str(tmp_path / f"{name}-cleaned.jsonl") for name in "abc")
    assert found["data.source"] == a
    assert found["data.mix"] == {b: 0.5, a: 2}
    assert found["data.eval_source"] == c
    Recipe(data=data).with_values(found)


def test_what_was_done_is_told_with_its_counts(tmp_path: Path) -> None:
    shown = findings_view.cleaned_view(cleaned(tmp_path, "a"))
    for part in ("Drop: 2 rows, &lt;Twice&gt;", "a-cleaned.jsonl", "Your own files are as they"):
        assert part in shown


def test_a_copy_is_written_in_the_background_from_what_was_chosen(
    studio: Studio, tmp_path: Path
) -> None:
    file = tmp_path / "mine.jsonl"
    rows: list[dict[str, Any]] = [{"prompt": f"Say {number}", "completion": f"{number}!"}
                                  for number in (1, 2, 3, 3)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    key = studio.data.follow(Recipe().with_values({"data.source": str(file)}))
    with pytest.raises(DataError, match="still being read"):
        dataset_report.start_cleaning(studio, key)
    finished(studio, key)
    studio.data.choose(key, "exact_duplicates", "drop")
    dataset_report.start_cleaning(studio, key)
    task = studio.cleaning.wait(PATIENCE_SECONDS)
    assert task.state == "done"
    [one] = task.result.files
    assert (one.rows_in, one.kept, one.dropped) == (4, 3, 1)
    assert one.file.parent == studio.settings.uploads
    assert len(one.file.read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize(("name", "parts"), [
    ("a.JSONL", ("a", ".jsonl")), ("a.b.csv", ("a.b", ".csv")),
    ("a.jsonl.GZ", ("a", ".jsonl.gz")), ("a.parquet.zst", ("a", ".parquet.zst")),
])
def test_both_endings_of_a_packed_file_stay(name: str, parts: tuple[str, str]) -> None:
    assert split_endings(name) == parts
