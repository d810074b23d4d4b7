"""The routes: HTTP in, rows to the engine, replies out, whole or as server-sent events.

On Starlette, which the page stands on too. Answers this PC only: the names in `ALLOWED_HOSTS`, no
permission for other sites' pages, and bodies only as application/json, which such a page cannot
send unasked.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.bootstrap.ports import HOST
from studio.errors import StudioError
from studio.serve.engine import Engine
from studio.serve.errors import (
    SERVER_FAILED,
    UNAUTHORIZED,
    UNSUPPORTED_MEDIA,
    ApiError,
    refused,
)
from studio.serve.inbox import ClientGone, Inbox
from studio.serve.model_list import model_routes
from studio.serve.replies import Answer, ChatShape, Shape, TextShape
from studio.serve.requests import ChatRequest, TextRequest, read_chat, read_text
from studio.serve.row import Piece, Question, Row
from studio.serve.served import ServedModels

ALLOWED_HOSTS = [HOST, "localhost"]
CLIENT_GONE = 499
RETRY_SECONDS = "2"


def build_api(engine: Engine, models: ServedModels, key: str = "") -> Starlette:
    """The application; a `key` is asked of every request where it is not empty."""
    api = _Api(engine, models)
    routes = [
        *model_routes(models.names),
        Route("/v1/chat/completions", api.chat, methods=["POST"]),
        Route("/v1/completions", api.text, methods=["POST"]),
    ]
    return guarded(routes, key)


def guarded(routes: list[Route], key: str) -> Starlette:
    """These routes for this PC alone, their errors in OpenAI's shape."""
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=ALLOWED_HOSTS)]
    if key:
        middleware.append(Middleware(_RequireKey, key=key))
    handlers: dict[Any, Any] = {StudioError: _explain, HTTPException: _explain_http,
                                ClientGone: _nobody, Exception: _explain_failure}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


class _Api:
    """The handlers of the routes."""

    def __init__(self, engine: Engine, models: ServedModels) -> None:
        self._engine = engine
        self._models = models

    async def chat(self, request: Request) -> Response:
        """Answer a conversation through the model's own template."""
        asked = read_chat(await json_body(request))
        shape = ChatShape(asked.model, with_chances=asked.alternatives is not None)
        return await self._reply(request, asked, shape)

    async def text(self, request: Request) -> Response:
        """Go on from a text."""
        asked = read_text(await json_body(request))
        shape = TextShape(asked.model, with_chances=asked.logprobs is not None)
        return await self._reply(request, asked, shape)

    def _questions(self, asked: ChatRequest | TextRequest) -> list[Question]:
        self._models.require(asked.model)
        session = self._engine.session()
        if isinstance(asked, ChatRequest):
            return [self._models.chat_question(asked, session)]
        return self._models.text_questions(asked, session)

    async def _reply(self, request: Request, asked: ChatRequest | TextRequest,
                     shape: Shape) -> Response:
        questions = await run_in_threadpool(self._questions, asked)
        prompt_tokens = sum(len(question.prompt_ids) for question in questions)
        inbox = Inbox()
        rows = [Row(question, inbox.deliver(index)) for index, question in enumerate(questions)]
        inbox.expect(rows)
        self._engine.submit(rows)
        if not asked.stream:
            answers = await _whole(request, inbox, len(rows))
            return JSONResponse(shape.whole(answers, prompt_tokens))
        # A failure before the first token still has a status of its own.
        first = await _first(request, inbox)
        return StreamingResponse(
            _events(inbox, first, shape, len(rows), prompt_tokens if asked.wants_usage else None),
            media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def json_body(request: Request) -> bytes:
    """The body of a request that says it is JSON. Raises ApiError for another kind."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(f"The body is {kind or 'of no kind'}, but must be application/json.",
                       "Send the header Content-Type: application/json.", status=UNSUPPORTED_MEDIA)
    return await request.body()


async def _first(request: Request, inbox: Inbox) -> tuple[int, Piece]:
    began = False
    try:
        index, piece = await inbox.next_while_connected(request)
        if piece.error is not None:
            raise piece.error
        began = True
    finally:
        if not began:
            inbox.abandon()
    return index, piece


async def _whole(request: Request, inbox: Inbox, count: int) -> list[Answer]:
    answers = [Answer() for _ in range(count)]
    try:
        while not inbox.is_complete:
            index, piece = await inbox.next_while_connected(request)
            if piece.error is not None:
                raise piece.error
            answers[index].add(piece)
    finally:
        inbox.abandon()
    return answers


async def _events(inbox: Inbox, first: tuple[int, Piece], shape: Shape, count: int,
                  counted_prompt_tokens: int | None) -> AsyncIterator[str]:
    """Chunks as server-sent events. Cancelled when the client goes, which ends its rows."""
    answers = [Answer() for _ in range(count)]
    try:
        for chunk in shape.first():
            yield _event(chunk)
        index, piece = first
        while True:
            if piece.error is not None:
                yield _event(piece.error.body())
                return
            grown = Answer()
            grown.add(piece)
            yield _event(shape.grown(index, answers[index], grown))
            answers[index].add(piece)
            if inbox.is_complete:
                break
            index, piece = await inbox.next()
        if counted_prompt_tokens is not None:
            yield _event(shape.usage(answers, counted_prompt_tokens))
        yield "data: [DONE]\n\n"
    finally:
        inbox.abandon()


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


class _RequireKey:
    """Refuses requests without `Authorization: Bearer KEY`."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._expected = f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers", [])).get(b"authorization", b"")
        if scope["type"] == "http" and not secrets.compare_digest(given, self._expected):
            error = ApiError("The key is missing or is not the one of this endpoint.",
                             "Send the header Authorization: Bearer KEY.",
                             status=UNAUTHORIZED, code="invalid_api_key")
            await _respond(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _respond(error: ApiError, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(error.body(), error.status, headers)


async def _explain(request: Request, error: Exception) -> Response:
    assert isinstance(error, StudioError)
    told = refused(error)
    return _respond(told, {"Retry-After": RETRY_SECONDS} if told.code == "busy" else None)


async def _explain_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _respond(ApiError(f"{request.method} {request.url.path}: {error.detail}.",
                             "Offered: /v1/models, /v1/chat/completions, /v1/completions.",
                             status=error.status_code), dict(error.headers or {}))


async def _explain_failure(request: Request, error: Exception) -> Response:
    """A mistake of the program: the server's log has its traceback."""
    return _respond(ApiError(f"The endpoint failed: {type(error).__name__}.",
                             status=SERVER_FAILED))


async def _nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)
