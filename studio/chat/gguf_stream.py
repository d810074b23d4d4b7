"""One answer of llama.cpp as it is written: what is asked of its server, and what comes back.

Which token comes next is llama.cpp's own choice, with its own samplers in the order in which the
other bases apply them. Threads are in `streaming.py`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.chat.gguf_reader import refusal_of
from studio.errors import ModelError
from studio.models.llama_server import told_strengths

if TYPE_CHECKING:
    from studio.chat.sampling import Sampling
    from studio.models.llama_server import LlamaServer
    from studio.progress import ShouldStop

LOOK_SECONDS = 0.1
_MOST_SEEDS = 2**32 - 1
"""llama.cpp's seeds have 32 bits, and the last of them means any."""
_EVENT = "data: "


@dataclass(frozen=True)
class Piece:
    """What an answer grew by, `seconds` after the start. `tokens` are those of the answer so far,
    the end token left out. `ended`: "" while it goes on, then "eos", "word" (a stop text) or
    "limit"."""

    seconds: float
    text: str
    tokens: int
    ended: str = ""


def request_of(ids: list[int], sampling: Sampling, most_tokens: int, *,
               adapter_strengths: Sequence[float] = (),
               keeps_what_was_read: bool) -> dict[str, Any]:
    """The body that llama.cpp answers: at most `most_tokens` behind the prompt `ids`.

    `adapter_strengths` are of the adapters in the order in which they were loaded.
    `keeps_what_was_read` goes on from what the prompt before had in common with this one.
    """
    chosen: dict[str, Any] = {"samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"],
                              "temperature": sampling.temperature, "top_k": sampling.top_k,
                              "top_p": sampling.top_p, "min_p": sampling.min_p}
    if sampling.is_greedy:
        chosen = {"samplers": ["penalties", "top_k"], "temperature": 0, "top_k": 1}
    return {**chosen, "prompt": ids, "n_predict": most_tokens, "stream": True,
            "cache_prompt": keeps_what_was_read, "seed": sampling.seed % _MOST_SEEDS,
            "repeat_penalty": sampling.repetition_penalty, "repeat_last_n": len(ids) + most_tokens,
            "stop": list(sampling.stop_strings),
            "lora": told_strengths(adapter_strengths)}


def stream_answer(llama: LlamaServer, request: dict[str, Any], put: Callable[[Piece], None],
                  should_stop: ShouldStop) -> None:
    """Put the pieces as they come, until the answer ends or `should_stop`.

    That is asked ten times a second; then the connection is closed, which llama.cpp heeds after
    the piece of the prompt that it reads. Raises ModelError where it refuses or has ended.
    """
    asyncio.run(_streamed(llama, request, put, should_stop))


async def _streamed(llama: LlamaServer, request: dict[str, Any], put: Callable[[Piece], None],
                    should_stop: ShouldStop) -> None:
    started = time.monotonic()

    async def read() -> None:
        async with aclosing(_events(llama, request)) as events:
            async for event in events:
                put(_piece(event, time.monotonic() - started))

    reading = asyncio.create_task(read())
    try:
        while not reading.done() and not should_stop():
            await asyncio.wait([reading], timeout=LOOK_SECONDS)
        if reading.done():
            reading.result()
    finally:
        reading.cancel()
        await asyncio.wait([reading])


async def _events(llama: LlamaServer,
                  request: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    """Server-sent events: a line for each, of JSON."""
    import httpx

    try:
        async with (
            httpx.AsyncClient(**llama.client_options) as client,
            client.stream("POST", "/completion", json=request) as reply,
        ):
            if not reply.is_success:
                raise _refused(json.loads(await reply.aread()))
            async for line in reply.aiter_lines():
                if line.startswith(_EVENT):
                    event = json.loads(line.removeprefix(_EVENT))
                    if "error" in event:
                        raise _refused(event)
                    yield event
    except httpx.TransportError as error:
        raise llama.ended() from error


def _refused(reply: dict[str, Any]) -> ModelError:
    return ModelError(f"llama.cpp does not answer: {refusal_of(reply)}",
                      "Change the sampling settings, or ask something else.")


def _piece(event: dict[str, Any], seconds: float) -> Piece:
    ended = str(event["stop_type"]) if event["stop"] else ""
    tokens = int(event["tokens_predicted"]) - (ended == "eos")
    return Piece(seconds, event["content"], tokens, ended)
