"""Every verb reports what the engine found, and a mistake is a sentence and an exit code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from studio.settings import Settings


@pytest.fixture
def recipe(tmp_path: Path, tiny_model: Path) -> Path:
    """A short real run: the tiny model on twelve rows."""
    rows = [{"prompt": f"How much is {n} and {n}?", "completion": str(2 * n)} for n in range(12)]
    data = tmp_path / "sums.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    file = tmp_path / "recipe.yaml"
    file.write_text(
        f"model: {{source: {json.dumps(str(tiny_model))}}}\n"
        f"data: {{source: {json.dumps(str(data))}, max_length: 64, eval_fraction: 0.1}}\n"
        "adapter: {rank: 4, alpha: 8}\n"
        "training: {max_steps: 3, batch_size: 2, gradient_accumulation: 1, learning_rate: 1e-2}\n",
        encoding="utf-8",
    )
    return file


def test_params_prints_one_json_object_with_pefts_own_count(call: Any, recipe: Path) -> None:
    code, out, _ = call("params", str(recipe), "--json")
    assert code == 0
    found = json.loads(out)
    assert set(found) == {"trainable", "total", "percent", "adapter_bytes"}

    import yaml
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    source = yaml.safe_load(recipe.read_text(encoding="utf-8"))["model"]["source"]
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(source),
                           LoraConfig(r=4, target_modules="all-linear"))
    assert (found["trainable"], found["total"]) == model.get_nb_trainable_parameters()


def test_set_changes_the_recipe_of_one_call(call: Any, recipe: Path) -> None:
    small = json.loads(call("params", str(recipe), "--json")[1])
    large = json.loads(call("params", str(recipe), "--set", "adapter.rank=8", "--json")[1])
    assert large["trainable"] == 2 * small["trainable"]


def test_estimate_names_its_parts(call: Any, recipe: Path) -> None:
    code, out, _ = call("estimate", str(recipe), "--json")
    found = json.loads(out)
    assert code == 0
    assert {"total_bytes", "low_bytes", "high_bytes", "parts", "free_bytes", "fits"} <= set(found)
    assert found["advice"].startswith(found["verdict"])
    assert found["low_bytes"] <= found["total_bytes"] <= found["high_bytes"]
    assert sum(found["parts"].values()) == found["total_bytes"]


def test_doctor_names_this_pc_and_compares_the_disk_space_of_a_recipe(
    call: Any, recipe: Path
) -> None:
    code, out, _ = call("doctor", "--recipe", str(recipe), "--json")
    found = json.loads(out)
    assert code == 0
    assert set(found) == {"hardware", "findings", "disk"}
    assert found["hardware"]["ram_total_bytes"] > 0
    assert all(set(finding) == {"level", "what", "hint"} for finding in found["findings"])
    assert {finding["level"] for finding in found["findings"]} <= {"ok", "warning", "problem"}
    assert [part["name"] for part in found["disk"]["parts"]] == [
        "download", "checkpoints", "adapter", "merged model", "GGUF"]
    assert found["disk"]["total_bytes"] == sum(part["bytes"] for part in found["disk"]["parts"])
    assert any("merged model and GGUF take" in finding["what"] for finding in found["findings"])


def test_inspect_names_the_broken_line(call: Any, tmp_path: Path) -> None:
    file = tmp_path / "broken.jsonl"
    file.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "a", \n'
                    '{"prompt": "c", "completion": "d"}\n', encoding="utf-8")
    code, out, _ = call("inspect", str(file), "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["format"], found["rows"]) == ("prompt_completion", 3)
    assert any("line 2" in str(problem) for problem in found["problems"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["params", "missing.yaml"], "There is no recipe file missing.yaml"),
        (["params", "starter", "--set", "adapter.rnk=8"], "the nearest is adapter.rank"),
        (["params", "starter", "--set", "adapter.rank"], "has no '='"),
        (["params", "starter", "--set", "model.source=./no/such/folder"], "no/such/folder"),
        (["resume", "nothing"], "nothing"),
        (["inspect", "missing.jsonl"], "missing.jsonl"),
        (["chat", "missing-run", "--prompt", "hi"], "missing-run"),
        (["merge", "missing-run"], "missing-run"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_one(
    call: Any, arguments: list[str], sentence: str
) -> None:
    code, out, err = call(*arguments)
    assert code == 1
    assert sentence in err
    assert "Traceback" not in err + out
    assert "What to do" in err


def test_a_mistake_under_json_is_an_object_too(call: Any) -> None:
    code, out, _ = call("inspect", "missing.jsonl", "--json")
    assert code == 1
    assert set(json.loads(out)) == {"error", "hint"}


def test_an_unknown_option_is_exit_code_two(call: Any) -> None:
    assert call("params", "starter", "--nonsense")[0] == 2


def test_train_chat_merge_and_runs_from_the_terminal(
    call: Any, recipe: Path, settings: Settings
) -> None:
    code, out, err = call("train", str(recipe), "--run", "sums", "--json")
    assert code == 0, err
    assert "Fits" in err  # what is free was said before the base was loaded
    result = json.loads(out)
    assert (result["state"], result["step"], result["run"]) == ("done", 3, "sums")
    lines = (settings.runs / "sums" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    logs = [event for event in map(json.loads, lines) if event["type"] == "log"]
    assert [event["step"] for event in logs] == [1, 2, 3]
    assert logs[-1]["loss"] == result["loss"]

    assert call("train", str(recipe), "--run", "sums")[0] == 1
    assert "is finished" in call("resume", "sums")[2]
    listed = json.loads(call("runs", "--json")[1])["runs"]
    assert [(run["name"], run["state"]) for run in listed] == [("sums", "done")]

    code, out, err = call("chat", "sums", "--prompt", "How much is 2 and 2?", "--max-tokens", "4",
                          "--json")
    assert code == 0, err
    assert set(json.loads(out)["answers"]) == {"base", "sums"}

    code, out, err = call("merge", "sums", "--json")
    assert code == 0, err
    merged = Path(json.loads(out)["folder"])
    assert (merged / "config.json").is_file()
    assert list(merged.glob("*.safetensors"))
    assert not (merged / "adapter_config.json").exists()


def test_the_verbs_answer_help_in_a_program_of_their_own() -> None:
    done = subprocess.run([sys.executable, "-m", "studio.cli", "--help"], capture_output=True,
                          text=True, encoding="utf-8", check=False)
    assert done.returncode == 0
    for verb in ("serve", "doctor", "inspect", "params", "estimate", "train", "resume", "runs",
                 "chat", "merge", "export", "demo"):
        assert verb in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl+C there needs a console of its own")
def test_ctrl_c_stops_the_training_and_keeps_what_it_has(recipe: Path, settings: Settings) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "studio.cli", "train", str(recipe), "--run", "long", "--set",
         "training.max_steps=100000", "--home", str(settings.home)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )
    events = settings.runs / "long" / "events.jsonl"
    try:
        while process.poll() is None:
            if events.is_file() and events.read_text(encoding="utf-8").count('"log"') >= 3:
                break
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "stopped, and kept what it had" in out
    assert (settings.runs / "long" / "adapter" / "adapter_model.safetensors").is_file()
