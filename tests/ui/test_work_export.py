"""The Export tab: what lies there, what it shows, and a real merge in the background."""

from __future__ import annotations

import threading
from pathlib import Path

import gradio as gr
import pytest

from studio.errors import ExportError, RunError
from studio.presets import starter_recipe
from studio.progress import Step
from studio.runs import create_run
from studio.settings import Settings
from studio.ui.panels import export, export_view
from studio.ui.panels.export_results import Result, find_results
from studio.ui.panels.export_view import Outcome
from studio.ui.shared import Shared
from studio.ui.studio import Studio
from studio.ui.tasks import TaskView
from tests.ui.work import short_recipe

PATIENCE_SECONDS = 240


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return Studio(settings)


def sent(page: list) -> dict:
    return {name: part for name, part in zip(("work", *export.PARTS), page, strict=False)
            if part != gr.skip()}


def test_complete_exports_are_found_and_half_written_ones_are_not(tmp_path: Path):
    for name in ("merged", ".partial-other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}", encoding="utf-8")
        (tmp_path / name / "model.safetensors").write_bytes(b"1234")
    (tmp_path / "merged-q8_0.gguf").write_bytes(b"12345")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    found = {one.name: (one.kind, one.size_bytes) for one in find_results(tmp_path)}
    assert found == {"merged": ("model folder", 6), "merged-q8_0.gguf": ("GGUF", 5)}
    assert find_results(tmp_path / "missing") == []


def test_progress_shows_what_is_done_of_how_much():
    task = TaskView("running", "Merging orders", Step("Writing", 50e6, 200e6, "bytes"))
    page = export_view.task_view(task)
    assert "Merging orders" in page and "50.0 MB of 200.0 MB" in page
    assert 'aria-valuenow="25"' in page


def test_how_work_ended_is_said_in_words():
    done = export_view.task_view(TaskView("done", "Merging orders", result=Outcome(
        Path("/exports/orders"), ("The base was held in 4bit.",))))
    assert str(Path("/exports/orders")) in done and "4bit" in done
    failed = export_view.task_view(TaskView("failed", "Merging orders",
                                            error=("No <room>.", "Free some.")))
    assert "No &lt;room&gt;." in failed and "Free some." in failed
    assert "Nothing half-written" in export_view.task_view(TaskView("stopped", "Merging orders"))
    assert export_view.task_view(TaskView()) == ""


def test_results_show_place_and_next_steps_as_text():
    path = Path("/exports/<my> orders-q8_0.gguf")
    page = export_view.results_view([Result("GGUF", path.name, path, 5_000_000, 0.0)])
    assert "<my>" not in page and "5.0 MB" in page
    assert "llama-server" in page and "ollama create" in page and "lms import" in page
    assert "href" not in page


def test_nothing_chosen_is_a_sentence(studio: Studio):
    with pytest.raises(ExportError, match="No run is chosen"):
        export.start_merge(studio, None, "")
    with pytest.raises(ExportError, match="No merged model"):
        export.start_gguf(studio, "../../etc", "q8_0")
    with pytest.raises(RunError):
        export.start_merge(studio, "../../etc", "")


def test_a_taken_name_is_refused_before_anything_starts(studio: Studio):
    create_run(studio.settings, starter_recipe(), "orders")
    (studio.settings.exports / "mine").mkdir(parents=True)
    with pytest.raises(ExportError, match="already an export named mine"):
        export.start_merge(studio, "orders", "mine")
    assert studio.tasks.snapshot().state == "idle"


def test_a_merge_runs_on_without_its_page_and_every_page_sees_it(
    studio: Studio, tiny_model: Path, tmp_path: Path
):
    studio.jobs.start(short_recipe(tiny_model, tmp_path), "orders")
    studio.jobs.wait(PATIENCE_SECONDS)
    before = export.page(export.look(studio, None), {})
    assert "Merged" not in sent(before)["results"] and sent(before)["run"].value == "orders"
    assert set(sent(export.page(export.look(studio, "orders"), before[-1]))) == set()

    page = threading.Thread(target=export.start_merge, args=(studio, "orders", "my model"))
    page.start()
    page.join()
    done = studio.tasks.wait(PATIENCE_SECONDS)
    assert done.state == "done", done.error
    assert (studio.settings.exports / "my-model" / "config.json").is_file()
    after = sent(export.page(export.look(studio, "orders"), before[-1]))
    assert "my-model" in after["results"] and after["model"].value == "my-model"
    assert "takes about" in export.gguf_room(studio, "my-model", "q8_0")
    assert "takes about" in export.merge_room(studio, "orders")


def test_the_panel_builds_with_private_events(studio: Studio):
    with gr.Blocks() as demo:
        shared = Shared(demo, gr.Tabs())
        export.build(studio, shared)
        shared.complete()
    assert {event["api_visibility"] for event in demo.config["dependencies"]} == {"private"}
    ids = {part["props"].get("elem_id") for part in demo.config["components"]}
    assert {"export-run", "export-name", "export-merge", "export-model", "export-outtype",
            "export-gguf", "export-stop", "export-results"} <= ids
