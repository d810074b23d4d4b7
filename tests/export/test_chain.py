"""Several formats in one go: what they take is told before, then each is written and checked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from studio.errors import DiskError, ExportError, Stopped
from studio.export.chain import Made, Way, run_plan
from studio.export.door import Choices
from studio.export.doors import DOORS
from studio.export.origin import find_origin
from studio.export.plan import Plan, look_at, make_plan
from studio.progress import Step
from studio.settings import Settings
from tests.chat.conftest import make_adapter


def plan_of(adapter: Path, settings: Settings, keys: Sequence[str], name: str = "orders") -> Plan:
    return make_plan(look_at(find_origin(adapter), settings), keys, name)


@pytest.fixture(scope="module")
def convertible_adapter(
    convertible_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A LoRA adapter on the tiny model that llama.cpp knows."""
    return make_adapter(convertible_model, tmp_path_factory.mktemp("chain") / "small", seed=4)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("chain-home"), offline=True)


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    return []


@pytest.fixture(scope="module")
def made(convertible_adapter: Path, home: Settings, steps: list[Step]) -> tuple[Made, ...]:
    """Two GGUF files and the adapter alone, written and checked."""
    plan = plan_of(convertible_adapter, home, ["adapter", "gguf:f16", "gguf:f32"])
    told: list[Made] = []
    found = run_plan(plan, Way(), progress=steps.append, tell=told.append)
    assert tuple(told) == found
    return found


def test_all_formats_are_written_and_answer_as_the_model_in_training(
    made: tuple[Made, ...], home: Settings, steps: list[Step]
) -> None:
    assert [one.door.key for one in made] == ["gguf:f16", "gguf:f32", "adapter"]
    for one in made:
        assert one.problem is None and one.written is not None and one.verification is not None
        assert one.verification.is_good, one.verification.summary
        assert one.written.path == one.output and one.output.exists()
    said = {step.what.partition(":")[0] for step in steps}
    assert {"1 of 3, GGUF f16, GGUF f32", "3 of 3, Adapter alone"} <= said


def test_the_whole_model_made_on_the_way_is_gone_at_the_end(
    made: tuple[Made, ...], home: Settings
) -> None:
    left = {path.name for path in home.exports.iterdir()}
    assert not any(name.startswith(".") or "merged" in name for name in left)
    assert {"orders-f16.gguf", "orders-f32.gguf", "orders-adapter"} <= left


def test_the_size_of_every_format_and_of_what_passes_is_foretold(
    made: tuple[Made, ...], convertible_adapter: Path, home: Settings
) -> None:
    plan = plan_of(convertible_adapter, home, ["adapter", "gguf:f16", "gguf:f32"])
    for stage, one in zip(plan.stages, made, strict=True):
        assert one.written is not None and stage.bytes is not None
        assert stage.bytes == pytest.approx(one.written.bytes, rel=0.15, abs=30_000)
    assert plan.passing_model_bytes > 0 and plan.passing_gguf_bytes == 0  # f32 is asked for
    alone = plan_of(convertible_adapter, home, ["gguf:f32"])
    assert 0 < alone.seconds < plan_of(convertible_adapter, home, ["gguf:f32", "nf4"]).seconds
    assert alone.needed_bytes == alone.passing_model_bytes + (alone.stages[0].bytes or 0)
    assert plan_of(convertible_adapter, home, ["merged", "gguf:f32"]).passing_model_bytes == 0
    assert plan_of(convertible_adapter, home, ["adapter"]).passing_model_bytes == 0


def test_a_taken_name_is_refused_before_any_work_and_replaced_where_that_is_allowed(
    made: tuple[Made, ...], convertible_adapter: Path, home: Settings
) -> None:
    plan = plan_of(convertible_adapter, home, ["adapter", "merged"])
    assert [stage.door.key for stage in plan.taken] == ["adapter"]
    with pytest.raises(ExportError, match="already: orders-adapter"):
        run_plan(plan, Way())
    assert not (home.exports / "orders-merged").exists()
    (home.exports / "orders-adapter" / "mine.txt").write_text("mine", encoding="utf-8")
    run_plan(plan_of(convertible_adapter, home, ["adapter"]), Way(check=False, overwrite=True))
    assert not (home.exports / "orders-adapter" / "mine.txt").exists()


