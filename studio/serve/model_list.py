"""The routes that tell which models an endpoint serves."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from studio.serve.errors import no_model

_OWNER = "adapter-studio"
"""Of every model, as clients are told."""


def model_routes(names: list[str]) -> list[Route]:
    """All of them as a list, and each by its name."""
    models = _ModelList(names)
    return [Route("/v1/models", models.list_models, methods=["GET"]),
            Route("/v1/models/{name:path}", models.one_model, methods=["GET"])]


class _ModelList:
    """The handlers of the routes."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._created = int(time.time())

    async def list_models(self, request: Request) -> Response:
        """Every model by its name."""
        return JSONResponse({"object": "list",
                             "data": [self._model(name) for name in self._names]})

    async def one_model(self, request: Request) -> Response:
        """One of them."""
        name = request.path_params["name"]
        if name not in self._names:
            raise no_model(name, self._names)
        return JSONResponse(self._model(name))

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": _OWNER}
