"""What cannot be done is told in OpenAI's shape, with its status, in words that help."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from studio.chat.desk import ChatDesk
from studio.chat.session import Column
from studio.recipe import Model
from studio.serve.server import ApiServer
from tests.chat.alone import SHORT
from tests.serve.conftest import client_of

CHAT = {"model": "base", "messages": SHORT, "max_tokens": 2}


def _post(server: ApiServer, path: str = "/chat/completions", body: Any = None,
          **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(server.url + path, content=content, timeout=30,
                      headers={"content-type": "application/json", **headers})


@pytest.mark.parametrize(("change", "param", "words"), [
    ({"model": 3}, "model", "string"),
    ({"messages": []}, None, "prompt is empty"),
    ({"messages": [{"role": "user", "content": "  "}]}, None, "prompt is empty"),
    ({"messages": [{"role": "wizard", "content": "hi"}]}, "messages", "messages.0.role"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ""}}]}]},
     "messages", "messages.0.content.0"),
    ({"messages": [*SHORT, {"role": "assistant", "content": "Paris"}]}, None, "nothing to answer"),
    ({"messages": [{"role": "user", "content": "Berlin " * 600}]}, "messages", "at most 512"),
    ({"temperature": -1}, None, "temperature is -1"),
    ({"temperature": "hot"}, "temperature", "number"),
    ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
    ({"seed": -5}, None, "seed is -5"),
    ({"n": 2}, "n", "not offered"),
    ({"tools": [{"type": "function"}]}, "tools", "not offered"),
    ({"response_format": {"type": "json_object"}}, "response_format", "not offered"),
    ({"presence_penalty": 0.5}, "presence_penalty", "not offered"),
    ({"tempreature": 1}, "tempreature", "not known"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "1 to 4"),
    ({"stop": ""}, "stop", "empty"),
    ({"top_logprobs": 3}, "top_logprobs", "logprobs"),
    ({"logprobs": True, "top_logprobs": 50}, "top_logprobs", "20"),
])
def test_a_mistake_names_its_field(
    server: ApiServer, change: dict[str, Any], param: str | None, words: str
) -> None:
    reply = _post(server, body=CHAT | change)
    error = reply.json()["error"]
    assert reply.status_code == 400 and error["type"] == "invalid_request_error"
    assert words in error["message"] and error["param"] == param


def test_what_asks_for_nothing_is_taken(server: ApiServer) -> None:
    reply = _post(server, body=CHAT | {
        "n": 1, "tools": [], "user": "me", "presence_penalty": 0, "logit_bias": {}, "seed": None,
        "response_format": {"type": "text"}, "stop": None, "stream": False, "metadata": {}})
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize(("body", "words"), [
    (b"{", "not valid JSON"), (b"[]", "not a JSON object"), (b"\xff\xfe", "not valid JSON"),
    (b"{}", "model"),
])
def test_a_body_that_is_no_request_is_a_sentence(
    server: ApiServer, body: bytes, words: str
) -> None:
    reply = _post(server, body=body)
    assert reply.status_code == 400 and words in reply.json()["error"]["message"]


@pytest.mark.parametrize("prompt", ["", [], [[]], [999_999], [[1, -1]]])
def test_a_text_without_tokens_or_with_foreign_ones_is_refused(
    server: ApiServer, prompt: Any
) -> None:
    reply = _post(server, "/completions", {"model": "base", "prompt": prompt})
    assert reply.status_code == 400 and "prompt" in reply.json()["error"]["message"]


def test_an_unknown_model_is_not_found_and_the_others_are_named(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=r"base, one, two\.v1, dora") as caught:
        client.chat.completions.create(model="gpt-7", messages=SHORT)  # type: ignore[arg-type]
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-7")


def test_a_conversation_too_long_has_openais_word_for_it(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="base", messages=[
            {"role": "user", "content": "Berlin " * 600}])
    assert caught.value.code == "context_length_exceeded"


def test_other_addresses_and_ways_are_told_in_the_same_shape(server: ApiServer) -> None:
    assert _post(server, "/embeddings", {}).status_code == 404
    gone = httpx.get(server.url + "/chat/completions")
    assert gone.status_code == 405 and "error" in gone.json()


def test_pages_of_other_sites_are_kept_out(server: ApiServer) -> None:
    assert _post(server, body=CHAT, host="evil.example").status_code == 400
    plain = httpx.post(server.url + "/chat/completions", content=json.dumps(CHAT),
                       headers={"content-type": "text/plain"})
    assert plain.status_code == 415 and "application/json" in plain.json()["error"]["message"]
    asked = httpx.options(server.url + "/chat/completions", headers={
        "origin": "http://evil.example", "access-control-request-method": "POST"})
    assert "access-control-allow-origin" not in asked.headers


def test_a_key_is_asked_for_where_there_is_one(desk: ChatDesk, model: Model) -> None:
    server = ApiServer(desk, model, [Column("base")], key="öpen sesame", port=0)
    server.start()
    try:
        with pytest.raises(openai.AuthenticationError, match="key is missing"):
            client_of(server, "wrong").models.list()
        assert httpx.get(server.url + "/models").status_code == 401
        right = httpx.get(server.url + "/models",
                          headers={"authorization": "Bearer öpen sesame".encode()})
        assert right.status_code == 200
    finally:
        server.close()
