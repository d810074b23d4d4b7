"""A run's script needs no studio and trains the same: the losses of both, step by step."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.errors import DataError, ExportError, Stopped
from studio.export.clean import holds_text
from studio.export.origin import find_origin
from studio.export.script import script_bytes, write_script
from studio.recipe import Recipe, save_recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.loop import train
from tests.training.conftest import losses_of, tiny_recipe, write_orders

Trained = Callable[..., Run]


@pytest.fixture
def trained(settings: Settings, tiny_model: Path, tmp_path: Path) -> Trained:
    """Trains the tiny model for a few steps; keywords are recipe values."""
    def go(data: Path | None = None, **values: Any) -> Run:
        recipe = tiny_recipe(tiny_model, data or write_orders(tmp_path / "orders.jsonl"),
                             **{"training__max_steps": 6, **values})
        run = create_run(settings, recipe, "orders")
        assert train(recipe, run, lambda: False, settings=settings) == "done"
        return run
    return go


def _script_losses(
    folder: Path, base: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[int, float]:
    """Run the script in this process, which has its libraries loaded."""
    import transformers

    monkeypatch.setattr(sys, "argv", ["train.py", "--base", str(base), "--output", str(output)])
    before = transformers.logging.get_verbosity()
    try:
        runpy.run_path(str(folder / "train.py"), run_name="__main__")
    finally:
        transformers.logging.set_verbosity(before)
    return _logged(output)


def _logged(output: Path) -> dict[int, float]:
    state = json.loads((output / "checkpoints" / "trainer_state.json").read_text("utf-8"))
    return {entry["step"]: entry["loss"] for entry in state["log_history"] if "loss" in entry}


def _lint(script: Path) -> str:
    ruff = Path(sys.executable).with_name("ruff")
    done = subprocess.run([ruff, "check", "--isolated", "--select", "E,F", "--line-length", "100",
                           script], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout


PREFERENCES = [{"prompt": f"{number} of what?", "chosen": f"pizza {number}", "rejected": "No."}
               for number in range(12)]


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("values", [
    {"training__gradient_accumulation": 2, "data__eval_fraction": 0.2, "training__eval_steps": 3,
     "training__warmup_ratio": 0.2, "adapter__use_rslora": True},
    {"data__packing": True, "data__max_length": 64, "training__batch_size": 2,
     "adapter__lora_plus_ratio": 4.0, "adapter__use_dora": True},
    {"adapter__method": "none", "training__learning_rate": 1e-3, "data__loss_on": "all",
     "speed__group_by_length": True, "speed__join_rows": False},
    {"training__method": "dpo", "training__learning_rate": 1e-2},
    pytest.param({"training__method": "orpo", "training__learning_rate": 1e-2},
                 marks=pytest.mark.slow),
    pytest.param({"training__method": "kto", "training__learning_rate": 1e-2},
                 marks=pytest.mark.slow),
], ids=["sft", "packed", "all weights, grouped", "dpo", "orpo", "kto"])
def test_the_script_has_the_losses_of_the_run(
    trained: Trained, tiny_model: Path, settings: Settings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    pairs = values.get("training__method") in ("dpo", "orpo", "kto")
    run = trained(_write(tmp_path / "p.jsonl", PREFERENCES) if pairs else None, **values)
    made = write_script(find_origin(run.path), settings.exports / "script", settings)
    script = (made.path / "train.py").read_text(encoding="utf-8")
    assert "studio" not in script.partition('"""\n')[2].replace("studio's", "")
    assert _lint(made.path / "train.py") == ""
    found = _script_losses(made.path, tiny_model, tmp_path / "out", monkeypatch)
    assert found == pytest.approx(losses_of(run), rel=2e-4)
    assert (tmp_path / "out" / "result" / "tokenizer_config.json").is_file()


STRANGE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}"
    "{% if loop.last and message['role'] == 'assistant' %}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: <think>\n{% endif %}"
)
"""Opens a block of thoughts for an answer, which taught answers do not have."""


