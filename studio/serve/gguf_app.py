"""The routes before llama.cpp's own server: who may ask, and for which model.

llama.cpp lets pages of any site read its replies, takes every model's name for its own, and has
no guard against foreign host names; what is answered, and in which shape, is its work.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from studio.serve.app import guarded, json_body
from studio.serve.errors import UNAVAILABLE, ApiError, no_model
from studio.serve.requests import read_json

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 10


def build_gguf_api(inner_url: str, inner_key: str, name: str, key: str = "") -> Starlette:
    """Passes requests for the model `name` on to llama.cpp at `inner_url`, .../v1."""
    import httpx

    inner = httpx.AsyncClient(base_url=inner_url,
                              headers={"Authorization": f"Bearer {inner_key}"}, trust_env=False,
                              timeout=httpx.Timeout(None, connect=CONNECT_SECONDS))
    api = _Forwarding(inner, name)
    return guarded([Route("/v1/models", api.models, methods=["GET"]),
                    Route("/v1/chat/completions", api.completions, methods=["POST"]),
                    Route("/v1/completions", api.completions, methods=["POST"])], key)


class _Forwarding:
    """The handlers of the routes."""

    def __init__(self, inner: httpx.AsyncClient, name: str) -> None:
        self._inner = inner
        self._name = name

    async def models(self, request: Request) -> Response:
        """llama.cpp's own list, of one model."""
        return await self._passed_on(self._inner.build_request("GET", "/models"))

    async def completions(self, request: Request) -> Response:
        """Chat or text, whole or streamed."""
        body = await json_body(request)
        asked = read_json(body)
        model = asked.get("model") if isinstance(asked, dict) else None
        if model != self._name:
            raise no_model(model, [self._name])
        return await self._passed_on(self._inner.build_request(
            "POST", request.url.path.removeprefix("/v1"), content=body,
            headers={"Content-Type": "application/json"}))

    async def _passed_on(self, request: httpx.Request) -> Response:
        import httpx

        try:
            reply = await self._inner.send(request, stream=True)
        except httpx.TransportError as error:
            raise ApiError("llama.cpp has ended.", "Start the endpoint again.",
                           status=UNAVAILABLE) from error
        return StreamingResponse(_body_of(reply), reply.status_code,
                                 media_type=reply.headers.get("content-type"))


async def _body_of(reply: httpx.Response) -> AsyncIterator[bytes]:
    """Cancelled when the client goes: closing the reply is what ends llama.cpp's work."""
    try:
        async for part in reply.aiter_raw():
            yield part
    finally:
        await reply.aclose()
