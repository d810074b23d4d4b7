"""Errors as clients of OpenAI's interface read them: a status and one JSON object."""

from __future__ import annotations

from typing import Any

from studio.errors import BusyError, StudioError

BAD_REQUEST, UNAUTHORIZED, NOT_FOUND, UNSUPPORTED_MEDIA = 400, 401, 404, 415
SERVER_FAILED, UNAVAILABLE = 500, 503


class ApiError(StudioError):
    """A refusal. `param` is the field of the request, `code` one of OpenAI's words."""

    def __init__(self, message: str, hint: str = "", *, status: int = BAD_REQUEST,
                 param: str | None = None, code: str | None = None) -> None:
        super().__init__(message, hint)
        self.status = status
        self.param = param
        self.code = code

    def body(self) -> dict[str, Any]:
        """{"error": {"message", "type", "param", "code"}}."""
        kind = "invalid_request_error" if self.status < SERVER_FAILED else "server_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param,
                          "code": self.code}}


def no_model(name: object, served: list[str]) -> ApiError:
    """A request names a model that is not served."""
    return ApiError(f"There is no model {name} here.", f"Served: {', '.join(served)}.",
                    status=NOT_FOUND, param="model", code="model_not_found")


def refused(error: StudioError) -> ApiError:
    """A mistake in what was asked, in the studio's words."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, BusyError):
        return unavailable(error)
    return ApiError(error.message, error.hint)


def unavailable(error: StudioError) -> ApiError:
    """The model is not there at the moment, through no fault of the request."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, BusyError):
        return ApiError(error.message, error.hint, status=UNAVAILABLE, code="busy")
    return ApiError(error.message, error.hint, status=SERVER_FAILED)
