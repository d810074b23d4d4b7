"""An adapter that is passed on loads in plain PEFT, and says nothing of the PC that it comes from.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from studio.errors import DiskError, ExportError, Stopped
from studio.export.adapter_alone import adapter_bytes, write_adapter
from studio.export.clean import cleaned, holds_text, is_path
from studio.export.model_card import model_card
from studio.export.origin import Origin, find_origin
from studio.export.shared_base import SharedBase, shared_base
from studio.recipe import Model, Recipe, save_recipe
from studio.runs import Run
from studio.settings import Settings


def test_it_loads_in_plain_peft_and_computes_the_same(
    trained_run: Run, tiny_model: Path, settings: Settings
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made = write_adapter(find_origin(trained_run.path), settings.exports / "orders", settings)
    numbers = torch.arange(20)[None]
    logits = []
    for folder in (made.path, trained_run.adapter_path):
        base = AutoModelForCausalLM.from_pretrained(tiny_model)
        logits.append(PeftModel.from_pretrained(base, folder)(numbers).logits)
    assert torch.equal(*logits)
    assert AutoTokenizer.from_pretrained(made.path).chat_template
    assert made.bytes == sum(file.stat().st_size for file in made.path.iterdir())
    assert 0 < made.bytes - adapter_bytes(find_origin(trained_run.path)) < 10_000


def test_nothing_of_this_pc_is_in_it(
    trained_run: Run, tiny_model: Path, settings: Settings
) -> None:
    origin = find_origin(trained_run.path)
    made = write_adapter(origin, settings.exports / "orders", settings)
    for secret in (tiny_model, settings.home, trained_run.path.parent, Path.home()):
        assert holds_text(made.path, str(secret)) == []
    assert holds_text(made.path, "orders.jsonl") == []
    config = json.loads((made.path / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == "tiny-llama" and config["inference_mode"] is True
    assert config["revision"] is None and "no address" in made.notes[0]
    assert {file.name for file in made.path.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "tokenizer.json",
        "tokenizer_config.json", "chat_template.jinja", "README.md", "export.json"}


def test_the_card_tells_recipe_data_results_and_how_to_use_it(
    trained_run: Run, settings: Settings
) -> None:
    made = write_adapter(find_origin(trained_run.path), settings.exports / "orders", settings)
    card = (made.path / "README.md").read_text(encoding="utf-8")
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "peft" and "base_model" not in front
    fingerprint = json.loads((trained_run.path / "environment.json").read_text("utf-8"))["data"]
    last = trained_run.story().evals[-1][1]
    for words in ("# orders-1", "SFT, LoRA rank 8", "| Rank | `adapter.rank` | 8 |",
                  fingerprint["fingerprint"], f"| {last:.4f} |",
                  'PeftModel.from_pretrained(base, "./orders")',
                  "Data of the author's own.", "## Licence", "transformers 5"):
        assert words in text, words


def test_a_base_of_the_hub_is_named_by_its_id_and_commit(
    adapter: Path, settings: Settings, tmp_path: Path
) -> None:
    copy = shutil.copytree(adapter, tmp_path / "given")
    file = copy / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    commit = "0123456789abcdef0123456789abcdef01234567"
    file.write_text(json.dumps(config | {"base_model_name_or_path": "owner/some-base",
                                         "revision": commit}), encoding="utf-8")
    made = write_adapter(find_origin(copy), settings.exports / "given", settings)
    shared = json.loads((made.path / "adapter_config.json").read_text(encoding="utf-8"))
    assert shared["base_model_name_or_path"] == "owner/some-base" and shared["revision"] == commit
    front = yaml.safe_load((made.path / "README.md").read_text("utf-8").split("---\n")[1])
    assert front["base_model"] == "owner/some-base" and not made.notes
    assert front["base_model_relation"] == "adapter"


def test_a_folder_of_the_hubs_cache_is_known_by_its_id(tmp_path: Path, settings: Settings) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "models--owner--some-base" / "snapshots" / commit
    folder.mkdir(parents=True)
    found = shared_base(Origin("a", tmp_path, Model(source=str(folder)), False), settings)
    assert (found.hub_id, found.revision, found.license) == ("owner/some-base", commit, None)


def test_the_licence_comes_from_the_card_beside_the_base(
    tiny_model: Path, adapter: Path, settings: Settings, tmp_path: Path
) -> None:
    licensed = shutil.copytree(tiny_model, tmp_path / "licensed")
    (licensed / "README.md").write_text("---\nlicense: mit\n---\n# Base", encoding="utf-8")
    (licensed / "LICENSE").write_text("Do as you like.", encoding="utf-8")
    origin = Origin("a", adapter, Model(source=str(licensed)), False)
    made = write_adapter(origin, settings.exports / "a", settings)
    assert (made.path / "LICENSE").read_text(encoding="utf-8") == "Do as you like."
    assert "licence `mit`" in (made.path / "README.md").read_text(encoding="utf-8")


def test_the_starter_is_named_as_the_hub_names_it(adapter: Path, settings: Settings) -> None:
    found = shared_base(Origin("a", adapter, Model(), False), settings)
    assert found.hub_id == "HuggingFaceTB/SmolLM2-135M-Instruct" and found.license == "apache-2.0"


def test_the_card_of_a_blend_names_what_it_is_mixed_of(
    tiny_model: Path, settings: Settings, tmp_path: Path
) -> None:
    from studio.adapters.blend import Mix, Part, blend
    from tests.chat.conftest import make_adapter

    parts = [Part(make_adapter(tiny_model, tmp_path / name, seed=seed), weight)
             for seed, (name, weight) in enumerate((("first", 0.75), ("second", 0.25)))]
    mixed = blend("both", parts, Mix("linear"), settings)
    made = write_adapter(find_origin(mixed.path), settings.exports / "both", settings)
    text = (made.path / "README.md").read_text(encoding="utf-8")
    assert "Mixed of others: 0.75 first + 0.25 second by linear." in text
    assert holds_text(made.path, str(tmp_path)) == []


def test_paths_are_known_on_every_system() -> None:
    for text in ("/home/anna/base", r"C:\Users\Anna\base", "~/base", r"\\server\share\base"):
        assert is_path(text), text
    for text in ("owner/base", "CAUSAL_LM", "/", "", "q_proj", "text\nwith /lines"):
        assert not is_path(text), text
    assert cleaned({"a": ["/x/y", 1], "name_or_path": "z"}) == {"a": [None, 1]}
    assert cleaned({"token": "/x", "is_local": True}, of_tokenizer=True) == {"token": "/x"}


@pytest.mark.parametrize(("source", "named"), [
    ("owner/letters:default#train", "owner/letters"), ("data/private-letters.jsonl", ""),
    ("starter", ""),
])
def test_only_data_of_the_hub_are_named(
    trained_run: Run, settings: Settings, source: str, named: str
) -> None:
    run = settings.runs / "copy"
    shutil.copytree(trained_run.path, run)
    save_recipe(trained_run.recipe.with_values({"data.source": source}), run / "recipe.yaml")
    card = model_card(find_origin(run), SharedBase("base", "owner/base"), "adapter", "copy")
    front = yaml.safe_load(card.split("---\n")[1])
    assert front.get("datasets") == ([named] if named else None)
    assert "letters.jsonl" not in card


def test_a_reward_of_the_authors_own_is_named_without_its_folder(
    trained_run: Run, settings: Settings
) -> None:
    run = settings.runs / "copy"
    shutil.copytree(trained_run.path, run)
    rewards = {"python=/home/anna/mine.py:small": 1.0, r"python=C:\anna\mine.py:big": 0.5,
               "similarity": 0.5}
    save_recipe(trained_run.recipe.with_values({
        "training.method": "grpo", "reinforcement.rewards": rewards}), run / "recipe.yaml")
    card = model_card(find_origin(run), SharedBase("base", "owner/base"), "adapter", "copy")
    assert "python=mine.py:small: 1.0, python=mine.py:big: 0.5, similarity: 0.5" in card
    assert "anna" not in card


def test_a_card_without_a_run_says_what_is_known(adapter: Path) -> None:
    origin = Origin("given", adapter, Model(source="owner/base"), False)
    card = model_card(origin, SharedBase("base", "owner/base"), "merged", "given-merged",
                      ["Mind the gap."])
    assert "How it was trained" not in card and "- Mind the gap." in card
    assert "see its page" in card and "base_model_relation: finetune" in card


def test_what_cannot_be_passed_on_is_a_sentence_and_leaves_nothing(
    tiny_model: Path, adapter: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = settings.runs / "full"
    shutil.copytree(tiny_model, run / "adapter")
    save_recipe(Recipe().with_values({"adapter.method": "none"}), run / "recipe.yaml")
    target = settings.exports / "a"
    with pytest.raises(ExportError, match="trained every weight"):
        write_adapter(find_origin(run), target, settings)
    origin = find_origin(adapter)
    with pytest.raises(ExportError, match="works on every PC"):
        write_adapter(origin, settings.exports / "a:b", settings)
    with pytest.raises(Stopped):
        write_adapter(origin, target, settings, stop=lambda: True)
    with monkeypatch.context() as patch:
        patch.setattr("studio.files.free_bytes", lambda where: 1000)
        with pytest.raises(DiskError, match="Copying the adapter"):
            write_adapter(origin, target, settings)
    assert not target.exists() and not list(settings.exports.glob("*"))
    write_adapter(origin, target, settings)
    with pytest.raises(ExportError, match="exists already"):
        write_adapter(origin, target, settings)
    assert write_adapter(origin, target, settings, overwrite=True).path == target
