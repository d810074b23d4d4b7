"""The routes before llama.cpp's own server: who may ask, and for which model.

llama.cpp lets pages of any site read its replies, takes every model's name for its own, and has
no guard against foreign host names; what is answered, and in which shape, is its work. A model's
name decides how much each loaded adapter counts, which llama.cpp takes with each request.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from studio.models.llama_server import told_strengths
from studio.serve.app import guarded, json_body
from studio.serve.errors import UNAVAILABLE, ApiError, no_model
from studio.serve.inbox import ClientGone
from studio.serve.model_list import model_routes
from studio.serve.requests import read_json

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 10
LOOK_SECONDS = 0.1
_EVENT = "data: {"
"""A line of a stream that holds JSON; the last one does not."""


Strengths = list[float]
"""Of the adapters, in the order in which llama.cpp loaded them."""


def build_gguf_api(inner_url: str, inner_key: str, models: Mapping[str, Strengths],
                   key: str = "") -> Starlette:
    """Passes requests for one of `models` on to llama.cpp at `inner_url`, .../v1."""
    import httpx

    inner = httpx.AsyncClient(base_url=inner_url,
                              headers={"Authorization": f"Bearer {inner_key}"}, trust_env=False,
                              timeout=httpx.Timeout(None, connect=CONNECT_SECONDS))
    api = _Forwarding(inner, models)
    return guarded([*model_routes(list(models)),
                    Route("/v1/chat/completions", api.completions, methods=["POST"]),
                    Route("/v1/completions", api.completions, methods=["POST"])], key)


class _Forwarding:
    """The handlers of the routes."""

    def __init__(self, inner: httpx.AsyncClient, models: Mapping[str, Strengths]) -> None:
        self._inner = inner
        self._models = models

    async def completions(self, request: Request) -> Response:
        """Chat or text, whole or streamed."""
        asked = read_json(await json_body(request))
        model = asked.get("model") if isinstance(asked, dict) else None
        # What a client says of adapters by itself does not count: the name does.
        told = told_strengths(self._strengths(model))
        reply = await self._asked(request, json.dumps({**asked, "lora": told}).encode())
        kind = reply.headers.get("content-type", "")
        if kind.startswith("text/event-stream"):
            return StreamingResponse(_events_of(reply, str(model)), reply.status_code,
                                     media_type=kind)
        found = json.loads(await reply.aread())
        return JSONResponse(_named(found, str(model)), reply.status_code)

    def _strengths(self, model: Any) -> Strengths:
        if not isinstance(model, str) or model not in self._models:
            raise no_model(model, list(self._models))
        return self._models[model]

    async def _asked(self, request: Request, body: bytes) -> httpx.Response:
        """llama.cpp's reply as soon as it begins. ClientGone, and no work any more, for who went.
        """
        import httpx

        sending = asyncio.create_task(self._inner.send(self._inner.build_request(
            "POST", request.url.path.removeprefix("/v1"), content=body,
            headers={"Content-Type": "application/json"}), stream=True))
        try:
            while not (await asyncio.wait([sending], timeout=LOOK_SECONDS))[0]:
                if await request.is_disconnected():
                    raise ClientGone
            return sending.result()
        except httpx.TransportError as error:
            raise ApiError("llama.cpp has ended.", "Start the endpoint again.",
                           status=UNAVAILABLE) from error
        finally:
            sending.cancel()


async def _events_of(reply: httpx.Response, model: str) -> AsyncIterator[str]:
    """Cancelled when the client goes: closing the reply is what ends llama.cpp's work."""
    try:
        async for line in reply.aiter_lines():
            if line.startswith(_EVENT):
                told = json.loads(line.partition(" ")[2])
                line = f"data: {json.dumps(_named(told, model), ensure_ascii=False)}"
            yield f"{line}\n"
    finally:
        await reply.aclose()


def _named(reply: Any, model: str) -> Any:
    """With the name that was asked for: llama.cpp calls itself by the file's."""
    return {**reply, "model": model} if isinstance(reply, dict) and "model" in reply else reply
