"""The Serve part of the Chat tab: the endpoint is switched on and off, and its key stays here."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from studio.bootstrap.ports import next_free_port
from studio.chat.conversation import Conversation
from studio.chat.session import Column
from studio.errors import BusyError, ModelError
from studio.export.gguf import write_gguf
from studio.serve.listener import Endpoint
from studio.settings import Settings
from studio.ui.endpoint_desk import EndpointState
from studio.ui.panels import chat_serve
from studio.ui.panels.chat_answering import Answering, Question
from studio.ui.panels.chat_serve_view import curl_example, python_example, usage_view
from studio.ui.studio import Studio
from tests.chat.alone import GREEDY, model_of
from tests.export.conftest import convertible_model  # noqa: F401 - a fixture

OPENED = EndpointState("on", "", "http://127.0.0.1:8000/v1", ("base", "orders, step 20 × 0.5"))


@pytest.fixture
def studio(settings: Settings) -> Iterator[Studio]:
    studio = Studio(settings)
    yield studio
    studio.close()


def lineup(model: Path, **more: Any) -> dict[str, Any]:
    """What the page sends with the base alone in the line-up."""
    from studio.ui.panels.chat_columns import AS_TRAINED, BASE_VALUE

    return {"base": str(model), "runs": [BASE_VALUE], "strengths": {}, "loading": AS_TRAINED,
            "model.source": str(model), "model.dtype": "float32", "source": chat_serve.LINEUP,
            "file": None, "port": 0, **more}


def any_port() -> int:
    """One that no other test takes in the same moment."""
    return next_free_port(0)[0]


def switched_on(studio: Studio, model: Path) -> EndpointState:
    studio.endpoint.switch_on(chat_serve.endpoint_of(studio, lineup(model, port=any_port())))
    return studio.endpoint.wait(60)


def client_of(now: EndpointState, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=now.url, api_key=key, max_retries=0, timeout=60)


def ask(now: EndpointState, key: str = "none") -> Any:
    return client_of(now, key).chat.completions.create(
        model=now.models[-1], max_tokens=2, messages=[{"role": "user", "content": "Hi"}])


def test_it_answers_the_openai_client_until_it_is_switched_off(
    studio: Studio, tiny_model: Path
) -> None:
    now = switched_on(studio, tiny_model)
    assert now.phase == "on" and now.models == ("base",)
    assert ask(now).usage.completion_tokens <= 2
    while studio.endpoint.snapshot().at_work:
        pass
    assert studio.endpoint.snapshot().answered == 1
    with pytest.raises(BusyError, match="open"):
        switched_on(studio, tiny_model)
    studio.endpoint.switch_off()
    assert studio.endpoint.wait(60).phase == "off"
    with pytest.raises(openai.APIConnectionError):
        ask(now)


def test_a_key_is_made_on_a_click_and_is_written_nowhere(
    studio: Studio, tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    studio.endpoint.make_key()
    key = studio.endpoint.key
    now = switched_on(studio, tiny_model)
    with pytest.raises(openai.AuthenticationError):
        ask(now)
    assert ask(now, key).usage
    with pytest.raises(BusyError):
        studio.endpoint.make_key()
    studio.close()
    assert studio.endpoint.snapshot().phase == "off", "it ends with the studio"
    kept = [path for path in studio.settings.home.rglob("*")
            if path.is_file() and key.encode() in path.read_bytes()]
    own = [record for record in caplog.records if record.name.startswith(("studio", "uvicorn"))]
    assert not kept and key not in "".join(record.getMessage() for record in own)
    assert key not in usage_view(now)


def test_of_four_pages_that_switch_on_at_once_one_opens_and_the_others_are_told(
    studio: Studio, tiny_model: Path
) -> None:
    endpoints = [chat_serve.endpoint_of(studio, lineup(tiny_model, port=any_port()))
                 for _ in range(4)]

    def opens(endpoint: Endpoint) -> bool:
        try:
            studio.endpoint.switch_on(endpoint)
        except BusyError:
            return False
        return True

    with ThreadPoolExecutor(4) as pages:
        opened = list(pages.map(opens, endpoints))
    assert studio.endpoint.wait(60).phase == "on" and sum(opened) == 1
    assert [endpoint.is_running for endpoint in endpoints] == opened


def test_a_page_that_waits_for_the_endpoint_says_so_and_is_answered(
    studio: Studio, tiny_model: Path
) -> None:
    columns, model = [Column("base")], model_of(tiny_model)
    session, begun = studio.chat.open(model, columns), threading.Event()

    def endpoint_writes() -> None:
        with session.lent(set(), makes_room=True):
            begun.set()
            while not session.is_wanted:
                time.sleep(0.01)

    with ThreadPoolExecutor(1) as endpoint:
        writes = endpoint.submit(endpoint_writes)
        assert begun.wait(60)
        asked = Conversation().asked("Hi", ["base"])
        shown = list(Answering(studio.chat).ask(
            "page", Question("Hi", "", model, columns, GREEDY), asked, Conversation()))
        writes.result()
    told = [one.loading.what for one in shown if one.loading is not None]
    assert "Another program is being answered; it makes room" in told
    assert shown[-1].exchanges[-1].is_answered and shown[-1].loading is None


@pytest.mark.slow
def test_a_gguf_file_answers_by_its_name(
    studio: Studio, convertible_model: Path  # noqa: F811
) -> None:
    studio.settings.exports.mkdir(parents=True)
    write_gguf(convertible_model, studio.settings.exports / "tiny.gguf", "f32", studio.settings)
    values = lineup(convertible_model, source=chat_serve.GGUF, file="tiny.gguf", port=any_port())
    studio.endpoint.switch_on(chat_serve.endpoint_of(studio, values))
    assert studio.endpoint.snapshot().phase == "opening"
    now = studio.endpoint.wait(120)
    assert now.phase == "on" and now.models == ("tiny",) and ask(now).usage
    studio.endpoint.switch_off()
    assert studio.endpoint.wait(60).phase == "off"


def test_a_gguf_file_that_is_none_is_a_sentence(studio: Studio, tiny_model: Path) -> None:
    values = lineup(tiny_model, source=chat_serve.GGUF)
    with pytest.raises(ModelError, match="No GGUF file is chosen"):
        chat_serve.endpoint_of(studio, values)
    studio.settings.exports.mkdir(parents=True)
    (studio.settings.exports / "text.gguf").write_text("hello", encoding="utf-8")
    for name in ("../../text.gguf", "/etc/passwd"):
        with pytest.raises(ModelError, match="No GGUF file is chosen"):
            chat_serve.endpoint_of(studio, values | {"file": name})
    with pytest.raises(ModelError, match="not a GGUF file"):
        chat_serve.endpoint_of(studio, values | {"file": "text.gguf"})


def test_a_page_that_was_reloaded_shows_the_open_endpoint_and_a_tick_sends_nothing_twice(
    studio: Studio, tiny_model: Path
) -> None:
    now = switched_on(studio, tiny_model)
    updates = chat_serve.page(studio, {})
    assert now.url in updates[chat_serve.PARTS.index("usage")]
    again = chat_serve.page(studio, updates[-1])
    assert all(one == {"__type__": "update"} for one in again)


def test_the_examples_name_a_real_model_and_are_valid(tmp_path: Path) -> None:
    compile(python_example(OPENED), "example", "exec")
    assert '"orders, step 20 × 0.5"' in python_example(OPENED)
    assert curl_example(OPENED).isascii()
    page = usage_view(EndpointState("on", "", "http://here", ("<b>bold</b>",)))
    assert "<b>bold" not in page
