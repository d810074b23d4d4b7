"""A saved blend: where it lies, what it tells of itself, and who can load it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from studio.adapters.blend import Mix, Part, blend, delete_blend, list_blends, open_blend
from studio.errors import ModelError
from studio.export.origin import find_origin
from studio.recipe import Model, Recipe
from studio.runs import create_run
from studio.settings import Settings


def test_a_blend_tells_what_it_was_made_of(parents: dict[str, Path], settings: Settings) -> None:
    parts = [Part(parents["first"], 0.7), Part(parents["second"], -0.3, "my second")]
    made = blend("two of mine", parts, Mix("ties_svd", density=0.3, rank=6, seed=5), settings)
    found = open_blend(settings, "two-of-mine")
    assert found == made and found.path == settings.home / "adapters" / "two-of-mine"
    assert found.words == "0.7 first - 0.3 my second by ties_svd"
    assert (found.density, found.rank, found.seed) == (0.3, 6, 5)
    weights = (parents["first"] / "adapter_model.safetensors").read_bytes()
    assert found.parents[0].sha256 == hashlib.sha256(weights).hexdigest()
    assert found.parents[0].path == parents["first"]


def test_no_name_is_taken_twice_nor_that_of_a_run(
    parents: dict[str, Path], settings: Settings,
) -> None:
    parts = [Part(parents["first"]), Part(parents["second"])]
    made = blend("mine", parts, Mix(), settings)
    before = (made.path / "adapter_model.safetensors").read_bytes()
    with pytest.raises(ModelError, match="already an adapter named mine") as caught:
        blend("mine", parts, Mix("cat"), settings)
    assert "mine-2" in caught.value.hint
    assert (made.path / "adapter_model.safetensors").read_bytes() == before
    create_run(settings, Recipe(), "theirs")
    with pytest.raises(ModelError, match="a run named theirs"):
        blend("theirs", parts, Mix(), settings)


def test_a_damaged_one_is_listed_and_hides_no_other(
    parents: dict[str, Path], settings: Settings,
) -> None:
    assert list_blends(settings) == []
    parts = [Part(parents["first"]), Part(parents["second"])]
    for name in ("older", "newer", "broken"):
        blend(name, parts, Mix(), settings)
    (settings.adapters / "broken" / "blend.json").write_text('{"parents": [{}]', "utf-8")
    (settings.adapters / "no blend").mkdir()
    found = list_blends(settings)
    assert [one.name for one in found] == ["newer", "older", "broken"]
    assert "damaged" in found[-1].words and found[0].trouble == ""
    with pytest.raises(ModelError, match="no blend named 'odler'") as caught:
        open_blend(settings, "odler")
    assert "older" in caught.value.hint


def test_template_and_tokenizer_come_from_the_first_and_others_are_noted(
    tiny_model: Path, parents: dict[str, Path], settings: Settings, tmp_path: Path,
) -> None:
    from transformers import AutoTokenizer

    folders = [shutil.copytree(parents[name], tmp_path / name) for name in ("first", "second")]
    for folder, template in zip(folders, ("{{ 'one' }}", "{{ 'two' }}"), strict=True):
        tokenizer = AutoTokenizer.from_pretrained(tiny_model)
        tokenizer.chat_template = template
        tokenizer.save_pretrained(folder)
        (folder / "optimizer.pt").write_bytes(b"no part of an adapter")
    made = blend("speaks", [Part(folder) for folder in folders], Mix(), settings)
    assert AutoTokenizer.from_pretrained(made.path).chat_template == "{{ 'one' }}"
    assert not (made.path / "optimizer.pt").exists()
    assert any("those of first; second learned with another" in note for note in made.notes)


def test_its_base_is_that_of_its_runs_in_the_precision_they_were_trained_in(
    tiny_model: Path, parents: dict[str, Path], settings: Settings,
) -> None:
    model = {"model.source": str(tiny_model), "model.quantization": "8bit"}
    runs = [create_run(settings, Recipe().with_values(model), name) for name in ("one", "two")]
    for run, name in zip(runs, ("first", "second"), strict=True):
        shutil.copytree(parents[name], run.adapter_path)
    made = blend("of runs", [Part(run.path) for run in runs], Mix(), settings)
    assert made.words == "1 one + 1 two by svd"
    assert find_origin(made.path).model == Model(source=str(tiny_model), quantization="8bit")
    config = json.loads((made.path / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == str(tiny_model)


def test_a_blend_from_somebody_else_brings_no_consent_to_run_code(
    parents: dict[str, Path], settings: Settings,
) -> None:
    made = blend("foreign", [Part(parents["first"]), Part(parents["second"])], Mix(), settings)
    told = json.loads((made.path / "blend.json").read_text("utf-8"))
    told["model"] = {"source": "somebody/model", "trust_remote_code": True}
    (made.path / "blend.json").write_text(json.dumps(told), "utf-8")
    assert find_origin(made.path).model == Model(source="somebody/model")


def test_the_chat_and_a_merge_take_it_for_any_other_adapter(
    tiny_model: Path, parents: dict[str, Path], settings: Settings,
) -> None:
    from studio.chat.sampling import Sampling
    from studio.chat.session import ChatSession, Column
    from studio.export.merge import merge

    made = blend("talks", [Part(parents["first"], 0.6), Part(parents["wide"], 0.4)], Mix("cat"),
                 settings)
    merged = merge(made.path, settings.exports / "merged", settings)
    answers = {}
    for base, path in ((tiny_model, made.path), (merged.path, None)):
        session = ChatSession(Model(source=str(base), dtype="float32"), [Column("it", path)],
                              settings)
        for answers[path] in session.answer({"it": [{"role": "user", "content": "Pizza?"}]},
                                            Sampling(temperature=0, max_new_tokens=12)):
            pass
        session.close()
    assert answers[made.path]["it"] and answers[made.path] == answers[None]


def test_a_deleted_blend_is_gone_and_its_parents_stay(
    parents: dict[str, Path], settings: Settings,
) -> None:
    parts = [Part(parents["first"]), Part(parents["second"])]
    for name in ("mine", "other"):
        blend(name, parts, Mix("cat"), settings)
    delete_blend(settings, "mine")
    assert [found.name for found in list_blends(settings)] == ["other"]
    assert [path.name for path in settings.adapters.iterdir()] == ["other"]
    assert (parents["first"] / "adapter_model.safetensors").is_file()
    for name in ("mine", "../runs", "..", ""):
        with pytest.raises(ModelError, match="no blend named"):
            delete_blend(settings, name)
