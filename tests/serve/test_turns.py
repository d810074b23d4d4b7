"""Nobody waits for the whole of somebody else's answer, and who leaves frees what they had."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from studio.arbiter import Arbiter, Holder
from studio.chat.desk import ChatDesk
from studio.chat.sampling import Sampling
from studio.chat.session import Column
from studio.recipe import Model
from studio.serve import engine
from studio.serve.server import ApiServer
from studio.settings import Settings
from tests.chat.alone import SHORT
from tests.serve.conftest import client_of, soon

ENDLESS = {"temperature": 2.0, "max_tokens": 450, "messages": SHORT, "seed": 3}
"""With this much noise the end token all but never comes."""


def _stream(client: OpenAI, model: str, **options: Any) -> Any:
    return client.chat.completions.create(model=model, stream=True, **(ENDLESS | options))


@pytest.fixture
def own_desk(settings: Settings) -> Iterator[ChatDesk]:
    desk = ChatDesk(settings, Arbiter())
    yield desk
    desk.close()


def test_an_answer_that_was_joined_goes_on_as_if_alone(client: OpenAI) -> None:
    def text(stream: Any) -> str:
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    alone = text(_stream(client, "one", max_tokens=120))
    long = _stream(client, "one", max_tokens=120)
    first = next(long).choices[0].delta.content or ""
    with ThreadPoolExecutor(3) as people:
        others = [people.submit(lambda name: list(_stream(client, name, max_tokens=30)), name)
                  for name in ("base", "two.v1", "dora")]
        joined = first + text(long)
    assert joined == alone and all(other.result() for other in others)


def test_more_requests_than_fit_a_batch_are_all_answered(client: OpenAI) -> None:
    count = engine.ROWS_AT_ONCE * 2 + 1
    with ThreadPoolExecutor(count) as people:
        replies = list(people.map(lambda seed: client.chat.completions.create(
            model="one", messages=SHORT, max_tokens=5, seed=seed), range(count)))  # type: ignore[arg-type]
    assert len({reply.id for reply in replies}) == count


def test_a_client_that_goes_ends_its_answer(client: OpenAI, desk: ChatDesk) -> None:
    stream = _stream(client, "base", max_tokens=None)
    next(stream)
    assert desk.is_answering
    stream.close()
    assert soon(lambda: not desk.is_answering)
    endless: dict[str, Any] = ENDLESS | {"max_tokens": None}
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).completions.create(
            model="base", prompt=["Paris"] * 24, max_tokens=480, temperature=2)
    assert soon(lambda: not desk.is_answering)
    assert client.chat.completions.create(model="base", **(endless | {"max_tokens": 2}))


def test_requests_wait_while_a_person_is_answered_on_the_page(
    client: OpenAI, desk: ChatDesk, model: Model
) -> None:
    columns = [Column("base")]
    assert soon(lambda: not desk.is_answering)
    person = desk.answer(model, columns, {"base": SHORT}, Sampling(
        temperature=2, top_k=0, top_p=1, max_new_tokens=400))
    next(person)
    with ThreadPoolExecutor(1) as people:
        asked = people.submit(lambda: client.chat.completions.create(
            model="one", messages=SHORT, max_tokens=2))  # type: ignore[arg-type]
        time.sleep(0.3)
        assert not asked.done()
        person.close()  # type: ignore[attr-defined]
        assert asked.result().usage
    assert desk.session is not None and desk.session.columns == columns, "the page's stay"


def test_while_a_training_has_the_device_a_client_is_told_to_come_back(
    settings: Settings, model: Model
) -> None:
    arbiter = Arbiter()
    desk = ChatDesk(settings, arbiter)
    server = ApiServer(desk, model, [Column("base")], port=0)
    server.start()
    training = Holder("Training", "Stop it on the Train tab.")
    try:
        ask = client_of(server).chat.completions.create
        short: dict[str, Any] = {"model": "base", "messages": SHORT, "max_tokens": 2}
        arbiter.acquire(training)
        with pytest.raises(openai.InternalServerError, match="Training is using") as caught:
            ask(**short)
        assert caught.value.status_code == 503 and caught.value.response.headers["retry-after"]
        arbiter.release(training)
        assert ask(**short).usage
        assert soon(lambda: not desk.is_answering)
        arbiter.acquire(training)  # an idle endpoint makes room
        assert desk.session is None
        arbiter.release(training)
        assert ask(**short).usage
    finally:
        server.close()
        desk.close()


def test_a_model_whose_folder_goes_is_told_and_the_others_answer(
    own_desk: ChatDesk, model: Model, served_adapters: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(served_adapters["one"], tmp_path / "short-lived")
    server = ApiServer(own_desk, model, [Column("base"), Column("gone", folder)], port=0)
    server.start()
    own_desk.open(model, [Column("base")])
    shutil.rmtree(folder)
    try:
        ask = client_of(server).chat.completions.create
        with pytest.raises(openai.InternalServerError, match="no adapter folder"):
            ask(model="gone", messages=SHORT, max_tokens=2)  # type: ignore[arg-type]
        assert ask(model="base", messages=SHORT, max_tokens=2).usage  # type: ignore[arg-type]
    finally:
        server.close()


def test_a_strength_is_a_model_of_its_own(
    own_desk: ChatDesk, model: Model, served_adapters: dict[str, Path]
) -> None:
    path = served_adapters["one"]
    server = ApiServer(own_desk, model, [Column("base"), Column("none", path, 0.0),
                                         Column("one", path)], port=0)
    server.start()
    try:
        client = client_of(server)
        texts = {name: client.chat.completions.create(
            model=name, messages=SHORT, max_tokens=12, temperature=0).choices[0].message.content  # type: ignore[arg-type]
            for name in server.model_names}
        assert texts["none"] == texts["base"] != texts["one"]
    finally:
        server.close()


def test_closing_ends_answers_and_opening_again_works(own_desk: ChatDesk, model: Model) -> None:
    server = ApiServer(own_desk, model, [Column("base")], port=0)
    before = set(threading.enumerate())
    url = server.start()
    assert server.is_running and server.start() == url
    stream = _stream(client_of(server), "base")
    next(stream)
    server.close()
    with pytest.raises(openai.APIError, match="being closed"):
        list(stream)
    assert not server.is_running and server.url == "" and not own_desk.is_answering
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if name.startswith("api-")}, left
    server.start()
    assert client_of(server).chat.completions.create(
        model="base", messages=SHORT, max_tokens=2).usage  # type: ignore[arg-type]
    server.close()
