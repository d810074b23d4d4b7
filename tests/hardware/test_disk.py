"""Disk space of a recipe: its parts, its drives, and real checkpoints to compare with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from studio.adapters.count import checkpoint_adapter_bytes
from studio.hardware import disk
from studio.hardware.disk import DiskNeeds, disk_needs
from studio.models.shape import model_shape
from studio.recipe import Recipe
from studio.runs import create_run
from studio.settings import Settings
from studio.training.loop import train
from studio.training.start_values import START_FILE
from tests.hardware.shapes import shape_of
from tests.ui.work import short_recipe

GB = 10**9


def needs(settings: Settings, is_here: bool = False, **values: Any) -> DiskNeeds:
    shape = replace(shape_of("meta-llama/Meta-Llama-3-8B"), dtype_name="bfloat16")
    recipe = Recipe().with_values({"model.source": "meta-llama/Meta-Llama-3-8B", **values})
    return disk_needs(recipe, shape, settings, is_here=is_here)


def sizes(found: DiskNeeds) -> dict[str, int]:
    return {part.name: part.bytes for part in found.parts}


def test_an_8b_model_from_download_to_gguf(settings: Settings) -> None:
    found = needs(settings)
    got = sizes(found)
    parameters = 8_030_261_248
    assert got["download"] == 2 * parameters
    # tokeniser and vocabulary lie beside the weights
    assert 2 * parameters < got["GGUF"] < 1.002 * 2 * parameters
    assert 2 * parameters < got["merged model"] < 1.002 * 2 * parameters
    # rank 16 on all linear layers: 41,943,040 numbers, float32, with two states each in AdamW
    assert got["adapter"] == pytest.approx(4 * 41_943_040, rel=0.001)
    assert got["checkpoints"] == pytest.approx(3 * 12 * 41_943_040, rel=0.001)
    assert found.total_bytes == sum(got.values())
    assert all(str(figure) in " ".join(part.formula for part in found.parts)
               for figure in ("8.03 billion", "3 at a time", "q8_0 8.5 GB"))


def test_a_model_that_is_here_is_not_fetched_again(settings: Settings) -> None:
    assert sizes(needs(settings, is_here=True))["download"] == 0


@pytest.mark.parametrize(("values", "at_once"), [
    ({"training.save_total_limit": 5}, 6), ({"training.save_steps": 0}, 1),
    ({"training.max_steps": 150, "training.save_total_limit": 5}, 2),
    ({"training.max_steps": 1000, "training.save_total_limit": 1}, 2),
])
def test_checkpoints_are_counted_as_they_lie_there_at_once(
    settings: Settings, values: dict[str, Any], at_once: int
) -> None:
    one = sizes(needs(settings, **{"training.save_steps": 0}))["checkpoints"]
    assert sizes(needs(settings, **values))["checkpoints"] == at_once * one


def test_training_every_weight_takes_far_more(settings: Settings) -> None:
    full = sizes(needs(settings, **{"adapter.method": "none", "training.save_steps": 0}))
    parameters = 8_030_261_248
    assert full["result"] == full["merged model"] == 4 * parameters
    assert full["checkpoints"] == 12 * parameters
    half = sizes(needs(settings, **{"adapter.method": "none", "training.save_steps": 0,
                                    "model.dtype": "bfloat16"}))
    assert half["checkpoints"] == 6 * parameters


def test_parts_are_added_up_drive_by_drive(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Path("/dev/shm")
    if not hub.is_dir() or hub.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this PC has no second drive to look at")
    monkeypatch.setattr(disk, "hub_cache", lambda: hub / "models")
    drives = needs(settings).drives
    assert [drive.names for drive in drives] == [
        ("download",), ("checkpoints", "adapter", "merged model", "GGUF")]
    assert drives[0].needed_bytes == sizes(needs(settings))["download"]
    assert all(drive.folder.exists() and drive.free_bytes > 0 for drive in drives)


def test_everything_on_one_drive_is_one_sum(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "hub_cache", lambda: settings.home / "hub")
    found = needs(settings)
    assert [drive.needed_bytes for drive in found.drives] == [found.total_bytes]


def test_the_needs_are_plain_data(settings: Settings) -> None:
    found = needs(settings).to_dict()
    assert {"total_bytes", "parts", "drives"} == set(found)
    assert all(isinstance(part["folder"], str) for part in found["parts"])


def write_pairs(file: Path) -> str:
    """Questions with a better and a worse answer; the name of the file."""
    file.write_text("\n".join(json.dumps(
        {"prompt": f"{number} pizza", "chosen": f"yes, {number}", "rejected": "no"})
        for number in range(12)), encoding="utf-8")
    return str(file)


REWARD = {"training.method": "reward"}


@pytest.mark.parametrize("values", [
    {}, {"adapter.method": "none"}, {"training.optimizer": "adafactor"},
    {"training.optimizer": "adamw_8bit", "adapter.rank": 64},
    {"adapter.init": "pissa"}, {"adapter.init": "olora", "training.method": "dpo"},
    REWARD, REWARD | {"adapter.method": "none", "training.learning_rate": 1e-4},
], ids=["lora", "full", "adafactor", "8-bit", "pissa", "dpo from olora", "reward", "full reward"])
def test_a_real_checkpoint_is_as_large_as_promised(
    settings: Settings, tiny_model: Path, tmp_path: Path, values: dict[str, Any]
) -> None:
    if values.get("training.method"):
        values = values | {"data.source": write_pairs(tmp_path / "pairs.jsonl"),
                           "data.eval_fraction": 0.0}
    recipe = short_recipe(tiny_model, tmp_path, **{"training.max_steps": 1, **values})
    shape = model_shape(str(tiny_model), settings)
    promised = disk_needs(recipe, shape, settings)
    run = create_run(settings, recipe, "measured")
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    checkpoint = run.checkpoints()[-1]
    weights = sum(file.stat().st_size for file in checkpoint.rglob("*.safetensors"))
    state = (checkpoint / "optimizer.pt").stat().st_size
    got = sizes(promised)
    assert got["checkpoints"] == pytest.approx(weights + state, rel=0.12, abs=60_000)
    result = sum(file.stat().st_size for file in run.adapter_path.glob("*.safetensors"))
    assert (got.get("adapter") or got["result"]) == pytest.approx(result, rel=0.05)
    assert got["download"] == 0
    start = run.path / START_FILE
    assert got.get("start", 0) == (start.stat().st_size if start.exists() else 0)
    assert (got["merged model"] == got["GGUF"] == 0) is (recipe.training.method == "reward")


def test_a_checkpoint_of_adalora_holds_its_first_rank_and_what_it_knows_of_each_parameter(
    settings: Settings, tiny_model: Path, tmp_path: Path
) -> None:
    recipe = short_recipe(tiny_model, tmp_path, **{
        "training.max_steps": 10, "training.save_steps": 4, "training.save_total_limit": 3,
        "adapter.method": "adalora"})
    run = create_run(settings, recipe, "measured")
    assert train(recipe, run, lambda: False, settings=settings) == "done"
    first = run.checkpoint_path / "checkpoint-4"
    weights = sum(file.stat().st_size for file in first.glob("*.safetensors"))
    promised = checkpoint_adapter_bytes(recipe, model_shape(str(tiny_model), settings))
    # The headers count in a model as tiny as this one.
    assert promised == pytest.approx(weights, rel=0.08)
