"""An endpoint over the tiny model and a few adapters, and OpenAI's own client for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from studio.arbiter import Arbiter
from studio.chat.desk import ChatDesk
from studio.chat.session import Column
from studio.recipe import Model
from studio.serve.listener import Endpoint
from studio.serve.server import ApiServer
from studio.settings import Settings
from tests.chat.conftest import adapters  # noqa: F401 - a fixture


def client_of(server: Endpoint, key: str = "none") -> OpenAI:
    return OpenAI(base_url=server.url, api_key=key, max_retries=0, timeout=60)


def soon(is_so: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether it comes to be so."""
    until = time.monotonic() + seconds
    while not is_so() and time.monotonic() < until:
        time.sleep(0.02)
    return is_so()


@pytest.fixture(scope="session")
def served_adapters(adapters: dict[str, Path]) -> dict[str, Path]:  # noqa: F811
    """By the names that they are served under: the last one cannot share a batch."""
    return {"one": adapters["one"], "two.v1": adapters["two"], "dora": adapters["dora"]}


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatDesk]:
    desk = ChatDesk(Settings(home=tmp_path_factory.mktemp("home"), offline=True), Arbiter())
    yield desk
    desk.close()


@pytest.fixture(scope="session")
def model(tiny_model: Path) -> Model:
    return Model(source=str(tiny_model), dtype="float32")


@pytest.fixture(scope="session")
def server(desk: ChatDesk, model: Model, served_adapters: dict[str, Path]) -> Iterator[ApiServer]:
    columns = [Column("base"), *(Column(name, path) for name, path in served_adapters.items())]
    server = ApiServer(desk, model, columns, port=0)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def client(server: ApiServer) -> OpenAI:
    return client_of(server)
