"""An export that is right is found right; one that is broken is caught, and the reason said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from studio.errors import ExportError, ModelError, Stopped
from studio.export.merge import merge
from studio.export.origin import find_origin
from studio.export.verify import Reference, live_reference, read_report, report_files, verify
from studio.export.verify.sample import QUESTIONS
from studio.progress import Step
from studio.runs import Run
from studio.settings import Settings


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("verify"), offline=True)


@pytest.fixture(scope="module")
def merged(trained_run: Run, home: Settings) -> Path:
    """The run merged; read only."""
    return merge(trained_run.path, home.exports / "orders", home).path


@pytest.fixture(scope="module")
def live(trained_run: Run, home: Settings) -> Reference:
    """The live model, asked once."""
    return live_reference(find_origin(trained_run.path), home)


@pytest.fixture
def copy(merged: Path, tmp_path: Path) -> Path:
    """A merged folder to be broken."""
    return shutil.copytree(merged, tmp_path / "copy")


def _change(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}),
                    encoding="utf-8")


def test_a_merged_folder_answers_as_the_live_model(
    copy: Path, live: Reference, home: Settings
) -> None:
    steps: list[Step] = []
    found = verify(copy, live.origin, home, reference=live, progress=steps.append)
    assert found.level == "same" and found.is_good and not found.warnings
    assert found.measures is not None
    assert found.measures.top1_agreement == 1 and found.measures.mean_kl < 1e-4
    assert found.identical_answers == len(found.answers) > 0
    assert [check.name for check in found.checks] == ["template", "stop token"]
    assert "held out" in found.sample and "same next token" in found.summary
    assert any(step.what.startswith("Reading with") for step in steps)


def test_what_is_asked_are_held_out_records_of_the_run(live: Reference, trained_run: Run) -> None:
    source = Path(trained_run.recipe.data.source).read_text(encoding="utf-8")
    records = [json.loads(line)["messages"] for line in source.splitlines()]
    asked = {question.shown for question in live.sample.questions}
    assert asked <= {turns[0]["content"] for turns in records}
    assert 0 < len(asked) <= QUESTIONS
    for question in live.sample.questions:
        text = live.tokenizer.decode(question.prompt_ids)
        assert text.endswith("<|im_start|>assistant\n") and question.turns[-1]["role"] == "user"
        assert question.answer_ids


def test_the_report_in_a_folder_names_no_path_and_tells_nothing_of_the_data(
    copy: Path, live: Reference, home: Settings
) -> None:
    found = verify(copy, live.origin, home, reference=live)
    values, text = report_files(copy)
    assert (values.name, text.name) == ("verification.json", "VERIFICATION.md")
    kept = read_report(copy)
    assert kept is not None and kept.measures == found.measures and kept.level == found.level
    assert kept.identical_answers == found.identical_answers and "left out" in kept.notes[-1]
    written = values.read_text(encoding="utf-8") + text.read_text(encoding="utf-8")
    assert all(pair.prompt not in written and pair.live not in written for pair in found.answers)
    assert str(copy.parent) not in written and str(home.home) not in written
    assert found.summary in written and "| same likeliest next token | 100.0% |" in written
    values.write_text("{}", encoding="utf-8")
    assert read_report(copy) is None


def test_weights_that_are_not_the_runs_are_caught(
    tiny_model: Path, copy: Path, live: Reference, home: Settings
) -> None:
    base = verify(shutil.copytree(tiny_model, copy.parent / "base"), live.origin, home,
                  reference=live)
    assert base.level == "broken" and not base.is_good
    assert any("not the weights of the run" in text for text in base.warnings)
    assert all(check.passed for check in base.checks)
    _perturb(copy / "model.safetensors")
    assert verify(copy, live.origin, home, reference=live).level == "broken"


def _perturb(file: Path) -> None:
    """Noise of a tenth of what each weight is."""
    import torch
    from safetensors.torch import load_file, save_file

    torch.manual_seed(0)
    tensors = {name: tensor * (1 + 0.3 * torch.randn_like(tensor))
               for name, tensor in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})


def test_another_chat_template_is_caught_and_the_difference_shown(
    copy: Path, live: Reference, home: Settings
) -> None:
    template = copy / "chat_template.jinja"
    template.write_text(template.read_text(encoding="utf-8").replace("assistant", "model"),
                        encoding="utf-8")
    found = verify(copy, live.origin, home, reference=live)
    [failed] = [check for check in found.checks if not check.passed]
    assert failed.name == "template" and "model" in failed.said and not found.is_good
    assert "Wrong: template." in found.summary and failed.said in found.warnings
    template.unlink()
    found = verify(copy, live.origin, home, reference=live)
    assert [check.name for check in found.checks if not check.passed] == ["template"]
    assert "no chat template" in found.checks[0].said


def test_a_missing_stop_token_is_caught(copy: Path, live: Reference, home: Settings) -> None:
    _change(copy / "generation_config.json", eos_token_id=3)
    _change(copy / "config.json", eos_token_id=3)
    found = verify(copy, live.origin, home, reference=live)
    [failed] = [check for check in found.checks if not check.passed]
    assert failed.name == "stop token" and "<|im_end|>" in failed.said
    assert "generation_config.json" in failed.said


def test_an_adapter_folder_is_checked_through_peft(
    trained_run: Run, live: Reference, home: Settings, tmp_path: Path
) -> None:
    folder = shutil.copytree(trained_run.adapter_path, tmp_path / "adapter")
    found = verify(folder, live.origin, home, reference=live)
    assert (found.kind, found.program, found.level) == ("adapter folder", "PEFT", "same")
    assert found.is_good, found.warnings
    _perturb(folder / "adapter_model.safetensors")
    assert verify(folder, live.origin, home, reference=live).level == "broken"


def test_without_data_of_a_run_built_in_prompts_are_asked(
    adapter: Path, settings: Settings
) -> None:
    copy = shutil.copytree(adapter, settings.exports / "adapter")
    found = verify(copy, find_origin(adapter), settings)
    assert read_report(copy) == found
    assert "built-in prompts" in found.sample and "no run" in found.sample
    assert found.measures is not None and found.measures.top1_agreement == 1
    assert found.level == "same"


def test_data_that_are_gone_are_replaced_by_built_in_prompts(
    trained_run: Run, settings: Settings, tmp_path: Path
) -> None:
    run = shutil.copytree(trained_run.path, tmp_path / "moved")
    recipe = run / "recipe.yaml"
    source = trained_run.recipe.data.source
    recipe.write_text(recipe.read_text(encoding="utf-8").replace(source, str(tmp_path / "gone")),
                      encoding="utf-8")
    said = live_reference(find_origin(run), settings).sample.said
    assert "built-in prompts" in said and "the data of the run cannot be used" in said


def test_texts_without_turns_are_continued(
    trained_run: Run, merged: Path, settings: Settings, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.jsonl"
    line = json.dumps({"text": "Two pizzas and a cola for Anna, please, to Berlin by Friday."})
    texts.write_text(f"{line}\n" * 8, encoding="utf-8")
    run = shutil.copytree(trained_run.path, tmp_path / "texts")
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace(
        trained_run.recipe.data.source, str(texts)), encoding="utf-8")
    live = live_reference(find_origin(run), settings)
    [question] = live.sample.questions
    assert question.shown.startswith("Two pizzas") and not question.turns
    assert live.sample.is_own_data and "1 record of" in live.sample.said
    found = verify(shutil.copytree(merged, tmp_path / "merged"), live.origin, settings,
                   reference=live)
    assert found.level == "same" and found.is_good and found.answers[0].agreement == 1


def test_a_stopped_check_leaves_no_report(copy: Path, live: Reference, home: Settings) -> None:
    with pytest.raises(Stopped):
        verify(copy, live.origin, home, reference=live, stop=lambda: True)
    assert not any(file.exists() for file in report_files(copy))


def test_what_cannot_be_checked_is_a_sentence(
    copy: Path, live: Reference, home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ExportError, match="nothing that can be checked"):
        verify(tmp_path, live.origin, home, reference=live)
    with monkeypatch.context() as patched:
        patched.setattr("studio.export.verify.room.free_device_bytes", lambda device: 5 * 10**8)
        with pytest.raises(ExportError, match="of main memory, and 0 B are free"):
            verify(copy, live.origin, home, reference=live)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be loaded"):
        verify(copy, live.origin, home, reference=live)
    weights.write_bytes(b"no weights")
    with pytest.raises(ExportError, match=r"model\.safetensors in copy is damaged"):
        verify(copy, live.origin, home, reference=live)
