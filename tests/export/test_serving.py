"""Serving recipes name this very model, its files, its rank and its context."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from studio.errors import ExportError
from studio.export.clean import holds_text
from studio.export.origin import Origin, find_origin
from studio.export.serving import served, serving_bytes, write_serving
from studio.export.serving_recipes import Served, serving_recipes
from studio.export.shared_base import SharedBase
from studio.recipe import Model
from studio.runs import Run
from studio.settings import Settings
from tests.chat.conftest import make_adapter

MODEL = Served("orders", SharedBase("Qwen3-0.6B", "Qwen/Qwen3-0.6B", "abc123"), "orders-merged",
               "orders-adapter", "orders-q4_k_m.gguf", 4096, 40_960, lora_rank=12)


def _command(model: Served, title: str) -> list[str]:
    found = next(one for one in serving_recipes(model) if title in one.title)
    return shlex.split(found.command.replace("\\\n", " "))


def test_vllm_serves_the_merged_model_by_its_name() -> None:
    words = _command(MODEL, "merged model")
    assert words[:3] == ["vllm", "serve", "./orders-merged"]
    assert words[words.index("--served-model-name") + 1] == "orders"
    assert words[words.index("--max-model-len") + 1] == "4096"


def test_vllm_serves_base_and_adapter_with_a_rank_that_it_takes() -> None:
    words = _command(MODEL, "base with the adapter")
    assert words[:3] == ["vllm", "serve", "Qwen/Qwen3-0.6B"] and "--enable-lora" in words
    assert words[words.index("--revision") + 1] == "abc123"
    assert words[words.index("--lora-modules") + 1] == "orders=./orders-adapter"
    assert words[words.index("--max-lora-rank") + 1] == "16"
    wider = _command(replace(MODEL, lora_rank=257), "base with the adapter")
    assert wider[wider.index("--max-lora-rank") + 1] == "320"
    local = replace(MODEL, base=SharedBase("my-base"))
    assert _command(local, "base with the adapter")[2] == "./my-base"


def test_llama_cpp_and_tgi_are_told_file_port_and_context() -> None:
    words = _command(MODEL, "llama.cpp")
    assert words[:3] == ["llama-server", "--model", "./orders-q4_k_m.gguf"]
    assert words[words.index("--ctx-size") + 1] == "4096" and "--jinja" in words
    words = _command(MODEL, "TGI")
    assert words[words.index("--model-id") + 1] == "/models/orders-merged"
    assert words[words.index("--max-total-tokens") + 1] == "4096"


def test_compose_files_mount_the_exports_and_open_no_port_to_others() -> None:
    for recipe in serving_recipes(MODEL):
        service = yaml.safe_load(recipe.compose)["services"]["model"]
        assert service["volumes"] == ["..:/models:ro"]
        assert service["ports"][0].startswith("127.0.0.1:")
        assert all(isinstance(word, str) for word in service["command"])
        assert any("orders" in word for word in service["command"])


def test_the_folder_has_a_page_and_compose_files_and_no_path_of_this_pc(
    trained_run: Run, tiny_model: Path, settings: Settings
) -> None:
    origin = find_origin(trained_run.path)
    settings.exports.mkdir(parents=True)
    (settings.exports / "orders-1-q8_0.gguf").touch()
    (settings.exports / "orders-1-lora-f16.gguf").touch()
    made = write_serving(origin, settings.exports / "orders-1-serving", settings)
    assert {file.name for file in made.path.iterdir()} == {
        "README.md", "export.json", "compose.vllm.yaml", "compose.vllm-adapter.yaml",
        "compose.llama-cpp.yaml", "compose.tgi.yaml"}
    text = (made.path / "README.md").read_text(encoding="utf-8")
    # The tiny model reads 512 tokens, and no more can be offered.
    for words in ("./orders-1-merged", "orders-1=./orders-1-adapter", "orders-1-q8_0.gguf",
                  "--max-model-len 512", "--max-lora-rank 8", "./tiny-llama"):
        assert words in text, words
    for secret in (tiny_model, settings.home, Path.home()):
        assert holds_text(made.path, str(secret)) == []
    assert made.bytes < serving_bytes(origin)
    steps = {one.title: one.command for one in serving_recipes(served(origin, settings))}
    assert "vllm serve ./orders-1-merged" in steps["vLLM, the merged model"]
    with pytest.raises(ExportError, match="exists already"):
        write_serving(origin, made.path, settings)


def test_the_files_are_those_of_the_name_that_was_chosen_and_of_no_other_run(
    trained_run: Run, settings: Settings
) -> None:
    origin = find_origin(trained_run.path)
    settings.exports.mkdir(parents=True)
    (settings.exports / "mine-longer-q8_0.gguf").touch()
    made = write_serving(origin, settings.exports / "mine-serving", settings, name="mine")
    text = (made.path / "README.md").read_text(encoding="utf-8")
    for words in ("./mine-merged", "mine=./mine-adapter", "./mine-q4_k_m.gguf"):
        assert words in text, words
    assert "mine-longer" not in text and "orders-1-" not in text


def test_a_long_context_is_offered_in_part_and_the_whole_is_named(
    trained_run: Run, settings: Settings, tmp_path: Path, tiny_model: Path
) -> None:
    config = json.loads((tiny_model / "config.json").read_text(encoding="utf-8"))
    long = tmp_path / "long"
    long.mkdir()
    (long / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 131_072}))
    origin = replace(find_origin(trained_run.path), model=Model(source=str(long)))
    found = served(origin, settings)
    assert (found.context_tokens, found.longest_tokens) == (8192, 131_072)


@pytest.mark.parametrize(("options", "words"), [
    ({"use_dora": True}, "it is a DoRA"), ({"modules_to_save": ["lm_head"]}, "whole modules"),
    ({"rank_pattern": {"q_proj": 4}}, "differ in rank"), ({}, ""),
], ids=["dora", "modules to save", "ranks", "plain"])
def test_what_vllm_cannot_load_beside_its_base_is_said(
    tiny_model: Path, settings: Settings, tmp_path: Path, options: dict[str, object], words: str
) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "adapter", seed=3, **options)
    found = served(Origin("a", adapter, Model(source=str(tiny_model)), False), settings)
    assert words in found.why_no_lora and bool(words) == bool(found.why_no_lora)
    titles = [one.title for one in serving_recipes(found)]
    assert ("vLLM, the base with the adapter" in titles) == (not words)
