"""An endpoint counts what it was asked: answered whole, or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from studio.chat.desk import ChatDesk
from studio.chat.session import Column
from studio.recipe import Model
from studio.serve.server import ApiServer
from tests.chat.alone import SHORT
from tests.serve.conftest import client_of, soon


@pytest.fixture
def counting(desk: ChatDesk, model: Model) -> Iterator[ApiServer]:
    server = ApiServer(desk, model, [Column("base")], port=0)
    server.start()
    yield server
    server.close()


def test_whole_answers_count_and_what_was_not_answered_counts_apart(counting: ApiServer) -> None:
    count, client = counting.count, client_of(counting)
    asked: dict[str, Any] = {"model": "base", "messages": SHORT, "max_tokens": 2}
    client.models.list()
    client.chat.completions.create(**asked)
    list(client.chat.completions.create(**asked, stream=True))
    assert soon(lambda: count.answered == 2) and count.unanswered == 0
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(**(asked | {"model": "other"}))
    assert soon(lambda: count.unanswered == 1)
    stream = client.chat.completions.create(**(asked | {"max_tokens": 450}), stream=True,
                                            temperature=2, seed=3)
    next(stream)
    assert count.at_work == 1
    stream.close()
    assert soon(lambda: count.at_work == 0) and (count.answered, count.unanswered) == (2, 2)
