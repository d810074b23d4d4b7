"""What is pushed to the Hub was shown before, is private, and arrives whole or not at all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from studio.errors import ExportError, Stopped
from studio.export.adapter_alone import write_adapter
from studio.export.hub import plan_push, push
from studio.export.hub_process import main, told
from studio.export.hub_token import known_token
from studio.export.origin import find_origin
from studio.progress import Step
from studio.settings import Settings
from tests.export.hub_inbox import COMMIT, TOKEN, Inbox, hub_inbox


@pytest.fixture
def online(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """A studio that may ask the Hub, with a token in its environment."""
    from huggingface_hub import constants

    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    # Its own protocol cannot be answered by a few lines; the older one carries the same files.
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    return replace(settings, offline=False, hub_token=TOKEN)


@pytest.fixture
def shared(adapter: Path, settings: Settings) -> Path:
    """An adapter, exported for sharing."""
    return write_adapter(find_origin(adapter), settings.exports / "orders", settings).path


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with hub_inbox() as running:
        yield running


def test_the_plan_shows_files_and_sizes_and_asks_nobody(shared: Path, online: Settings) -> None:
    (shared / "optimizer.pt").write_bytes(b"pickle")
    (shared / ".DS_Store").write_bytes(b"")
    plan = plan_push(shared, "anna/orders", online)
    names = {file.name for file in plan.files}
    assert {"adapter_model.safetensors", "adapter_config.json", "README.md"} <= names
    assert plan.private and plan.left_out == (".DS_Store", "optimizer.pt")
    assert plan.bytes == sum((shared / name).stat().st_size for name in names)
    text = " ".join(plan.sentences)
    for words in ("huggingface.co/anna/orders, private", "HF_TOKEN", "Left out: .DS_Store"):
        assert words in text, words
    assert "public: everybody" in plan_push(shared, "a/b", online, private=False).sentences[0]
    assert TOKEN not in text + repr(plan) + repr(online) + repr(known_token(online))


def test_a_push_makes_a_private_repository_with_the_very_files(
    shared: Path, online: Settings, inbox: Inbox
) -> None:
    steps: list[Step] = []
    plan = plan_push(shared, "anna/orders", online)
    pushed = push(plan, online, progress=steps.append, endpoint=inbox.url)
    assert (pushed.commit, pushed.url) == (COMMIT, f"{inbox.url}/anna/orders")
    assert inbox.private == {"anna/orders": True}
    assert inbox.files == {file.name: file.path.read_bytes() for file in plan.files}
    assert inbox.requests[-1].startswith("POST /api/models/anna/orders/commit/")
    assert all(step.total == plan.bytes for step in steps)


def _pushed(shared: Path, online: Settings, inbox: Inbox, tmp_path: Path) -> dict[str, object]:
    """The outcome of the upload's process, run here."""
    plan = plan_push(shared, "anna/orders", online)
    request = tmp_path / "request.json"
    request.write_text(json.dumps({
        "home": str(online.home), "parent": os.getpid(), "repository": plan.repository,
        "private": plan.private, "endpoint": inbox.url,
        "files": [[file.name, str(file.path)] for file in plan.files],
        "progress": str(tmp_path / "progress.json"), "outcome": str(tmp_path / "outcome.json"),
    }), encoding="utf-8")
    main(request)
    found: dict[str, object] = json.loads((tmp_path / "outcome.json").read_text("utf-8"))
    assert TOKEN not in json.dumps(found) + request.read_text(encoding="utf-8")
    return found


@pytest.mark.parametrize(("status", "words"), [
    (401, "does not know the token"), (403, "may not write to anna"),
    (500, "not answering"), (413, "refused the upload"),
])
def test_what_the_hub_refuses_is_a_sentence(
    shared: Path, online: Settings, inbox: Inbox, tmp_path: Path, status: int, words: str
) -> None:
    inbox.refuses = status
    found = _pushed(shared, online, inbox, tmp_path)
    assert isinstance(found["error"], list) and words in found["error"][0] and found["error"][1]
    assert inbox.files == {}


def test_a_repository_that_is_public_is_not_filled_with_what_shall_be_private(
    shared: Path, online: Settings, inbox: Inbox, tmp_path: Path
) -> None:
    inbox.private["anna/orders"] = False
    found = _pushed(shared, online, inbox, tmp_path)
    assert isinstance(found["error"], list) and "public" in found["error"][0]
    assert inbox.files == {} and inbox.large == {}


def test_an_unreachable_hub_is_a_sentence() -> None:
    import httpx2

    with pytest.raises(ExportError, match="cannot be reached"), told("anna/orders"):
        raise httpx2.ConnectError("no route")


def test_a_stopped_push_ends_soon_and_shows_nothing(
    shared: Path, online: Settings, inbox: Inbox
) -> None:
    inbox.slow_seconds = 30
    seen = time.monotonic()

    def stop() -> bool:
        return any(request.startswith("PUT") for request in inbox.requests)

    with pytest.raises(Stopped):
        push(plan_push(shared, "anna/orders", online), online, stop=stop, endpoint=inbox.url)
    assert inbox.files == {} and time.monotonic() - seen < 30


def test_what_cannot_be_pushed_is_a_sentence_before_anything_is_sent(
    shared: Path, tiny_model: Path, online: Settings, settings: Settings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("orders", "a/b/c", "../orders", "anna/", "anna/or ders"):
        with pytest.raises(ExportError, match="no name of a repository"):
            plan_push(shared, name, online)
    with pytest.raises(ExportError, match="neither a model"):
        plan_push(tmp_path, "anna/orders", online)
    (shared / "notes.md").write_text(f"from {settings.home}", encoding="utf-8")
    with pytest.raises(ExportError, match=r"notes\.md names a folder of this PC"):
        plan_push(shared, "anna/orders", online)
    (shared / "notes.md").write_text(f"token {TOKEN}", encoding="utf-8")
    with pytest.raises(ExportError, match=r"notes\.md names your token") as caught:
        plan_push(shared, "anna/orders", online)
    assert TOKEN not in str(caught.value)
    (shared / "notes.md").unlink()
    with pytest.raises(ExportError, match="offline"):
        push(plan_push(shared, "anna/orders", settings), settings)
    nobody = replace(online, hub_token=None)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    plan = plan_push(shared, "anna/orders", nobody)
    assert "hf auth login" in plan.sentences[-1]
    with pytest.raises(ExportError, match="no token"):
        push(plan, nobody)


def test_a_gguf_file_is_pushed_by_itself(online: Settings, tmp_path: Path) -> None:
    file = tmp_path / "orders-q8_0.gguf"
    file.write_bytes(b"GGUF")
    (tmp_path / "letters.txt").write_text("Dear Anna", encoding="utf-8")
    assert [one.name for one in plan_push(file, "anna/orders", online).files] == [file.name]
