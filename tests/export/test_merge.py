"""A merge is exactly PEFT's, is whole or not there, and never overwrites by accident."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.errors import DiskError, ExportError, ModelError, Stopped
from studio.export.merge import merge
from studio.files import PARTIAL, file_sha256, write_json_safely
from studio.progress import Step
from studio.recipe import Recipe, save_recipe
from studio.settings import Settings
from tests.chat.conftest import make_adapter


def _logits(model):  # type: ignore[no-untyped-def]
    import torch

    with torch.inference_mode():
        return model.eval()(torch.arange(40).reshape(2, 20)).logits


def _by_peft(base: Path, adapter: Path):  # type: ignore[no-untyped-def]
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    return _logits(PeftModel.from_pretrained(model, adapter).merge_and_unload())


def _loaded(folder: Path):  # type: ignore[no-untyped-def]
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto")


def _run_folder(settings: Settings, base: Path, adapter: Path, **model: str) -> Path:
    run = settings.runs / "orders-1"
    shutil.copytree(adapter, run / "adapter")
    values = {"model.source": str(base), **{f"model.{key}": value for key, value in model.items()}}
    save_recipe(Recipe().with_values(values), run / "recipe.yaml")
    return run


@pytest.mark.parametrize("options", [
    {}, {"use_rslora": True}, {"use_dora": True}, {"modules_to_save": ["lm_head"]},
    {"target_modules": ["q_proj", "embed_tokens"]},
], ids=["lora", "rslora", "dora", "modules to save", "embeddings"])
def test_a_merged_model_computes_what_peft_merges(
    tiny_model: Path, settings: Settings, tmp_path: Path, options: dict[str, object]
) -> None:
    import torch

    adapter = make_adapter(tiny_model, tmp_path / "adapter", seed=6, **options)
    result = merge(adapter, settings.exports / "merged", settings)
    merged = _loaded(result.path)
    assert torch.equal(_logits(merged), _by_peft(tiny_model, adapter))
    assert not torch.equal(_logits(merged), _logits(_loaded(tiny_model)))


def test_a_merged_folder_has_all_that_a_model_needs_and_says_how_it_was_made(
    tiny_model: Path, adapter: Path, settings: Settings
) -> None:
    from transformers import AutoTokenizer

    steps: list[Step] = []
    run = _run_folder(settings, tiny_model, adapter, quantization="4bit")
    result = merge(run, settings.exports / "orders-1-merged", settings, progress=steps.append)
    names = {path.name for path in result.path.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "generation_config.json",
            "chat_template.jinja", "export.json"} <= names
    assert "adapter_config.json" not in names
    base = AutoTokenizer.from_pretrained(tiny_model)
    assert AutoTokenizer.from_pretrained(result.path).chat_template == base.chat_template
    report = json.loads((result.path / "export.json").read_text(encoding="utf-8"))
    assert report["adapter"] == "orders-1" and report["base"] == "tiny-llama"
    assert "4bit" in report["notes"][0] and result.notes == tuple(report["notes"])
    assert report["adapter_sha256"] == file_sha256(run / "adapter" / "adapter_model.safetensors")
    assert report["dequantized"] is False
    assert str(settings.home) not in json.dumps(report)
    assert result.bytes == sum(path.stat().st_size for path in result.path.iterdir())
    last = [step for step in steps if step.what == "Merging and writing the model"][-1]
    assert last.done == last.total and last.unit == "bytes"


def test_the_base_is_merged_in_the_format_it_is_stored_in(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    import torch

    half = tmp_path / "half-llama"
    shutil.copytree(tiny_model, half)
    _loaded(tiny_model).to(torch.bfloat16).save_pretrained(half)
    adapter = make_adapter(half, tmp_path / "adapter", seed=7)
    merged = _loaded(merge(adapter, settings.exports / "merged", settings).path)
    assert merged.dtype == torch.bfloat16
    assert torch.equal(_logits(merged), _by_peft(half, adapter))


def test_the_adapter_inside_a_run_and_a_checkpoint_know_their_base(
    tiny_model: Path, adapter: Path, settings: Settings
) -> None:
    from studio.export.origin import find_origin

    run = _run_folder(settings, tiny_model, adapter)
    checkpoint = shutil.copytree(adapter, run / "checkpoints" / "checkpoint-5")
    # As training leaves it: with a copy of the recipe, and a mark that it is whole.
    shutil.copyfile(run / "recipe.yaml", checkpoint / "recipe.yaml")
    write_json_safely(checkpoint / "complete.json", {"files": {}})
    for folder in (run, run / "adapter", checkpoint):
        assert find_origin(folder).model.source == str(tiny_model)
        assert find_origin(folder).name == "orders-1"


def _rounded(folder: Path, quantization: str):  # type: ignore[no-untyped-def]
    """The base as a run in 4 or 8 bits had it, in full precision again."""
    import torch

    from studio.device import Device
    from studio.models.folder import ModelFolder
    from studio.models.loading import load_base
    from studio.recipe import Model

    model = Model(source=str(folder), quantization=quantization, dtype="float32")
    loaded = load_base(model, ModelFolder(folder, "tiny", str(folder)),
                       Device("cpu", "CPU", "float32", 0))
    return loaded.dequantize(torch.float32)


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_a_run_over_a_rounded_base_is_merged_into_that_one_when_asked(
    tiny_model: Path, adapter: Path, settings: Settings, quantization: str
) -> None:
    import torch
    from peft import PeftModel

    run = _run_folder(settings, tiny_model, adapter, quantization=quantization)
    full = merge(run, settings.exports / "full", settings)
    rounded = merge(run, settings.exports / "rounded", settings, dequantized=True)
    assert "full precision, since" in full.notes[0]
    assert f"rounded to {quantization}" in rounded.notes[0]
    expected = PeftModel.from_pretrained(_rounded(tiny_model, quantization), str(adapter))
    answers = _logits(_loaded(rounded.path))
    assert torch.equal(answers, _logits(expected.merge_and_unload()))
    assert not torch.equal(answers, _logits(_loaded(full.path)))
    assert "quantization_config" not in json.loads((rounded.path / "config.json").read_text())


def test_a_run_over_a_full_base_has_no_rounded_one(
    tiny_model: Path, adapter: Path, settings: Settings
) -> None:
    run = _run_folder(settings, tiny_model, adapter)
    with pytest.raises(ExportError, match="full precision, so there is no rounded one"):
        merge(run, settings.exports / "merged", settings, dequantized=True)


def test_a_plain_lora_is_merged_without_importing_peft_or_transformers(
    tiny_model: Path, adapter: Path, settings: Settings, tmp_path: Path
) -> None:
    """They take five times as long to import as the merge of a small model takes."""
    from studio.child import Child

    said = tmp_path / "said.txt"
    root = str(Path(__file__).parents[2])
    script = f"""
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from studio.export.merge import merge
from studio.settings import Settings
merge(Path({str(adapter)!r}), Path({str(settings.exports / "merged")!r}),
      Settings(home=Path({str(settings.home)!r}), offline=True))
