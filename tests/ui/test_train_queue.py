"""The Queue sub-tab, the grid box, and the note at the end, on a real home."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import gradio as gr
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.testclient import TestClient

from studio.errors import RunError
from studio.presets import starter_recipe
from studio.recipe import form_from_recipe
from studio.runs import create_run
from studio.settings import Settings
from studio.ui import notify
from studio.ui.app import ALLOWED_HOSTS
from studio.ui.panels import grid_box, queue_panel, queue_view
from studio.ui.panels.queue_view import QueueState, Waiting
from studio.ui.seen import NEVER
from studio.ui.studio import Studio
from tests.ui.work import short_recipe, story

PATIENCE_SECONDS = 240
LINES = "adapter.rank: 8, 16\ntraining.learning_rate: 0.0001, 0.0002"


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return Studio(settings)


def names(studio: Studio) -> list[str]:
    return [row.name for row in queue_panel.look(studio).waiting]


def test_an_empty_queue_says_how_to_fill_it():
    assert "Add to queue" in queue_view.waiting_view(())
    assert "Nothing waits." in queue_view.state_view(QueueState())
    assert queue_view.ended_view((), ()) == ""


def test_runs_are_moved_and_removed_by_their_buttons(studio: Studio):
    for name in ("a", "b", "c"):
        studio.queue.add(starter_recipe(), name)
    queue_panel.change_queue(studio, "up", "c")
    assert names(studio) == ["a", "c", "b"]
    queue_panel.change_queue(studio, "down", "a")
    assert names(studio) == ["c", "a", "b"]
    queue_panel.change_queue(studio, "remove", "a")
    assert names(studio) == ["c", "b"]
    with pytest.raises(RunError, match="does not wait"):
        queue_panel.change_queue(studio, "up", "a")


def test_the_first_cannot_go_up_nor_the_last_down():
    page = queue_view.waiting_view([Waiting("a", False), Waiting("b", True)])
    first, second = page.split("</li>")[:2]
    assert 'data-what="up" data-name="a"' in first and first.count(" disabled") == 1
    assert first.index(" disabled") < first.index('data-what="down"')
    assert second.count(" disabled") == 1
    assert second.index('data-what="down"') < second.index(" disabled")
    assert "in a process of its own" in second and "process" not in first


def test_names_and_errors_in_the_queue_are_escaped():
    page = queue_view.waiting_view([Waiting("<a>", False, "<title>")])
    failed = story(1, name="<u>", state="failed", error=("It broke: <img>", ""))
    page += queue_view.ended_view([failed], ["<note>"])
    page += queue_view.state_view(QueueState(working=failed, reason="<reason>"))
    for word in ("<a>", "<title>", "<u>", "<img>", "<note>", "<reason>"):
        assert word not in page and word in unescape(page)


def test_the_queue_tells_whether_it_is_held_and_why_it_waits():
    waiting = (Waiting("a", False), Waiting("b", False))
    held = queue_view.state_view(QueueState(waiting))
    assert "2 runs wait" in held and "nothing begins by itself" in held
    at_work = queue_view.state_view(QueueState(waiting, story(3, name="orders")))
    assert "the run at work goes on" in at_work and "step 3 of 6" in at_work
    busy = queue_view.state_view(QueueState(waiting, None, True, "A chat holds the GPU."))
    assert "The next run waits: A chat holds the GPU." in busy and "held" not in busy


def test_an_unchanged_queue_is_sent_nothing_and_a_changed_one_is(studio: Studio):
    first = queue_panel.page(queue_panel.look(studio), NEVER)
    assert queue_panel.page(queue_panel.look(studio), first[-1]) == gr.skip()
    studio.queue.add(starter_recipe(), "a")
    again = queue_panel.page(queue_panel.look(studio), first[-1])
    assert again[1].visible and not again[2].visible


def test_the_queue_trains_one_after_the_other_and_a_failed_one_does_not_stop_the_next(
    studio: Studio, tiny_model: Path, tmp_path: Path
):
    recipe = short_recipe(tiny_model, tmp_path)
    studio.queue.add(recipe.with_values({"data.source": str(tmp_path / "gone.jsonl")}), "broken")
    studio.queue.add(recipe, "whole")
    studio.queue_runner.run()
    studio.queue_runner.wait(PATIENCE_SECONDS)
    now = queue_panel.look(studio)
    assert [(one.name, one.state) for one in now.ended] == [("whole", "done"),
                                                           ("broken", "failed")]
    assert now.waiting == () and not now.is_running
    page = queue_view.ended_view(now.ended, now.notes)
    assert "gone.jsonl" in page and "Done" in page
    told = notify.ended(studio)
    assert [one["name"] for one in told] == ["whole", "broken"]
    assert told[0]["title"] == "whole: done" and "3 of 3 steps, loss" in told[0]["text"]
    assert "gone.jsonl" in told[1]["text"]
    # What is shown without a choice is the run that was at work last.
    assert studio.run_to_show("").name == "whole"


def test_a_grid_names_its_runs_while_it_is_written(studio: Studio):
    form = form_from_recipe(starter_recipe())
    page, button = grid_box.preview(studio, "", LINES, form)
    assert "4 runs" in page and "rank-16-lr-0.0002" in page
    assert button.interactive and button.value == "Add all 4 to the queue"
    page, button = grid_box.preview(studio, "orders", "adapter.rank: 8", form)
    assert "One run" in page and "orders-rank-8" in page
    assert grid_box.preview(studio, "", "  ", form)[0] == ""


def test_a_mistake_in_a_grid_is_a_sentence_and_nothing_can_be_queued(studio: Studio):
    form = form_from_recipe(starter_recipe())
    page, button = grid_box.preview(studio, "", "adapter.rnk: 8", form)
    assert "adapter.rank" in page and not button.interactive
    page, button = grid_box.preview(studio, "", "adapter.rank: <8>", form)
    assert "<8>" not in page and not button.interactive


def test_a_name_that_is_taken_is_told_before_anything_is_queued(studio: Studio):
    create_run(studio.settings, starter_recipe(), "rank-8-lr-0.0001")
    page, button = grid_box.preview(studio, "", LINES, form_from_recipe(starter_recipe()))
    assert "already a run named rank-8-lr-0.0001" in page and not button.interactive


def test_a_setting_is_added_to_the_grid_with_its_present_value():
    form = form_from_recipe(starter_recipe())
    assert grid_box.with_line("", "adapter.rank", form) == "adapter.rank: 16"
    assert grid_box.with_line("a: 1\n", "adapter.rank", form) == "a: 1\nadapter.rank: 16"
    keys = [key for _, key in grid_box.choices()]
    assert len(keys) == len(set(keys)) and set(grid_box.PICKED) <= set(keys)


def test_only_runs_that_ended_are_told_the_latest_first(studio: Studio):
    for name in ("first", "second", "at-work"):
        run = create_run(studio.settings, starter_recipe(), name)
        run.append("state", state="training")
        if name != "at-work":
            run.append("state", state="done")
    create_run(studio.settings, starter_recipe(), "waits")
    with run.owned():
        assert [one["name"] for one in notify.ended(studio)] == ["second", "first"]
    # Its owner is gone: it reads as interrupted, and that is an end too.
    assert notify.ended(studio)[0]["title"] == "at-work: interrupted"


def test_the_address_of_the_note_answers_this_pc_only(studio: Studio):
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=ALLOWED_HOSTS)
    server = Starlette(routes=notify.routes(studio), middleware=[guard])
    here = TestClient(server, base_url="http://127.0.0.1:7860")
    assert here.get(notify.PATH).json() == {"ended": []}
    assert here.get(notify.PATH, headers={"Host": "evil.example"}).status_code == 400