@pytest.mark.parametrize("init", ["pissa", pytest.param("olora", marks=pytest.mark.slow)])
def test_a_start_that_was_taken_out_of_the_base_is_the_same_and_so_is_the_result(
    trained: Trained, tiny_model: Path, settings: Settings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, init: str
) -> None:
    import torch
    from safetensors.torch import load_file

    run = trained(adapter__init=init, training__learning_rate=1e-3, training__max_steps=3)
    made = write_script(find_origin(run.path), settings.exports / "script", settings)
    assert _lint(made.path / "train.py") == ""
    found = _script_losses(made.path, tiny_model, tmp_path / "out", monkeypatch)
    assert found == pytest.approx(losses_of(run), rel=2e-4)
    ours, theirs = (load_file(folder / "adapter_model.safetensors")
                    for folder in (tmp_path / "out" / "result", run.adapter_path))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-2, atol=1e-4)
    configs = [json.loads((folder / "adapter_config.json").read_text("utf-8"))
               for folder in (tmp_path / "out" / "result", run.adapter_path)]
    assert all(configs[0][key] == configs[1][key] for key in ("r", "lora_alpha"))


@pytest.mark.parametrize("method", [
    "grpo", pytest.param("rloo", marks=pytest.mark.slow)])
def test_a_script_that_learns_from_its_own_answers_has_the_same_prompts_and_rewards(
    trained: Trained, tiny_model: Path, settings: Settings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    own = tmp_path / "mine.py"
    own.write_text("def small(answer, expected, prompt):\n"
                   "    return sum(c.islower() for c in answer) / max(1, len(answer))\n", "utf-8")
    rewards = {f"python={own}:small": 1.0, "similarity": 0.5, "json_equal": 0.1, "length=4": 0.2,
               "contains=pizza": 0.1, "regex=[0-9]+": 0.1}
    run = trained(training__method=method, training__max_steps=2, training__batch_size=8,
                  reinforcement__generations=4, reinforcement__answer_tokens=6,
                  reinforcement__rewards=rewards, data__eval_fraction=0.2)
    made = write_script(find_origin(run.path), settings.exports / "script", settings)
    assert _lint(made.path / "train.py") == ""
    assert not any("tokens instead" in note for note in made.notes)
    monkeypatch.syspath_prepend(str(made.path))
    losses = _script_losses(made.path, tiny_model, tmp_path / "out", monkeypatch)
    state = json.loads((tmp_path / "out/checkpoints/trainer_state.json").read_text("utf-8"))
    assert set(losses) == {1, 2}
    logged = [entry for entry in state["log_history"] if "reward" in entry]
    assert all(0 < entry["reward"] < 2 for entry in logged) and len(logged) == 2
    names = ["small", *list(rewards)[1:]]
    assert all(f"rewards/{name}/mean" in logged[0] for name in names), logged[0]
    assert holds_text(made.path, str(tmp_path)) == []


def test_where_a_template_is_strange_the_data_are_tokens_and_the_losses_the_same(
    trained: Trained, tiny_model: Path, settings: Settings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(data__template="custom", data__custom_template=STRANGE, training__max_steps=3)
    made = write_script(find_origin(run.path), settings.exports / "script", settings)
    assert any("tokens" in note for note in made.notes)
    first = json.loads((made.path / "data" / "train.jsonl").read_text("utf-8").splitlines()[0])
    assert set(first) == {"input_ids", "labels"} and _lint(made.path / "train.py") == ""
    found = _script_losses(made.path, tiny_model, tmp_path / "out", monkeypatch)
    assert found == pytest.approx(losses_of(run), rel=2e-4)


def test_the_folder_has_what_the_script_needs_and_nothing_of_this_pc(
    trained_run: Run, tiny_model: Path, settings: Settings
) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    home = Settings(home=trained_run.path.parents[1], offline=True)
    made = write_script(find_origin(trained_run.path), settings.exports / "script", home)
    assert {str(file.relative_to(made.path)).replace("\\", "/") for file in made.path.rglob("*")
            if file.is_file()} == {
        "train.py", "accelerate.yaml", "chat_template.jinja", "requirements.txt", "export.json",
        "data/train.jsonl", "data/held_out.jsonl"}
    assert len((made.path / "data" / "held_out.jsonl").read_text("utf-8").splitlines()) == 5
    for secret in (tiny_model, home.home, Path.home()):
        assert holds_text(made.path, str(secret)) == []
    config = load_config_from_file(str(made.path / "accelerate.yaml"))
    assert config.num_processes == 1 and config.mixed_precision == "no"
    assert "transformers==" in (made.path / "requirements.txt").read_text(encoding="utf-8")
    assert made.bytes <= 2 * script_bytes(find_origin(trained_run.path))


def test_data_that_changed_are_told_and_data_that_are_gone_are_a_sentence(
    trained_run: Run, settings: Settings, tmp_path: Path
) -> None:
    data = write_orders(tmp_path / "orders.jsonl")
    data.write_text("".join(data.read_text(encoding="utf-8").splitlines(True)[:9]), "utf-8")
    origin = find_origin(_changed(trained_run, settings, **{"data.source": str(data)}))
    made = write_script(origin, settings.exports / "script", settings)
    assert any("not the same" in note for note in made.notes)
    data.unlink()
    with pytest.raises(DataError, match=r"orders\.jsonl"):
        write_script(origin, settings.exports / "other", settings)
    assert not (settings.exports / "other").exists()


def _changed(run: Run, settings: Settings, **values: Any) -> Path:
    """The finished run with another recipe, as far as a script's text is concerned."""
    copy = settings.runs / f"changed-{len(list(settings.runs.glob('*')))}"
    shutil.copytree(run.path, copy)
    save_recipe(run.recipe.with_values(values), copy / "recipe.yaml")
    return copy


@pytest.mark.parametrize(("values", "words"), [
    ({"model.quantization": "4bit"}, ["load_in_4bit=True", "device_map="]),
    ({"training.eval_steps": 2, "training.early_stopping_patience": 3},
     ["EarlyStoppingCallback(", "early_stopping_patience=3"]),
    ({"adapter.method": "prompt_tuning", "adapter.prompt_text": "Orders:"},
     ["PromptTuningConfig(", 'prompt_tuning_init_text="Orders:"']),
    ({"adapter.dropout": 0.1, "adapter.targets": ["q_proj"], "adapter.modules_to_save":
      ["lm_head"]}, ["lora_dropout=0.1", 'target_modules=["q_proj"]', "- Dropout is drawn"]),
    ({"adapter.method": "none", "model.dtype": "bfloat16"},
     ["dtype=torch.bfloat16", "16 bits the rounding is", "trainer.save_model"]),
], ids=["4 bits", "early stopping", "prompt tuning", "dropout", "16 bits"])
def test_the_script_says_what_the_recipe_says(
    trained_run: Run, settings: Settings, values: dict[str, Any], words: list[str]
) -> None:
    folder = _changed(trained_run, settings, **values)
    made = write_script(find_origin(folder), settings.exports / "script", settings)
    text = (made.path / "train.py").read_text(encoding="utf-8")
    for word in words:
        assert word in text, word
    assert _lint(made.path / "train.py") == ""


def test_what_no_script_is_written_for_is_a_sentence(
    trained_run: Run, adapter: Path, settings: Settings
) -> None:
    target = settings.exports / "script"
    for values, words in (({"training.method": "grpo", "reinforcement.rewards":
                            {"model=judge": 1.0}}, "model=judge"),
                          ({"adapter.method": "adalora"}, "AdaLoRA"),
                          ({"adapter.init": "pissa"}, "pissa"),
                          ({"adapter.init": "loftq", "model.quantization": "4bit"}, "loftq")):
        folder = _changed(trained_run, settings, **values)
        with pytest.raises(ExportError, match=words) as caught:
            write_script(find_origin(folder), target, settings)
        assert caught.value.hint
    with pytest.raises(ExportError, match="no run"):
        write_script(find_origin(adapter), target, settings)
    with pytest.raises(Stopped):
        write_script(find_origin(trained_run.path), target,
                     Settings(home=trained_run.path.parents[1], offline=True), stop=lambda: True)
    assert not target.exists()


@pytest.mark.slow
def test_the_starters_script_runs_where_there_is_no_studio(
    starter_home: Path, starter_model: Path, settings: Settings, tmp_path: Path
) -> None:
    shutil.copytree(starter_home / "models", settings.home / "models", symlinks=True)
    recipe = Recipe().with_values({
        "training.max_steps": 3, "training.save_steps": 0, "monitor.forgetting": False,
        "monitor.sample_records": 0, "training.batch_size": 2})
    run = create_run(settings, recipe, "orders")
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    made = write_script(find_origin(run.path), settings.exports / "script", settings)
    start = ("import runpy, sys; sys.modules['studio'] = None; "
             "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')")
    subprocess.run([sys.executable, "-c", start, made.path / "train.py", "--base", starter_model,
                    "--output", tmp_path / "out"], check=True, cwd=tmp_path, timeout=500)
    rounding = 1e-4 if run.story().plan["dtype"] == "float32" else 1e-2  # as the processor likes
    assert _logged(tmp_path / "out") == pytest.approx(losses_of(run), rel=rounding)