Path({str(said)!r}).write_text(" ".join(sys.modules))
"""
    with Child(["-c", script], cwd=tmp_path) as child:
        while not child.has_ended():
            pass
        assert child.has_succeeded, child.said
    assert not {"peft", "transformers"} & set(said.read_text().split())


def test_a_run_that_trained_every_weight_is_copied(tiny_model: Path, settings: Settings) -> None:
    import torch

    run = settings.runs / "full"
    shutil.copytree(tiny_model, run / "adapter")
    save_recipe(Recipe().with_values({"adapter.method": "none"}), run / "recipe.yaml")
    result = merge(run, settings.exports / "full-merged", settings)
    assert "copied" in result.notes[0]
    assert torch.equal(_logits(_loaded(result.path)), _logits(_loaded(tiny_model)))


def _after(count: int) -> Callable[[], bool]:
    asked = iter(range(count))
    return lambda: next(asked, None) is None


@pytest.mark.parametrize("asked_before", [0, 1, 3, 10])
@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"init_lora_weights": "orthogonal"}],
                         ids=["plain", "by PEFT's layers", "in memory"])
def test_a_stopped_merge_leaves_nothing(
    tiny_model: Path, settings: Settings, tmp_path: Path, asked_before: int,
    options: dict[str, object]
) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "adapter", seed=5, **options)
    with pytest.raises(Stopped):
        merge(adapter, settings.exports / "merged", settings, stop=_after(asked_before))
    assert list(settings.exports.iterdir()) == []


def test_a_failing_merge_leaves_nothing_and_an_older_one_stays(
    adapter: Path, settings: Settings, tiny_model: Path
) -> None:
    def full_disk(step: Step) -> None:
        if step.what == "Merging and writing the model" and step.done:
            raise OSError(errno.ENOSPC, "No space left on device")

    target = settings.exports / "merged"
    before = merge(adapter, target, settings)
    with pytest.raises(DiskError, match=r"merged model cannot be written.*No space left"):
        merge(adapter, target, settings, overwrite=True, progress=full_disk)
    assert before.path.is_dir() and (target / "model.safetensors").is_file()
    assert not list(settings.exports.glob(f"{PARTIAL}*"))


def test_a_disk_that_fills_up_while_a_model_in_memory_is_saved_is_told_as_such(
    tmp_path: Path
) -> None:
    from safetensors import SafetensorError

    from studio.export.rewriting import save_weights

    class Model:
        def __init__(self, said: str) -> None:
            self.said = said

        def save_pretrained(self, folder: Path, **options: object) -> None:
            raise SafetensorError(self.said)

    # As safetensors said it on a file system of 300 KB.
    full = "Error while serializing: I/O error: No space left on device (os error 28)"
    with pytest.raises(OSError, match="No space left on device") as told:
        save_weights(Model(full), tmp_path)
    assert told.value.errno == errno.ENOSPC
    with pytest.raises(SafetensorError, match="os error 281"):
        save_weights(Model("Error (os error 281)"), tmp_path)


def test_a_base_without_a_tokenizer_is_a_sentence(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    """A chat template is none."""
    base = shutil.copytree(tiny_model, tmp_path / "mute",
                           ignore=shutil.ignore_patterns("tokenizer*"))
    assert (base / "chat_template.jinja").is_file()
    adapter = make_adapter(tiny_model, tmp_path / "adapter", seed=2)
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    write_json_safely(adapter / "adapter_config.json",
                      config | {"base_model_name_or_path": str(base)})
    with pytest.raises(ModelError, match="Neither adapter nor mute has a tokenizer"):
        merge(adapter, settings.exports / "merged", settings)
    assert list(settings.exports.iterdir()) == []


def test_nothing_is_overwritten_unless_asked_and_nothing_foreign_ever(
    adapter: Path, settings: Settings
) -> None:
    target = settings.exports / "merged"
    merge(adapter, target, settings)
    with pytest.raises(ExportError, match="exists already"):
        merge(adapter, target, settings)
    assert merge(adapter, target, settings, overwrite=True).path == target
    letters = settings.exports / "letters"
    letters.mkdir()
    (letters / "to-anna.txt").write_text("Dear Anna", encoding="utf-8")
    with pytest.raises(ExportError, match="nothing that the studio exported"):
        merge(adapter, letters, settings, overwrite=True)
    assert (letters / "to-anna.txt").exists()


def test_a_full_disk_is_said_before_anything_is_written(
    adapter: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.files.free_bytes", lambda where: 1000)
    with pytest.raises(DiskError, match="Merging adapter needs"):
        merge(adapter, settings.exports / "merged", settings)
    assert list(settings.exports.iterdir()) == []


def test_what_cannot_be_merged_is_a_sentence(
    tiny_model: Path, adapter: Path, settings: Settings, tmp_path: Path
) -> None:
    from tests.tiny import make_tiny_model

    target = settings.exports / "merged"
    (tmp_path / "empty").mkdir()
    unfinished = settings.runs / "unfinished"
    save_recipe(Recipe(), unfinished / "recipe.yaml")
    pickled = shutil.copytree(adapter, tmp_path / "pickled")
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    lost = shutil.copytree(adapter, tmp_path / "lost")
    config = json.loads((lost / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = str(tmp_path / "moved-away")
    (lost / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    foreign = make_adapter(make_tiny_model(tmp_path / "wide", hidden=96), tmp_path / "f", seed=1)
    shutil.rmtree(tmp_path / "wide")
    shutil.copytree(tiny_model, tmp_path / "wide")
    for given, kind, words in (
        (tmp_path / "empty", ExportError, "neither a run nor an adapter"),
        (unfinished, ExportError, "no finished adapter"), (pickled, ModelError, "pickle"),
        (lost, ModelError, "moved-away"), (foreign, ModelError, "does not fit"),
    ):
        with pytest.raises(kind, match=words):
            merge(given, target, settings)
    with pytest.raises(ExportError, match="works on every PC"):
        merge(adapter, settings.exports / "a:b", settings)
    assert not target.exists()
