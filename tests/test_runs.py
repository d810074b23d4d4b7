"""The run folder: made, appended to, read back by others, and never left half-read."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from studio.errors import RecipeError, RunError
from studio.recipe import Recipe
from studio.runs import COMPLETE, Run, checkpoint_files, create_run, list_runs, open_run
from studio.settings import Settings


def _strict(line: str) -> object:
    def refuse(word: str) -> object:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(line, parse_constant=refuse)


def test_a_new_run_holds_its_recipe(settings: Settings) -> None:
    recipe = Recipe().with_values({"adapter.rank": 5})
    run = create_run(settings, recipe, "mine")
    assert run.path == settings.runs / "mine"
    assert open_run(settings, "mine").recipe == recipe
    assert not run.has_adapter and run.story().state == "queued"


def test_a_name_becomes_a_file_name_and_cannot_leave_the_home(settings: Settings) -> None:
    assert create_run(settings, Recipe(), "../my first: run").name == "my-first-run"
    create_run(settings, Recipe(), "x")
    for name in ("../x", "..", "", "/etc", "x/../x"):
        with pytest.raises(RunError):
            open_run(settings, name)


def test_runs_without_a_name_get_different_ones(settings: Settings) -> None:
    names = {create_run(settings, Recipe()).name for _ in range(3)}
    assert len(names) == 3 and all(name.startswith("sft-") for name in names)


def test_a_taken_name_is_an_error(settings: Settings) -> None:
    create_run(settings, Recipe(), "mine")
    with pytest.raises(RunError, match="already a run named mine"):
        create_run(settings, Recipe(), "mine")


def test_a_missing_run_names_the_nearest_one(settings: Settings) -> None:
    create_run(settings, Recipe(), "orders")
    with pytest.raises(RunError, match="Did you mean orders"):
        open_run(settings, "order")


def test_runs_are_listed_newest_first_and_a_damaged_one_hides_no_other(
    settings: Settings,
) -> None:
    assert list_runs(settings) == []
    for age, name in enumerate(("new", "middle", "old")):
        run = create_run(settings, Recipe(), name)
        os.utime(run.path / "recipe.yaml", (1e9 - age, 1e9 - age))
    (settings.runs / "middle" / "recipe.yaml").write_text("model: [", encoding="utf-8")
    os.utime(settings.runs / "middle" / "recipe.yaml", (1e9 - 1, 1e9 - 1))
    (settings.runs / "middle" / "events.jsonl").write_bytes(b"\x00\xff\n[1]\n")
    (settings.runs / "not a run").mkdir()
    (settings.runs / "file.txt").write_text("x", encoding="utf-8")
    runs = list_runs(settings)
    assert [run.name for run in runs] == ["new", "middle", "old"]
    assert runs[1].story().state == "queued"
    with pytest.raises(RecipeError):
        _ = runs[1].recipe


def test_events_keep_their_full_precision(settings: Settings) -> None:
    run = create_run(settings, Recipe(), "a")
    run.append("log", step=1, loss=1 / 3)
    assert run.events()[0]["loss"] == 1 / 3 and run.events()[0]["type"] == "log"


def test_a_loss_that_json_cannot_write_stays_strict_json_and_comes_back(
    settings: Settings,
) -> None:
    run = create_run(settings, Recipe(), "a")
    run.append("log", step=1, loss=math.nan, grad_norm=math.inf)
    line = _strict((run.path / "events.jsonl").read_text(encoding="utf-8"))
    assert isinstance(line, dict) and line["loss"] is None
    assert line["not_finite"] == {"loss": "nan", "grad_norm": "inf"}
    [event] = open_run(settings, "a").events()
    assert math.isnan(event["loss"]) and event["grad_norm"] == math.inf


def test_a_torn_last_line_is_left_out_and_the_next_event_is_not_glued_to_it(
    settings: Settings,
) -> None:
    run = create_run(settings, Recipe(), "a")
    run.append("note", text="first")
    with (run.path / "events.jsonl").open("ab") as file:
        file.write(b'{"type": "log", "st')
    assert [event["type"] for event in run.events()] == ["note"]
    open_run(settings, "a").append("note", text="second")
    assert [event["text"] for event in run.events()] == ["first", "second"]


def test_only_new_lines_are_read_and_a_reader_follows_a_writer(settings: Settings) -> None:
    writer, reader = create_run(settings, Recipe(), "a"), open_run(settings, "a")
    for number in range(5):
        writer.append("note", text=str(number))
        assert len(reader.events()) == number + 1
    assert reader.story() is reader.story()


def test_many_threads_append_whole_lines(settings: Settings) -> None:
    run = create_run(settings, Recipe(), "a")

    def write(who: int) -> None:
        for number in range(50):
            run.append("note", text=f"{who}-{number}" * 20)

    threads = [threading.Thread(target=write, args=(who,)) for who in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (run.path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 300 and all(_strict(line) for line in lines)


def _owner_program(path: Path) -> subprocess.Popen[str]:
    code = ("import sys, time; from pathlib import Path; from studio.runs import Run\n"
            "run = Run(Path(sys.argv[1])); run.lock(); run.append('state', state='training')\n"
            "print('ready', flush=True); time.sleep(60)")
    return subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE,
                            text=True, cwd=Path(__file__).parent.parent)


def test_another_program_s_run_reads_as_training_until_that_program_dies(
    settings: Settings,
) -> None:
    run = create_run(settings, Recipe(), "a")
    with _owner_program(run.path) as program:
        try:
            assert program.stdout is not None and program.stdout.readline().strip() == "ready"
            assert run.story().state == "training"
            with pytest.raises(RunError, match="another program"):
                run.lock()
        finally:
            program.kill()
            program.wait()
    assert run.story().state == "interrupted"
    with run.owned():
        assert run.story().state == "training"
    assert run.story().state == "interrupted"


def test_an_id_that_was_given_to_another_process_is_no_owner(settings: Settings) -> None:
    run = create_run(settings, Recipe(), "a")
    run.append("state", state="training")
    owner = {"pid": os.getpid(), "started": time.time() - 1e6}
    (run.path / "owner.json").write_text(json.dumps(owner), encoding="utf-8")
    assert run.story().state == "interrupted"
    run.lock()
    run.unlock()


def test_two_owners_in_one_program_are_refused(settings: Settings) -> None:
    run = create_run(settings, Recipe(), "a")
    with run.owned(), pytest.raises(RunError):
        open_run(settings, "a").lock()


def _checkpoint(run: Run, step: int, *, complete: bool = True) -> Path:
    path = run.checkpoint_path / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "weights.bin").write_bytes(b"12345")
    if complete:
        mark = {"step": step, "files": checkpoint_files(path)}
        (path / COMPLETE).write_text(json.dumps(mark), encoding="utf-8")
    return path


def test_checkpoints_are_the_complete_ones_oldest_first(settings: Settings) -> None:
    run = create_run(settings, Recipe(), "a")
    assert run.checkpoints() == []
    tenth, second = _checkpoint(run, 10), _checkpoint(run, 2)
    _checkpoint(run, 20, complete=False)
    torn = _checkpoint(run, 30)
    (torn / "weights.bin").write_bytes(b"123")
    (run.checkpoint_path / "notes").mkdir()
    assert run.checkpoints() == [second, tenth]


def test_an_adapter_is_there_once_its_folder_is(settings: Settings) -> None:
    run = create_run(settings, Recipe(), "a")
    run.adapter_path.mkdir()
    assert not run.has_adapter
    (run.adapter_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    (run.adapter_path / "adapter_model.safetensors").write_bytes(b"")
    assert run.has_adapter
