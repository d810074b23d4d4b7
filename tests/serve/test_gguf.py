"""A GGUF file is served by llama.cpp, behind the same guards."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from studio.chat.gguf_session import GgufSession
from studio.chat.sampling import Sampling
from studio.chat.session import Column
from studio.errors import ModelError
from studio.recipe import Model
from studio.serve.gguf_app import build_gguf_api
from studio.serve.gguf_server import GgufServer
from studio.serve.listener import Listener
from studio.settings import Settings
from tests.chat.alone import SHORT
from tests.ggufs import write_tiny_gguf, write_tiny_lora
from tests.serve.conftest import client_of


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model and an adapter over it."""
    folder = tmp_path_factory.mktemp("gguf")
    return write_tiny_gguf(folder / "tiny.gguf"), write_tiny_lora(folder / "lora.gguf")


@pytest.fixture(scope="module")
def served(files: tuple[Path, Path]) -> Iterator[GgufServer]:
    gguf, lora = files
    columns = [Column("base"), Column("orders", lora), Column("orders × 0.5", lora, 0.5)]
    server = GgufServer(gguf, Settings(home=gguf.parent), columns, key="sesame", port=0,
                        context_tokens=256)
    server.start()
    yield server
    server.close()


def asked(served: GgufServer, model: str, **options: Any) -> str:
    reply = client_of(served, "sesame").chat.completions.create(
        model=model, messages=SHORT, max_tokens=12, temperature=0, **options)  # type: ignore[arg-type]
    assert reply.model == model
    return str(reply.choices[0].message.content)


def test_each_column_is_a_model_that_answers_as_in_the_chat(
    served: GgufServer, files: tuple[Path, Path]
) -> None:
    gguf, lora = files
    names = ["tiny", "orders", "orders × 0.5"]
    client = client_of(served, "sesame")
    assert [model.id for model in client.models.list()] == served.model_names == names
    assert client.models.retrieve("orders").id == "orders"
    session = GgufSession(Model(source=str(gguf)), [
        Column("tiny"), Column("orders", lora), Column("orders × 0.5", lora, 0.5)],
        Settings(home=gguf.parent))
    *_, theirs = session.answer(dict.fromkeys(names, SHORT),
                                Sampling(temperature=0, max_new_tokens=12))
    session.close()
    assert len(set(theirs.values())) == 3
    # One after the other, all at once, and whatever a client says of adapters by itself.
    assert {name: asked(served, name) for name in names} == theirs
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda name: (name, asked(served, name)), names * 4))
    assert found == [(name, theirs[name]) for name in names * 4]
    meddled = {"lora": [{"id": 0, "scale": 1.0}]}
    assert asked(served, "tiny", extra_body=meddled) == theirs["tiny"]


def test_a_client_that_goes_before_its_answer_ends_the_work() -> None:
    """The work is a socket that never answers, and sees whether anybody still waits for it."""
    with socket.create_server(("127.0.0.1", 0)) as inner:
        api = build_gguf_api(f"http://127.0.0.1:{inner.getsockname()[1]}/v1", "key", {"tiny": []})
        listener = Listener(api, 0)
        listener.start()
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{listener.url}/completions", timeout=0.5,
                       json={"model": "tiny", "prompt": "paris"})
        asking, _ = inner.accept()
        asking.settimeout(20)
        with asking:
            assert b"paris" in asking.recv(4096)
            assert asking.recv(4096) == b"", "it was kept waiting"
        listener.close()


def test_a_peft_adapter_that_does_not_fit_is_a_sentence_when_it_is_switched_on(
    files: tuple[Path, Path], adapters: dict[str, Path], settings: Settings
) -> None:
    server = GgufServer(files[0], settings, [Column("dora", adapters["dora"])], port=0)
    with pytest.raises(ModelError, match="dora cannot answer over a GGUF file: it is a DoRA"):
        server.start()
    assert not server.is_running


@pytest.mark.slow
def test_llama_cpp_answers_whole_and_streamed_with_log_probabilities(served: GgufServer) -> None:
    client = client_of(served, "sesame")
    reply = client.chat.completions.create(
        model="orders", messages=SHORT, max_tokens=8, temperature=0, logprobs=True, seed=1)  # type: ignore[arg-type]
    assert reply.usage and 0 < reply.usage.completion_tokens <= 8
    assert reply.choices[0].logprobs
    stream = client.chat.completions.create(
        model="orders", messages=SHORT, max_tokens=8, temperature=0, stream=True)  # type: ignore[arg-type]
    chunks = list(stream)
    assert {chunk.model for chunk in chunks} == {"orders"}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks
                   if chunk.choices) == reply.choices[0].message.content
    assert client.completions.create(model="orders", prompt="paris", max_tokens=4).choices


@pytest.mark.slow
def test_the_guards_are_those_of_the_other_endpoint(served: GgufServer) -> None:
    with pytest.raises(openai.AuthenticationError):
        client_of(served, "wrong").models.list()
    with pytest.raises(openai.NotFoundError, match=r"Served: tiny, orders, orders × 0.5\."):
        client_of(served, "sesame").completions.create(model="other", prompt="Paris")
    right = {"authorization": "Bearer sesame"}
    assert httpx.get(f"{served.url}/models", headers=right | {"host": "evil"}).status_code == 400
    there = httpx.get(f"{served.url}/models", headers=right | {"origin": "http://evil.example"})
    assert there.status_code == 200 and "access-control-allow-origin" not in there.headers
    wrong = httpx.post(f"{served.url}/completions", headers=right, json={"model": "tiny"})
    assert wrong.status_code == 400 and wrong.json()["error"]["message"]


@pytest.mark.slow
def test_closing_ends_the_process_of_llama_cpp(served: GgufServer) -> None:
    here = psutil.Process()
    before = {child.pid for child in here.children()}
    assert before and served.is_running
    served.close()
    assert not served.is_running and served.url == ""
    assert len({child.pid for child in here.children()}) < len(before)


def test_a_file_that_is_none_or_is_damaged_is_a_sentence(
    tmp_path: Path, settings: Settings
) -> None:
    with pytest.raises(ModelError, match="no file"):
        GgufServer(tmp_path / "gone.gguf", settings)
    text = tmp_path / "text.gguf"
    text.write_text("hello", encoding="utf-8")
    with pytest.raises(ModelError, match="not a GGUF"):
        GgufServer(text, settings)
    text.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelError, match="cannot serve text"):
        GgufServer(text, settings, port=0).start()
