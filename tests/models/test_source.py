"""From what a recipe says to a folder: what is accepted, and the sentence for what is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from studio.errors import ModelError
from studio.models import find_model
from studio.settings import Settings


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model, free to be damaged."""
    return Path(shutil.copytree(tiny_model, tmp_path / "copy"))


def test_a_model_folder_is_found(tiny_model: Path, settings: Settings) -> None:
    found = find_model(str(tiny_model), settings)
    assert (found.path, found.name) == (tiny_model, tiny_model.name)


@pytest.mark.parametrize("path", [
    "/no/such/model", "./model", "~/model", "~no-such-user/model", "C:\\models\\x", "a/b/c"])
def test_a_missing_folder_is_said_and_not_looked_up_on_the_hub(
    path: str, settings: Settings
) -> None:
    with pytest.raises(ModelError, match="no model folder") as error:
        find_model(path, settings)
    assert path in error.value.message and "starter" in error.value.hint


def test_a_text_that_no_folder_can_be_called_is_said_and_cut(settings: Settings) -> None:
    with pytest.raises(ModelError, match=r"no model folder x{200}\.\.\.") as error:
        find_model("x" * 5000, settings)
    assert len(error.value.message) < 250


def test_an_unknown_hub_id_offline_says_both(settings: Settings) -> None:
    with pytest.raises(ModelError, match=r"offline, and someone/nothing is not on this PC"):
        find_model("someone/nothing", settings)


def test_pickles_are_refused(copy: Path, settings: Settings) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pickles \(pytorch_model.bin\)") as error:
        find_model(str(copy), settings)
    assert "safetensors" in error.value.hint


def test_an_adapter_is_not_a_model(tmp_path: Path, settings: Settings) -> None:
    config = {"base_model_name_or_path": "someone/base"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match="is an adapter") as error:
        find_model(str(tmp_path), settings)
    assert "someone/base" in error.value.hint


def test_a_gguf_is_not_a_model_to_train_on(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="GGUF"):
        find_model(str(tmp_path), settings)
    with pytest.raises(ModelError, match="is a file"):
        find_model(str(tmp_path / "model.gguf"), settings)


def test_an_empty_folder_is_not_a_model(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ModelError, match=r"no config.json"):
        find_model(str(tmp_path), settings)


def test_a_broken_config_is_named(copy: Path, settings: Settings) -> None:
    (copy / "config.json").write_text("{not json", encoding="utf-8")
    with pytest.raises(ModelError, match=r"config.json cannot be read"):
        find_model(str(copy), settings)


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_weights_cut_short_are_noticed(copy: Path, settings: Settings, keep: int) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(ModelError, match="not a whole safetensors file"):
        find_model(str(copy), settings)


def test_a_missing_shard_is_named(copy: Path, settings: Settings) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ModelError, match=r"model-2.safetensors is missing"):
        find_model(str(copy), settings)


def test_code_of_its_own_needs_the_recipes_trust(copy: Path, settings: Settings) -> None:
    config = {"model_type": "their_own", "auto_map": {"AutoConfig": "m.C"}}
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match="its own Python code"):
        find_model(str(copy), settings)
    assert find_model(str(copy), settings, trust_remote_code=True).path == copy


def test_an_unknown_kind_of_model_is_named(copy: Path, settings: Settings) -> None:
    (copy / "config.json").write_text('{"model_type": "abacus"}', encoding="utf-8")
    with pytest.raises(ModelError, match="'abacus'"):
        find_model(str(copy), settings)
