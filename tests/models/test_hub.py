"""Fetching from a Hub: what lands on this PC, what is refused, and what the sentences say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from studio.errors import ModelError, Stopped
from studio.models.hub import fetch_config, fetch_model, is_hub_id
from studio.progress import Step
from studio.settings import Settings
from tests.models.hub_server import COMMIT, SmallHub, small_hub


@pytest.fixture
def hub(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    """A Hub with one good model, `someone/tiny`, and an empty cache on this side."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    with small_hub() as running:
        running.repositories["someone/tiny"] = tiny_model
        yield running


@pytest.fixture
def online(settings: Settings) -> Settings:
    return replace(settings, offline=False)


def test_a_model_is_fetched_with_progress_and_then_found_offline(
    hub: SmallHub, online: Settings
) -> None:
    steps: list[Step] = []
    folder = fetch_model("someone/tiny", online, progress=steps.append, endpoint=hub.url)
    assert (folder.name, folder.source, folder.revision) == ("tiny", "someone/tiny", COMMIT)
    assert (folder.path / "model.safetensors").is_file()
    assert (folder.path / "chat_template.jinja").is_file()
    last = [step for step in steps if step.unit == "bytes"][-1]
    assert last.fraction == 1.0
    again = fetch_model("someone/tiny", replace(online, offline=True))
    assert again.path == folder.path


def test_a_shape_fetches_the_config_alone_and_does_not_pass_for_the_model(
    hub: SmallHub, online: Settings
) -> None:
    path = fetch_config("someone/tiny", online, None, endpoint=hub.url)
    assert path.name == "config.json"
    assert [name for name in hub.requests if name.endswith(".safetensors")] == []
    offline = replace(online, offline=True)
    assert fetch_config("someone/tiny", offline, None) == path
    with pytest.raises(ModelError, match="not on this PC"):
        fetch_model("someone/tiny", offline)


def test_pickles_and_python_code_stay_on_the_hub(
    hub: SmallHub, online: Settings, tiny_model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "mixed"))
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "modeling.py").write_text("raise SystemExit", encoding="utf-8")
    hub.repositories["someone/mixed"] = folder
    found = fetch_model("someone/mixed", online, endpoint=hub.url)
    names = {path.name for path in found.path.iterdir()}
    assert "model.safetensors" in names
    assert not names & {"pytorch_model.bin", "modeling.py"}


def test_a_model_of_pickles_alone_is_refused_before_anything_is_fetched(
    hub: SmallHub, online: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    hub.repositories["someone/pickled"] = folder
    with pytest.raises(ModelError, match="pickles"):
        fetch_model("someone/pickled", online, endpoint=hub.url)
    assert not [path for path in hub.requests if "/resolve/" in path]


def test_a_model_with_code_of_its_own_is_refused_before_its_weights_are_fetched(
    hub: SmallHub, online: Settings, tiny_model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "own"))
    config = {"model_type": "their_own", "auto_map": {"AutoConfig": "modeling.Config"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    hub.repositories["someone/own"] = folder
    with pytest.raises(ModelError, match="its own Python code") as error:
        fetch_model("someone/own", online, endpoint=hub.url)
    assert "trust_remote_code" in error.value.hint
    assert not [path for path in hub.requests if path.endswith(".safetensors")]


@pytest.mark.parametrize(("status", "code", "words"), [
    (404, "RepoNotFound", "no model someone/else on the Hub"),
    (401, "RepoNotFound", "no model someone/else on the Hub"),
    (403, "GatedRepo", "gated"),
    (400, "", "HTTP 400"),
    (503, "", "not answering"),
])
def test_every_refusal_is_a_sentence(
    hub: SmallHub, online: Settings, status: int, code: str, words: str
) -> None:
    hub.refusals["someone/else"] = (status, code)
    with pytest.raises(ModelError, match=words) as error:
        fetch_model("someone/else", online, endpoint=hub.url)
    assert error.value.hint


def test_an_unknown_revision_is_named(hub: SmallHub, online: Settings) -> None:
    with pytest.raises(ModelError, match="no revision 'v9'"):
        fetch_model("someone/tiny", online, revision="v9", endpoint=hub.url)


def test_a_hub_that_nobody_answers_for_is_said_and_not_waited_for(
    hub: SmallHub, online: Settings
) -> None:
    with pytest.raises(ModelError, match="cannot be reached, and someone/tiny is not on this PC"):
        fetch_model("someone/tiny", online, endpoint="http://127.0.0.1:9")


def test_a_stop_ends_the_download(hub: SmallHub, online: Settings) -> None:
    with pytest.raises(Stopped):
        fetch_model("someone/tiny", online, stop=lambda: True, endpoint=hub.url)


@pytest.mark.parametrize(("text", "expected"), [
    ("gpt2", True), ("Qwen/Qwen3-0.6B", True), ("a/b/c", False), ("../secret", False),
    ("/tmp/model", False), ("two words", False), ("", False),
])
def test_a_hub_id_is_told_from_a_path(text: str, expected: bool) -> None:
    assert is_hub_id(text) is expected
