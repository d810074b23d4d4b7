"""The Train tab: what it shows, and its handlers on a real studio with a tiny model."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from studio.errors import BusyError, RunError
from studio.presets import starter_recipe
from studio.runs import create_run
from studio.settings import Settings
from studio.training.control import Control
from studio.ui.panels import run_controls, train, train_run, train_view
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


def buttons(now: train_run.Snapshot) -> dict[str, bool]:
    """Which of a run's buttons are there, and whether they can be pressed."""
    page = sent(train_run.page(now, {}))
    return {name: page[name].interactive for name in
            ("pause", "stop", "cancel", "resume", "requeue", "at_work") if page[name].visible}


def test_what_was_asked_is_shown_at_once_and_only_more_can_be_asked(studio: Studio):
    run = create_run(studio.settings, starter_recipe(), "orders")
    with run.owned():
        run.append("state", state="training")
        assert buttons(train_run.look(studio, "")) == {
            "pause": True, "stop": True, "cancel": True}
        run.append("asked", what="pause")
        now = train_run.look(studio, "")
        assert buttons(now) == {"pause": False, "stop": True, "cancel": True}
        status = sent(train_run.page(now, {}))["status"]
        assert "Pausing" in status and "then a checkpoint is saved" in status
        run.append("asked", what="cancel")
        assert buttons(train_run.look(studio, "")) == {
            "pause": False, "stop": False, "cancel": False}
    run.append("state", state="paused")
    assert set(buttons(train_run.look(studio, ""))) == {"resume", "requeue"}


def test_a_run_that_waits_can_begin_at_once_but_not_wait_twice(studio: Studio):
    studio.queue.add(starter_recipe(), "orders")
    now = train_run.look(studio, "")
    assert set(buttons(now)) == {"resume"}
    assert sent(train_run.page(now, {}))["resume"].value == "Start now"


def test_a_cancel_is_asked_about_while_there_is_something_to_cancel(studio: Studio):
    run = create_run(studio.settings, starter_recipe(), "orders")
    with run.owned():
        run.append("state", state="training")
        for cancelling, asks in (("", False), ("orders", True), ("other", False)):
            now = train_run.look(studio, "", cancelling)
            assert sent(train_run.page(now, {}))["confirm"].visible is asks
    run.append("state", state="done")
    now = train_run.look(studio, "", "orders")
    assert not sent(train_run.page(now, {}))["confirm"].visible


def test_a_run_of_another_program_is_asked_through_its_folder(studio: Studio):
    run = create_run(studio.settings, starter_recipe(), "orders")
    with run.owned():
        run.append("state", state="training")
        run_controls.ask_run(studio, "orders", "pause")
        control = Control()
        with control.attending(run):
            assert control() and control.asked == "pause"
    run.append("state", state="done")
    with pytest.raises(RunError, match="not being trained"):
        run_controls.ask_run(studio, "orders", "pause")


def test_what_memory_changed_on_the_way_is_told_in_the_words_of_the_form():
    page = train_view.status_view(story(3, adapted={
        "training.batch_size": 2, "training.gradient_checkpointing": "on"}))
    assert "Micro-batch 2, Gradient checkpointing on" in page


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
    assert {"train-start", "train-add", "train-pause", "train-stop", "train-cancel",
            "train-resume", "train-plot", "train-log", "queue-run", "grid-lines",
            "runs-table"} <= ids
