"""Merging whole models on the Export tab: what is offered, told, shown, and refused."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from studio.errors import BusyError, ExportError, SetupError, Stopped
from studio.export.model_merge import Merged, Part, Wish, plan_merge
from studio.export.model_merge.checking import Checked
from studio.export.model_merge.methods import Mix
from studio.export.output import Written
from studio.settings import Settings
from studio.ui.panels import chat_lineup_page as lineup_page
from studio.ui.panels import export_shelf, merge_models
from studio.ui.panels import merge_models_page as page
from studio.ui.panels import merge_models_view as view
from studio.ui.panels.export_results import whole_models
from studio.ui.shared import Shared
from studio.ui.studio import Studio
from studio.ui.tasks import TaskView
from tests.browser.chat_runs import home_with_runs
from tests.tiny import make_tiny_model


@pytest.fixture(scope="module")
def studio(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    home = tmp_path_factory.mktemp("merging") / "home"
    settings = Settings(home=home, offline=True)
    home_with_runs(home, tiny_model, ["orders"])
    for seed, name in enumerate(("sweet", "<sour>")):
        make_tiny_model(settings.exports / name, seed=seed + 1)
    studio = Studio(settings)
    yield studio
    studio.close()


@pytest.fixture(autouse=True)
def without_mergekit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mergekit", None)


def values(*models: str, **more: Any) -> dict[str, Any]:
    """What the components send."""
    return {"models": list(models), "weights": {"rows": [], "chosen": {}},
            "densities": {"rows": [], "chosen": {}}, "method": "linear", "base": None, "t": 0.5,
            "seed": 0, "dtype": "", "tokens": "base", "name": "", "check": True, "replace": False,
            **more}


def folders(studio: Studio) -> list[str]:
    return sorted(str(path) for path in studio.settings.exports.iterdir())


def test_exports_bases_and_the_starter_are_offered_and_rounded_exports_are_not(
    studio: Studio, tiny_model: Path, tmp_path: Path
) -> None:
    listed = {value for _, value in page.offered(studio)}
    assert {*folders(studio), str(tiny_model), "starter"} <= listed
    for name, kind in (("a", "merged model"), ("b", "merge of models"), ("c", "GPTQ model")):
        shutil.copytree(tiny_model, tmp_path / name)
        (tmp_path / name / "export.json").write_text(f'{{"kind": "{kind}"}}', encoding="utf-8")
    assert sorted(label for label, _ in whole_models(tmp_path)) == ["a (export)", "b (export)"]


def test_exported_models_stand_among_the_bases_of_the_chat(studio: Studio) -> None:
    shown = lineup_page.page(studio, {"base": "", "runs": []}, {})
    assert {*folders(studio)} <= {value for _, value in shown[0].choices}


def test_what_would_come_out_is_told_with_its_yaml_before_anything_is_done(
    studio: Studio
) -> None:
    sour, sweet = folders(studio)
    weights = {"chosen": {sweet: 0.75}}
    plan, yaml, replace = page.plan_views(studio, values(sweet, sour, weights=weights))
    assert "0.75 sweet + 0.5 &lt;sour&gt; by linear" in plan and "becomes <b>merged-models" in plan
    assert "merge_method: linear" in yaml and "weight: 0.75" in yaml and "Copy" in yaml
    assert "<sour>" not in plan + yaml and not replace.visible
    assert 'pip install &quot;mergekit' in plan, "where it is missing the command is told"
    plan, yaml, _ = page.plan_views(studio, values())
    assert "Choose two models" in plan and yaml == ""
    taken = page.plan_views(studio, values(sweet, sour, name="sweet"))
    assert "an export named sweet already" in taken[0] and taken[2].visible


def test_what_cannot_be_merged_is_a_sentence_and_no_yaml(
    studio: Studio, tiny_model: Path
) -> None:
    sour, sweet = folders(studio)
    for wrong, sentence in (
        (values(sweet), "two models or more"), (values(sweet, "orders"), "is an adapter"),
        (values(sweet, sour, method="ties"), "no base is chosen"),
        (values(sweet, sour, str(tiny_model), method="slerp"), "exactly two"),
        (values(*map(str, range(9))), "at most 8")):
        plan, yaml, _ = page.plan_views(studio, wrong)
        assert sentence in plan and "note-warning" in plan and yaml == ""


@pytest.mark.parametrize(("method", "shown", "rows"), [
    ("linear", set(), (2, 0)), ("slerp", {"t"}, (0, 0)), ("ties", {"base"}, (2, 2)),
    ("dare_linear", {"base", "seed"}, (2, 2))])
def test_only_what_the_method_uses_is_shown_and_counts(
    studio: Studio, method: str, shown: set[str], rows: tuple[int, int]
) -> None:
    sour, sweet = folders(studio)
    updates = dict(zip(page.METHOD_PARTS, page.method_updates(method), strict=True))
    assert {name for name in ("base", "t", "seed") if updates[name].visible} == shown
    assert "Good for" in updates["about"]
    drawn = page.number_values(studio, [sweet, sour], method)
    assert tuple(len(one["rows"]) for one in drawn) == rows
    wish = page.wish_of(values(sweet, sour, method=method, base="starter", t=0.25, seed=7,
                               densities={"chosen": {sweet: 0.2}}))
    assert (wish.mix.base != "", wish.mix.t == 0.25, wish.mix.seed == 7) == (
        "base" in shown, "t" in shown, "seed" in shown)
    assert wish.parts[0].density == (0.2 if rows[1] else None)
    assert wish.parts[0].weight == (0.5 if rows[0] else 1.0)


def test_a_press_without_mergekit_or_on_a_taken_name_starts_nothing(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    sour, sweet = folders(studio)
    with pytest.raises(SetupError, match="not installed"):
        page.start(studio, values(sweet, sour))
    monkeypatch.setattr("studio.export.model_merge.require_mergekit", lambda: None)
    with pytest.raises(ExportError, match="exists already"):
        page.start(studio, values(sweet, sour, name="sweet"))
    with pytest.raises(ExportError, match="nothing that the studio exported"):
        page.start(studio, values(sweet, sour, name="sweet", replace=True))
    assert studio.merging.snapshot().state == "idle"


def test_how_it_ended_is_told_with_its_answers_as_text(studio: Studio) -> None:
    sour, sweet = folders(studio)
    plan = plan_merge(Wish([Part(sweet), Part(sour)], Mix()), studio.settings)
    checked = Checked((("Capital?", "<b>Paris</b>"), ("Sea?", "")), 6, (), True)
    made = Merged(plan, Written(plan.output, 5, 1.0, ("To <know>.",)), checked)
    shown = view.task_view(TaskView("done", "Merging both", result=made))
    assert "merged-models is made" in shown and "&lt;b&gt;Paris" in shown
    assert "empty answer" in shown
    assert "6 tensors were worked out again" in shown and "To &lt;know&gt;." in shown
    wrong = Checked((), 6, ("model.norm.weight",), True)
    assert "1 of 6 tensors" in wrong.warning and "model.norm.weight" in wrong.warning
    assert "NaN" in Checked((), 0, (), False).warning
    failed = Merged(plan, made.written, problem=("Memory <ran> out.", "Close."))
    assert "Memory &lt;ran&gt; out." in view.task_view(TaskView("done", "x", result=failed))


def test_nothing_is_deleted_while_a_merge_may_be_reading_it(studio: Studio) -> None:
    def work(progress: Any, stop: Any) -> None:
        while not stop():
            time.sleep(0.05)
        raise Stopped("The export was stopped.")

    studio.merging.start("Merging both", work)
    try:
        with pytest.raises(BusyError, match="may be reading"):
            export_shelf.delete_export(studio, "sweet")
    finally:
        studio.merging.stop()
        studio.merging.wait(60)
    seen = page.page(studio, {})[-1]
    assert page.page(studio, seen) == [gr.skip()] * (len(page.PARTS) + 1)


def test_the_fold_builds_with_private_events(studio: Studio) -> None:
    with gr.Blocks() as demo:
        shared = Shared(demo, gr.Tabs())
        merge_models.build(studio, shared)
        shared.complete()
    assert {event["api_visibility"] for event in demo.config["dependencies"]} == {"private"}
