"""A folder in NF4 is real bitsandbytes: it loads by itself, answers alike, and weighs as said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from studio.device import Device
from studio.errors import ExportError, ModelError, Stopped
from studio.export.nf4 import nf4_bytes, write_nf4
from studio.files import PARTIAL
from studio.models.folder import ModelFolder
from studio.models.loading import load_base
from studio.progress import Step
from studio.recipe.model import Model
from studio.settings import Settings


@pytest.fixture(scope="module")
def written(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model in NF4."""
    home = tmp_path_factory.mktemp("nf4")
    return write_nf4(tiny_model, home / "tiny-nf4", Settings(home, offline=True)).path


def _logits(model):  # type: ignore[no-untyped-def]
    import torch

    with torch.inference_mode():
        return model.eval()(torch.arange(60).reshape(2, 30)).logits.float()


def test_transformers_loads_the_folder_in_four_bits_and_computes_what_rounding_while_loading_does(
    tiny_model: Path, written: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    stored = AutoModelForCausalLM.from_pretrained(written)
    assert type(stored.model.layers[0].mlp.up_proj).__name__ == "Linear4bit"
    base = ModelFolder(tiny_model, "tiny", str(tiny_model))
    rounded = load_base(Model(quantization="4bit", dtype="float32"), base,
                        Device("cpu", "CPU", "float32", 0))
    assert torch.equal(_logits(stored), _logits(rounded))
    assert not torch.equal(_logits(stored),
                           _logits(AutoModelForCausalLM.from_pretrained(tiny_model)))


def test_the_studio_opens_the_folder_as_a_base(written: Path) -> None:
    folder = ModelFolder(written, written.name, str(written))
    model = load_base(Model(source=str(written)), folder, Device("cpu", "CPU", "float32", 0))
    assert type(model.model.layers[1].self_attn.q_proj).__name__ == "Linear4bit"
    assert _logits(model).isfinite().all()


def test_the_size_is_foretold_within_two_percent(
    tiny_model: Path, written: Path, settings: Settings
) -> None:
    files = [path for path in written.iterdir()
             if path.name not in ("config.json", "export.json")]
    actual = sum(path.stat().st_size for path in files)
    assert nf4_bytes(tiny_model, settings) == pytest.approx(actual, rel=0.02)


def test_the_folder_has_its_tokenizer_and_says_how_it_was_made(
    tiny_model: Path, written: Path
) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
                 "generation_config.json"):
        assert (written / name).read_bytes() == (tiny_model / name).read_bytes()
    report = json.loads((written / "export.json").read_text(encoding="utf-8"))
    assert report["kind"] == "NF4 model" and "bitsandbytes" in report["versions"]
    assert str(tiny_model.parent) not in json.dumps(report)
    assert str(tiny_model.parent) not in (written / "config.json").read_text(encoding="utf-8")


def test_the_model_card_goes_along_and_says_that_the_weights_were_rounded(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "orders")
    (model / "README.md").write_text("# Orders\n\nMade of tiny.\n", encoding="utf-8")
    (model / "NOTICE.txt").write_text("Built with tiny.", encoding="utf-8")
    made = write_nf4(model, settings.exports / "orders-nf4", settings)
    card = (made.path / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# Orders\n\nMade of tiny.\n\n## Rounded weights") and "NF4" in card
    assert (made.path / "NOTICE.txt").is_file()


def test_settings_for_answering_that_the_model_has_not_are_not_made_up(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "orders")
    (model / "generation_config.json").unlink()
    made = write_nf4(model, settings.exports / "orders-nf4", settings)
    assert not (made.path / "generation_config.json").exists()


def test_templates_for_special_uses_go_along(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "orders")
    special = Path("additional_chat_templates", "tool_use.jinja")
    (model / special).parent.mkdir()
    (model / special).write_text("{{ messages }}", encoding="utf-8")
    made = write_nf4(model, settings.exports / "orders-nf4", settings)
    assert (made.path / special).read_bytes() == (model / special).read_bytes()


def test_damaged_settings_of_the_tokenizer_are_named(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "orders")
    (model / "tokenizer_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"tokenizer_config\.json cannot be read"):
        write_nf4(model, settings.exports / "orders-nf4", settings)


def test_a_damaged_report_of_the_merge_is_named_before_anything_is_written(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "orders")
    for damaged in ("{", "[]"):
        (model / "export.json").write_text(damaged, encoding="utf-8")
        with pytest.raises(ModelError, match=r"export\.json"):
            write_nf4(model, settings.exports / "orders-nf4", settings)
    assert not settings.exports.exists()


def test_a_stopped_write_leaves_nothing_and_the_next_one_works(
    tiny_model: Path, settings: Settings
) -> None:
    output = settings.exports / "tiny-nf4"
    with pytest.raises(Stopped):
        write_nf4(tiny_model, output, settings, stop=lambda: True)
    assert not output.exists() and not list(settings.exports.glob(f"{PARTIAL}*"))
    steps: list[Step] = []
    made = write_nf4(tiny_model, output, settings, progress=steps.append)
    assert made.path == output and made.bytes > 0
    assert steps[-1].what == "Writing the 4-bit model" and steps[-1].fraction == 1


def test_what_is_there_or_already_rounded_is_refused(
    tiny_model: Path, written: Path, adapter: Path, settings: Settings
) -> None:
    with pytest.raises(ExportError, match="exists already"):
        write_nf4(tiny_model, written, settings)
    with pytest.raises(ExportError, match="stored quantised"):
        write_nf4(written, settings.exports / "again", settings)
    with pytest.raises(ExportError, match="is an adapter"):
        write_nf4(adapter, settings.exports / "other", settings)
    assert not settings.exports.exists()
