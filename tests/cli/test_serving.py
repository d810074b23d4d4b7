"""`serve` with names answers other programs until Ctrl+C."""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from openai import OpenAI

from studio.bootstrap.ports import next_free_port
from tests.chat.conftest import make_adapter

Call = Callable[..., tuple[int, str, str]]


@contextmanager
def _meanwhile(port: int, key: str) -> Iterator[dict[str, Any]]:
    """On another thread: ask the endpoint on `port`, then press Ctrl+C."""
    seen: dict[str, Any] = {}
    address = f"http://127.0.0.1:{port}/v1"

    def ask() -> None:
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until and "status" not in seen:
                try:
                    seen["status"] = httpx.get(f"{address}/models").status_code
                except httpx.ConnectError:
                    time.sleep(0.05)
            client = OpenAI(base_url=address, api_key=key, max_retries=0)
            seen["models"] = [model.id for model in client.models.list()]
            reply = client.chat.completions.create(
                model=seen["models"][-1], max_tokens=3,
                messages=[{"role": "user", "content": "Hi"}])
            seen["tokens"] = reply.usage.completion_tokens if reply.usage else None
        finally:
            _thread.interrupt_main()

    thread = threading.Thread(target=ask)
    thread.start()
    yield seen
    thread.join()


def test_named_adapters_are_served_with_their_base_until_ctrl_c(
    call: Call, tiny_model: Path, tmp_path: Path
) -> None:
    pirate = make_adapter(tiny_model, tmp_path / "pirate", seed=1)
    port, _ = next_free_port(0)
    with _meanwhile(port, "sesame") as seen:
        code, out, _ = call("serve", str(pirate), "--port", str(port), "--key", "sesame")
    assert code == 0 and seen["status"] == 401
    assert seen["models"] == ["base", "pirate"] and seen["tokens"] <= 3
    assert f"http://127.0.0.1:{port}/v1" in out and "base, pirate" in out


def test_what_cannot_be_served_is_a_sentence(call: Call) -> None:
    code, _, err = call("serve", "no-such-run")
    assert code == 1 and "no-such-run" in err


def test_a_gguf_file_that_is_none_is_a_sentence(call: Call, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.gguf")
    for names in ((gone,), (gone, "pirate")):
        code, _, err = call("serve", *names)
        assert code == 1 and "There is no file" in err
