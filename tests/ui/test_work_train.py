"""The Train tab: what it shows, and its handlers on a real studio with a tiny model."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from studio.errors import BusyError, RunError
from studio.presets import starter_recipe
from studio.runs import create_run
from studio.settings import Settings
from studio.ui.panels import train, train_run, train_view
from studio.ui.panels.train_summary import summary_view
from studio.ui.reading import Reading
from studio.ui.shared import Shared
from studio.ui.studio import Studio
from tests.ui.work import short_recipe, story

PATIENCE_SECONDS = 240


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return Studio(settings)


def sent(page: list) -> dict:
    """The parts of a page that were not skipped, by name."""
    skip = gr.skip()
    return {name: part for name, part in zip(train_run.PARTS, page, strict=False) if part != skip}


def test_an_empty_studio_says_what_to_do():
    assert "Press Start" in train_view.status_view(None)


def test_the_status_shows_state_step_epoch_speed_and_time_left():
    page = train_view.status_view(story(40, epoch=0.5, tokens_per_second=1234.0,
                                        seconds_left=75.0))
    for expected in ("Training", "orders", "40 of 80", "0.50", "1,234", "1 min 15 s"):
        assert expected in page
    assert 'aria-valuenow="50"' in page


def test_names_and_errors_from_files_are_escaped():
    page = train_view.status_view(story(
        1, name="<script>", state="failed", error=("It broke: <img>", "Try <b>")))
    assert "<script>" not in page and "<img>" not in page and "<b>" not in page
    assert "&lt;img&gt;" in page
    log = train_view.log_view(story(1, log_tail=("<script>alert()</script>",)))
    assert "<script>" not in log


def test_the_summary_names_what_will_run():
    page = summary_view(Reading(recipe=starter_recipe()))
    for expected in ("Starter data, 5% held out", "LoRA rank 16 on all linear layers",
                     "4 examples a step", "110 steps"):
        assert expected in page


def test_the_summary_shows_a_mistake_instead():
    problem = RunError("rank is <0>", "Raise it.")
    assert "rank is &lt;0&gt;" in summary_view(Reading(problem=problem))


def test_an_unchanged_page_is_sent_nothing(studio: Studio):
    create_run(studio.settings, starter_recipe(), "orders").append("state", state="preparing")
    first = train_run.page(train_run.look(studio, ""), {})
    again = sent(train_run.page(train_run.look(studio, ""), first[-1]))
    assert set(sent(first)) == set(train_run.PARTS)
    assert set(again) <= {"telemetry"}


def test_only_what_changed_is_sent(studio: Studio):
    run = create_run(studio.settings, starter_recipe(), "orders")
    run.append("state", state="training")
    first = train_run.page(train_run.look(studio, ""), {})
    run.append("note", level="info", text="hello")
    again = sent(train_run.page(train_run.look(studio, ""), first[-1]))
    assert {"status", "plot", "log"} <= set(again)
    assert "recipe" not in again and "stop" not in again


def test_a_run_that_was_opened_stays_shown_when_a_newer_one_comes(studio: Studio):
    for name in ("old", "new"):
        create_run(studio.settings, starter_recipe(), name).append("state", state="stopped")
    newest = studio.run_to_show("")
    other = {"old": "new", "new": "old"}[newest.name]
    assert train_run.look(studio, other).story.name == other
    assert train_run.look(studio, "deleted").story.name == newest.name


def test_an_interrupted_run_can_be_resumed_and_a_finished_one_cannot(studio: Studio):
    run = create_run(studio.settings, starter_recipe(), "orders")
    run.append("plan", total_steps=10)
    run.append("state", state="training")
    assert train_run.look(studio, "").can_resume
    run.append("state", state="done")
    assert not train_run.look(studio, "").can_resume


def test_a_damaged_recipe_is_a_sentence_and_not_a_broken_page(studio: Studio):
    run = create_run(studio.settings, starter_recipe(), "orders")
    (run.path / "recipe.yaml").write_text("model: [", encoding="utf-8")
    run.append("state", state="stopped")
    assert "not valid YAML" in train_run.look(studio, "").recipe_yaml


def test_training_from_the_studio_shows_its_curve_and_refuses_a_second(
    studio: Studio, tiny_model: Path, tmp_path: Path
):
    recipe = short_recipe(tiny_model, tmp_path)
    studio.jobs.start(recipe, "orders")
    if studio.jobs.active is not None:
        with pytest.raises(BusyError, match="orders"):
            studio.jobs.start(recipe, "second")
    studio.jobs.wait(PATIENCE_SECONDS)
    now = train_run.look(studio, "")
    assert now.story.state == "done", now.story.error
    assert now.active == "" and not now.can_resume
    page = sent(train_run.page(now, {}))
    assert "3 of 3" in page["status"] and '"loss, smoothed"' in page["plot"]
    # A second page, and a studio started later, show the same run.
    later = sent(train_run.page(train_run.look(Studio(studio.settings), ""), {}))
    assert later["status"] == page["status"] and later["plot"] == page["plot"]


def test_the_panel_builds_with_private_events_and_a_field_for_every_setting(studio: Studio):
    with gr.Blocks() as demo:
        shared = Shared(demo, gr.Tabs())
        train.build(studio, shared)
        shared.complete()
    assert {"training.epochs", "training.seed"} <= set(shared.fields)
    visible = [event for event in demo.config["dependencies"]
               if event["api_visibility"] != "private"]
    assert visible == []
    ids = {part["props"].get("elem_id") for part in demo.config["components"]}
    assert {"train-start", "train-stop", "train-resume", "train-plot", "train-log",
            "runs-table"} <= ids
