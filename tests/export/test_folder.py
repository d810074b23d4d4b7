"""A merged folder that was made complete needs nothing else to be used, and names nobody's PC."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from studio.export.clean import holds_text
from studio.export.folder import complete_folder, complete_merged
from studio.export.merge import merge
from studio.export.origin import find_origin
from studio.runs import Run
from studio.settings import Settings


@pytest.fixture(scope="module")
def merged(trained_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained run, merged and made complete."""
    settings = Settings(home=tmp_path_factory.mktemp("merged"), offline=True)
    made = merge(trained_run.path, settings.exports / "orders", settings)
    made = replace(made, notes=(*made.notes, "It was merged."))
    whole = complete_merged(made, find_origin(trained_run.path), settings)
    assert whole.bytes == sum(file.stat().st_size for file in whole.path.iterdir()) > made.bytes
    return whole.path


def test_it_has_a_card_with_the_recipe_and_what_to_know(merged: Path) -> None:
    card = (merged / "README.md").read_text(encoding="utf-8")
    for words in ("library_name: transformers", "A model made of `tiny-llama`", "`adapter.rank`",
                  "- It was merged.", 'pipeline("text-generation"'):
        assert words in card, words


def test_nothing_of_this_pc_is_in_it(merged: Path, trained_run: Run, tiny_model: Path) -> None:
    for secret in (tiny_model, trained_run.path.parent, merged.parent, Path.home()):
        assert holds_text(merged, str(secret)) == []


def test_making_it_complete_again_changes_nothing(
    merged: Path, trained_run: Run, settings: Settings
) -> None:
    assert "It was merged." in json.loads((merged / "export.json").read_text("utf-8"))["notes"]
    before = {file.name: file.read_bytes() for file in merged.iterdir()}
    notes = json.loads((merged / "export.json").read_text(encoding="utf-8"))["notes"]
    complete_folder(merged, find_origin(trained_run.path), settings, notes)
    assert {file.name: file.read_bytes() for file in merged.iterdir()} == before


def test_an_answer_ends_at_the_token_that_the_template_ends_it_with(
    merged: Path, trained_run: Run, settings: Settings, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, GenerationConfig

    other = shutil.copytree(merged, tmp_path / "other")
    tokenizer = AutoTokenizer.from_pretrained(other)
    end, first = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    # As bases are published: their own end of text, sampling values that saving would refuse.
    (other / "generation_config.json").write_text(
        json.dumps({"eos_token_id": first, "do_sample": False, "temperature": 0.6}))
    complete_folder(other, find_origin(trained_run.path), settings)
    found = json.loads((other / "generation_config.json").read_text(encoding="utf-8"))
    assert found == {"eos_token_id": [first, end], "do_sample": False, "temperature": 0.6}
    (other / "generation_config.json").unlink()
    complete_folder(other, find_origin(trained_run.path), settings)
    made = GenerationConfig.from_pretrained(other).eos_token_id
    assert end in (made if isinstance(made, list) else [made])


def test_a_model_without_a_chat_template_is_told_of(
    merged: Path, trained_run: Run, settings: Settings, tmp_path: Path
) -> None:
    silent = shutil.copytree(merged, tmp_path / "silent")
    (silent / "chat_template.jinja").unlink()
    notes = complete_folder(silent, find_origin(trained_run.path), settings)
    assert "chat template" in notes[0]
    assert notes[0] in (silent / "README.md").read_text(encoding="utf-8")
