"""A GGUF file is served by llama.cpp, behind the same guards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import psutil
import pytest

from studio.errors import ModelError
from studio.export.gguf import write_gguf
from studio.serve.gguf_server import GgufServer
from studio.settings import Settings
from tests.chat.alone import SHORT
from tests.export.conftest import convertible_model  # noqa: F401 - a fixture
from tests.serve.conftest import client_of


@pytest.fixture(scope="module")
def served(convertible_model: Path,  # noqa: F811
           tmp_path_factory: pytest.TempPathFactory) -> Iterator[GgufServer]:
    folder = tmp_path_factory.mktemp("gguf")
    gguf = write_gguf(convertible_model, folder / "tiny.gguf", "f32", Settings(home=folder))
    server = GgufServer(gguf.path, key="sesame", port=0, context_tokens=256)
    server.start()
    yield server
    server.close()


@pytest.mark.slow
def test_llama_cpp_answers_whole_and_streamed_with_log_probabilities(served: GgufServer) -> None:
    client = client_of(served, "sesame")
    assert [model.id for model in client.models.list()] == served.model_names == ["tiny"]
    reply = client.chat.completions.create(
        model="tiny", messages=SHORT, max_tokens=8, temperature=0, logprobs=True, seed=1)  # type: ignore[arg-type]
    assert reply.usage and 0 < reply.usage.completion_tokens <= 8
    assert reply.choices[0].logprobs
    stream = client.chat.completions.create(
        model="tiny", messages=SHORT, max_tokens=8, temperature=0, stream=True)  # type: ignore[arg-type]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream
                   if chunk.choices) == reply.choices[0].message.content
    assert client.completions.create(model="tiny", prompt="Paris", max_tokens=4).choices


@pytest.mark.slow
def test_the_guards_are_those_of_the_other_endpoint(served: GgufServer) -> None:
    with pytest.raises(openai.AuthenticationError):
        client_of(served, "wrong").models.list()
    with pytest.raises(openai.NotFoundError, match=r"Served: tiny\."):
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


def test_a_file_that_is_none_or_is_damaged_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no file"):
        GgufServer(tmp_path / "gone.gguf")
    text = tmp_path / "text.gguf"
    text.write_text("hello", encoding="utf-8")
    with pytest.raises(ModelError, match="not a GGUF"):
        GgufServer(text)
    text.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelError, match="cannot serve text"):
        GgufServer(text, port=0).start()