def test_a_format_that_fails_is_told_and_the_next_one_is_written(
    adapter: Path, settings: Settings
) -> None:
    found = run_plan(plan_of(adapter, settings, ["gguf:f16", "adapter"]), Way(check=False))
    problem, written = found
    assert problem.problem is not None and "does not know the tokenizer" in problem.problem[0]
    assert problem.written is None and written.written is not None
    assert [path.name for path in settings.exports.iterdir()] == ["orders-adapter"]


def test_a_stop_leaves_what_is_whole_and_nothing_else(
    convertible_adapter: Path, settings: Settings
) -> None:
    told: list[Made] = []
    with pytest.raises(Stopped):
        run_plan(plan_of(convertible_adapter, settings, ["merged", "gguf:f16"]), Way(check=False),
                 stop=lambda: bool(told), tell=told.append)
    assert [path.name for path in settings.exports.iterdir()] == ["orders-merged"]


def test_an_earlier_merge_of_the_same_adapter_is_used_and_that_of_another_is_not(
    adapter: Path, tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    plan = plan_of(adapter, settings, ["merged"])
    run_plan(plan, Way(check=False))
    again = plan_of(adapter, settings, ["gguf:f16"])
    assert again.model == settings.exports / "orders-merged" and not again.passing_model_bytes
    other = make_adapter(tiny_model, tmp_path / "other", seed=5)
    assert plan_of(other, settings, ["gguf:f16"]).model is None
    rounded = make_plan(look_at(find_origin(adapter), settings, Choices(dequantized=True)),
                        ["gguf:f16"], "orders")
    assert rounded.model is None


def test_too_little_disk_for_the_whole_chain_is_said_before_anything_is_written(
    adapter: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(adapter, settings, ["merged", "gguf:f16"])
    monkeypatch.setattr("studio.files.free_bytes", lambda where: plan.needed_bytes)
    with pytest.raises(DiskError, match="The export needs"):
        run_plan(plan, Way(check=False))
    assert not settings.exports.exists() or not list(settings.exports.iterdir())
    assert not replace(plan, free_bytes=plan.needed_bytes).fits


def test_unknown_and_closed_formats_are_sentences(adapter: Path, settings: Settings) -> None:
    with pytest.raises(ExportError, match="no format named 'zip'"):
        plan_of(adapter, settings, ["merged", "zip"])
    with pytest.raises(ExportError, match="No format is chosen"):
        plan_of(adapter, settings, [])
    plan = plan_of(adapter, settings, ["gptq"])  # an adapter without a run has no data
    assert "belongs to no run" in plan.stages[0].why_not
    with pytest.raises(ExportError, match="GPTQ cannot be written"):
        run_plan(plan, Way())


def test_all_stands_for_every_format_that_is_open(adapter: Path, settings: Settings) -> None:
    keys = [stage.door.key for stage in plan_of(adapter, settings, ["all"]).stages]
    assert {"merged", "gguf:q8_0", "adapter"} <= set(keys) and "gptq" not in keys
    assert keys == [key for key in DOORS if key in keys]


def test_learned_tokens_cannot_be_merged_but_are_passed_on_alone(
    tiny_model: Path, adapter: Path, settings: Settings, tmp_path: Path
) -> None:
    prompt = tmp_path / "prompt"
    shutil.copytree(adapter, prompt)
    config = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 4,
              "base_model_name_or_path": str(tiny_model)}
    (prompt / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    closed = {stage.door.key: stage.why_not for stage in
              plan_of(prompt, settings, list(DOORS)).stages}
    assert "cannot be merged" in closed["merged"] and "cannot be merged" in closed["gguf:q8_0"]
    assert not closed["adapter"]


def test_what_a_gguf_is_rounded_from_takes_no_room_beside_what_is_written_later(
    wide_model: Path, settings: Settings, tmp_path: Path
) -> None:
    origin = find_origin(make_adapter(wide_model, tmp_path / "adapter", seed=1))
    subject = look_at(origin, settings)
    ggufs = make_plan(subject, ["gguf:q4_k_m", "gguf:q8_0"])
    both = make_plan(subject, ["gguf:q4_k_m", "gguf:q8_0", "nf4"])
    later = next(stage.bytes for stage in both.stages if stage.door.key == "nf4") or 0
    assert both.passing_gguf_bytes > later > 0
    assert both.needed_bytes == ggufs.needed_bytes
    assert ggufs.needed_bytes == ggufs.passing_model_bytes + ggufs.passing_gguf_bytes + sum(
        stage.bytes or 0 for stage in ggufs.stages)
