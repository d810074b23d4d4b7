"""The Export tab: what lies there, what it shows, and real exports in the background."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from studio.errors import BusyError, ExportError
from studio.export.chain import Made
from studio.export.door import GROUPS
from studio.export.doors import ADAPTER, DOORS
from studio.export.ollama import default_modelfile
from studio.export.output import Written
from studio.export.verify import Verification
from studio.export.verify.report import write_report
from studio.export.verify.verification import AnswerPair, Check, TokenMeasures
from studio.presets import starter_recipe
from studio.progress import Step
from studio.runs import create_run
from studio.settings import Settings
from studio.ui.export_desk import Exporting
from studio.ui.panels import export, export_page, export_shelf, export_view
from studio.ui.panels.export_results import delete_result, find_results
from studio.ui.panels.export_results_view import results_view
from studio.ui.panels.export_sources import origin_of, sources_now
from studio.ui.panels.export_verdict_view import verdict_pill, verification_view
from studio.ui.seen import NEVER
from studio.ui.shared import Shared
from studio.ui.studio import Studio
from studio.ui.tasks import TaskView
from tests.browser.chat_runs import home_with_runs

PATIENCE_SECONDS = 240
SAME = Verification(
    "orders-q8_0.gguf", "GGUF", "orders", "tiny", "llama.cpp", "6 prompts of the data.", "same",
    "It answers as the live model.", TokenMeasures(192, 0.984, 0.0042, 0.3, 3.2, 3.21),
    (AnswerPair("Two <pizzas>", '{"quantity": 2}', '{"quantity": 3}', 0.8, True, True),),
    (Check("template", True, "Both make the same tokens."),))
BROKEN = Verification(
    "orders-q2_k.gguf", "GGUF", "orders", "tiny", "llama.cpp", "", "poor",
    "It answers much worse.", None, (), (), ("Rounding cost too much.",))


@pytest.fixture
def studio(settings: Settings) -> Studio:
    return Studio(settings)


@pytest.fixture
def trained(tmp_path: Path, tiny_model: Path) -> Studio:
    """A studio with two runs, the newest with a checkpoint."""
    home_with_runs(tmp_path / "home", tiny_model, ["older", "orders"], {"orders": [2]})
    return Studio(Settings(home=tmp_path / "home", offline=True))


def values(source: str | None, *ticked: str, **others: Any) -> dict[str, Any]:
    """What the page sends."""
    groups = {group: [key for key in ticked if DOORS[key].group == group] for group in GROUPS}
    return {"source": source, "name": "", "dequantized": False, "own_data": False, "tuned": False,
            "check": False, "replace": False,
            **groups, **others}


def sent(updates: list[Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: part for name, part in zip(names, updates, strict=False) if part != gr.skip()}


def gguf_in(exports: Path, name: str, found: Verification | None = None) -> Path:
    """A file that looks like an export with its report, and what a check found."""
    exports.mkdir(parents=True, exist_ok=True)
    file = exports / f"{name}.gguf"
    file.write_bytes(b"12345")
    file.with_name(f"{file.name}.json").write_text(json.dumps(
        {"kind": "GGUF", "notes": ["Made of <orders>."]}), encoding="utf-8")
    default_modelfile(file).write_text("FROM ./orders.gguf", encoding="utf-8")
    if found is not None:
        write_report(file, found)
    return file


def test_complete_exports_are_found_and_half_written_ones_are_not(tmp_path: Path) -> None:
    for name in ("merged", ".partial-other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}", encoding="utf-8")
        (tmp_path / name / "model.safetensors").write_bytes(b"1234")
    gguf_in(tmp_path, "orders-q8_0", SAME)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    found = {one.name: one for one in find_results(tmp_path)}
    assert {name: (one.kind, one.size_bytes) for name, one in found.items()} == {
        "merged": ("model folder", 6), "orders-q8_0.gguf": ("GGUF", 5)}
    assert found["orders-q8_0.gguf"].verification == SAME
    assert find_results(tmp_path / "missing") == []


def test_an_export_that_is_checked_later_is_read_anew(tmp_path: Path) -> None:
    file = gguf_in(tmp_path, "orders")
    (before,) = find_results(tmp_path)
    write_report(file, BROKEN)
    (after,) = find_results(tmp_path)
    assert before.verification is None and after.verification == BROKEN
    assert before.stamp != after.stamp


def test_deleting_takes_the_file_and_what_is_told_of_it_and_nothing_else(tmp_path: Path) -> None:
    gguf_in(tmp_path, "orders", SAME)
    kept = gguf_in(tmp_path, "orders-2")
    delete_result(tmp_path, "orders.gguf")
    assert {path.name for path in tmp_path.iterdir()} == {
        kept.name, f"{kept.name}.json", "orders-2.Modelfile"}
    with pytest.raises(ExportError, match="no export named"):
        delete_result(tmp_path, "../orders-2.gguf")


def test_every_verdict_has_its_words_and_colour_and_a_report_to_read() -> None:
    assert "pill-done" in verdict_pill(SAME) and "98.4 % of next tokens" in verdict_pill(SAME)
    assert "pill-failed" in verdict_pill(BROKEN) and verdict_pill(None) == ""
    page = verification_view(SAME)
    assert "Two &lt;pizzas&gt;" in page and "80% of the tokens agree" in page
    assert "0.0042" in page and "Both make the same tokens" in page and "note-good" in page
    assert "Rounding cost too much" in verification_view(BROKEN)


def test_results_show_place_report_and_next_steps_as_text(tmp_path: Path) -> None:
    gguf_in(tmp_path, "orders", SAME)
    page = results_view(find_results(tmp_path))
    assert "5 B" in page and "Made of &lt;orders&gt;." in page and "<orders>" not in page
    assert "llama-server" in page and "ollama" in page and "lms import" in page
    assert "How it answers" in page and 'data-what="delete"' in page and "href" not in page
    assert "in Ollama now" not in page
    assert 'data-what="ollama"' in results_view(find_results(tmp_path), has_ollama=True)


def test_each_format_says_how_it_ended_while_others_wait() -> None:
    task = TaskView("running", "Exporting orders", Step("2 of 3, GGUF q8_0: Writing", 1, 2, "B"))
    written = Written(Path("/exports/orders-merged"), 5_000_000, 3.0, ("In <4bit>.",))
    made = (Made(ADAPTER, written.path, written, SAME),
            Made(ADAPTER, written.path, problem=("No <room>.", "Free some.")))
    page = export_view.exporting_view(Exporting(task, ("A", "B", "C", "D"), made))
    assert "5.0 MB in 3 s" in page and "In &lt;4bit&gt;." in page and "98.4 %" in page
    assert "No &lt;room&gt;." in page and "Free some." in page
    assert page.count("at work") == 1 and page.count("waits") == 1
    done = export_view.exporting_view(Exporting(TaskView("done", "Exporting orders"), (), made))
    assert "done in" in done and "waits" not in done
    assert "Nothing half-written" in export_view.exporting_view(
        Exporting(TaskView("stopped", "Exporting orders")))
    assert export_view.exporting_view(Exporting(TaskView())) == ""


def test_runs_checkpoints_and_typed_folders_can_be_chosen(trained: Studio) -> None:
    listed = [one.value for one in sources_now(trained)]
    assert listed == ["orders", "orders/checkpoint-2", "older"]
    assert origin_of(trained, "orders/checkpoint-2").path.name == "checkpoint-2"
    folder = sources_now(trained)[0].path
    assert origin_of(trained, str(folder)).path == folder
    with pytest.raises(ExportError, match="neither a run nor an adapter"):
        origin_of(trained, "../../etc")
    with pytest.raises(ExportError, match="Nothing is chosen"):
        origin_of(trained, None)


def test_no_checkpoint_is_chosen_by_itself_while_its_run_goes_on(trained: Studio) -> None:
    shutil.rmtree(trained.shelf.get("orders").path / "adapter")
    assert sources_now(trained)[0].value == "orders/checkpoint-2"
    first = sent(export_page.page(trained, None, NEVER), export_page.WORK_PARTS)
    assert first["source"].value == "older"


def test_what_is_chosen_tells_sizes_and_what_is_closed(trained: Studio) -> None:
    first = sent(export_page.page(trained, None, NEVER), export_page.WORK_PARTS)
    assert first["source"].value == "orders"
    shown = sent(export_page.choice_view(trained, values("orders", "merged", "gguf:q8_0")),
                 export_page.CHOICE_PARTS)
    assert "LoRA of rank 4 on tiny-llama" in shown["about"]
    labels = {key: label for label, key in shown["gguf"].choices}
    assert labels["gguf:q8_0"].startswith("GGUF q8_0\nAbout ")
    assert not shown["dequantized"].visible
    assert "note-warning" in export_page.choice_view(trained, values("nowhere"))[0]


def test_the_plan_follows_the_ticks_and_asks_before_it_replaces(trained: Studio) -> None:
    nothing, replace = export_page.plan_views(trained, values("orders"))
    assert "No format is chosen" in nothing and not replace.visible
    plan, replace = export_page.plan_views(trained, values("orders", "gguf:q8_0", "adapter"))
    assert "orders-q8_0.gguf" in plan and "orders-adapter" in plan and "deleted at the end" in plan
    assert "of disk at the peak" in plan and not replace.visible
    gguf_in(trained.settings.exports, "mine-q8_0")
    again = values("orders", "gguf:q8_0", name="mine")
    plan, replace = export_page.plan_views(trained, again)
    assert "replaces the one that is there" in plan and replace.visible
    assert replace.label == "Replace the 1 export that is there"
    with pytest.raises(ExportError, match="already: mine-q8_0"):
        export_page.start(trained, again)
    assert trained.tasks.snapshot().state == "idle"


def test_an_export_runs_on_without_its_page_and_every_page_sees_it(trained: Studio) -> None:
    before = export_page.page(trained, "orders", NEVER)
    assert not sent(export_page.page(trained, "orders", before[-1]), export_page.WORK_PARTS)
    shelf = export_shelf.rows_update(trained, NEVER)
    chosen = values("orders", "merged", "adapter", name="my model", check=True)
    page = threading.Thread(target=export_page.start, args=(trained, chosen))
    page.start()
    page.join()
    done = trained.exports.wait(PATIENCE_SECONDS)
    assert done.task.state == "done", done.task.error
    assert [one.verification.is_good for one in done.made if one.verification] == [True, True]
    assert (trained.settings.exports / "my-model-merged" / "config.json").is_file()
    after = sent(export_page.page(trained, "orders", before[-1]), export_page.WORK_PARTS)
    assert "answers the same" in after["work"]
    rows = export_shelf.rows_update(trained, shelf[-1])[0]
    assert "my-model-merged" in rows and "How it answers" in rows and "merged model" in rows

    name, _, question = export_shelf.ask_to_delete(trained, "my-model-adapter")
    assert name in question
    export_shelf.delete_export(trained, name)
    assert [one.name for one in find_results(trained.settings.exports)] == ["my-model-merged"]


def test_nothing_is_deleted_while_an_export_is_at_work(studio: Studio) -> None:
    gguf_in(studio.settings.exports, "orders")
    go_on = threading.Event()
    studio.tasks.start("Exporting orders", lambda progress, stop: go_on.wait(PATIENCE_SECONDS))
    try:
        with pytest.raises(BusyError, match="may be reading"):
            export_shelf.delete_export(studio, "orders.gguf")
    finally:
        go_on.set()
        studio.tasks.wait(PATIENCE_SECONDS)


def test_a_run_without_an_adapter_is_a_sentence(studio: Studio) -> None:
    run = create_run(studio.settings, starter_recipe(), "orders")
    with pytest.raises(ExportError, match="no finished adapter"):
        export_page.start(studio, values(str(run.path), "merged"))


def test_the_panel_builds_with_private_events(studio: Studio) -> None:
    with gr.Blocks() as demo:
        shared = Shared(demo, gr.Tabs())
        export.build(studio, shared)
        shared.complete()
    assert {event["api_visibility"] for event in demo.config["dependencies"]} == {"private"}
    ids = {part["props"].get("elem_id") for part in demo.config["components"]}
    assert {"export-source", "export-name", "export-start", "export-stop", "export-results",
            *(f"export-{group}" for group in GROUPS)} <= ids
