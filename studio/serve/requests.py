"""What a client may ask, read strictly: what is not offered is refused and never passed over.

The fields are those of OpenAI's chat and text completions; `top_k`, `min_p`, and
`repetition_penalty` are taken as well, as other local servers do.
"""

from __future__ import annotations

import json
import secrets
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.chat.prompt import Message
from studio.chat.sampling import Sampling
from studio.serve.errors import ApiError

TEXT_ANSWER_TOKENS = 16
"""OpenAI's default for text completions; a chat answer may take the whole context."""
MOST_STOPS = 4
_NO_PENALTY: tuple[Any, ...] = (None, 0)
NOT_OFFERED: dict[str, tuple[Any, ...]] = {
    "tools": (None, []), "functions": (None, []), "function_call": (None, "none", "auto"),
    "tool_choice": (None, "none", "auto"), "response_format": (None, {"type": "text"}),
    "logit_bias": (None, {}), "frequency_penalty": _NO_PENALTY, "presence_penalty": _NO_PENALTY,
    "n": (None, 1), "best_of": (None, 1), "echo": (None, False), "suffix": (None, ""),
    "audio": (None,), "modalities": (None, ["text"]), "prediction": (None,),
    "web_search_options": (None,), "reasoning_effort": (None,), "verbosity": (None,),
}
"""Fields of OpenAI's that are not offered, and the values that ask for nothing."""
WITHOUT_EFFECT = ("user", "metadata", "store", "service_tier", "safety_identifier",
                  "prompt_cache_key", "prompt_cache_retention", "parallel_tool_calls")
"""Book-keeping of OpenAI's own platform."""


class _StreamOptions(BaseModel):
    include_usage: bool = False
    include_obfuscation: bool = False


class _Completion(BaseModel):
    """What both kinds have in common. A value of None is one that was not given."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = Field(default=None, ge=1)

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the counts."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end an answer."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(given) > MOST_STOPS or not all(given):
            raise ApiError(f"stop has {len(given)} texts, but may have 1 to {MOST_STOPS}, none of "
                           "them empty.", param="stop")
        return tuple(given)

    def sampling(self, most_tokens: int) -> Sampling:
        """How the tokens are chosen: OpenAI's defaults, and a seed by chance unless one is given.

        Raises StudioError for a value that cannot be.
        """
        given = {name: getattr(self, name)
                 for name in ("top_k", "min_p", "repetition_penalty")
                 if getattr(self, name) is not None}
        return Sampling(**{
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "top_p": 1.0 if self.top_p is None else self.top_p, "top_k": 0,
            "seed": secrets.randbelow(2**31) if self.seed is None else self.seed,
            "max_new_tokens": most_tokens, "stop_strings": self.stops, **given,
        })


class _Part(BaseModel):
    type: Literal["text"]
    text: str


class _ChatMessage(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part]

    def plain(self) -> Message:
        """As the chat template takes it; a developer's message is a system prompt."""
        content = self.content if isinstance(self.content, str) else "".join(
            part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": content}


class ChatRequest(_Completion):
    """The body of /v1/chat/completions."""

    messages: list[_ChatMessage]
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    @property
    def history(self) -> list[Message]:
        """The conversation so far."""
        return [message.plain() for message in self.messages]

    @property
    def answer_tokens(self) -> int | None:
        """The longest answer, or None for what the context has room for."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def alternatives(self) -> int | None:
        """How many likely tokens to tell beside each, or None for no log-probabilities."""
        if not self.logprobs:
            if self.top_logprobs:
                raise ApiError("top_logprobs is given without logprobs.", "Set logprobs to true.",
                               param="top_logprobs")
            return None
        return self.top_logprobs or 0


class TextRequest(_Completion):
    """The body of /v1/completions: text, several texts, or token ids."""

    prompt: str | list[str] | list[int] | list[list[int]]
    logprobs: int | None = Field(default=None, ge=0, le=20)

    @property
    def prompts(self) -> list[str | list[int]]:
        """One per answer."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [self.prompt]
        return list(self.prompt)  # type: ignore[arg-type]


_Known = TypeVar("_Known", bound=_Completion)


def read_json(body: bytes) -> Any:
    """Raises ApiError for what is not JSON."""
    try:
        return json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ApiError(f"The body is not valid JSON: {error}.") from error


def read_chat(body: bytes) -> ChatRequest:
    """Raises ApiError for what is not JSON, not known, or not offered."""
    return _read(ChatRequest, body)


def read_text(body: bytes) -> TextRequest:
    """Raises ApiError for what is not JSON, not known, or not offered."""
    return _read(TextRequest, body)


def _read(kind: type[_Known], body: bytes) -> _Known:
    values = read_json(body)
    if not isinstance(values, dict):
        raise ApiError("The body is not a JSON object.")
    for name in WITHOUT_EFFECT:
        values.pop(name, None)
    for name, nothing in NOT_OFFERED.items():
        if (given := values.pop(name, None)) not in nothing:
            raise ApiError(f"{name} is {str(given)[:40]}, which is not offered here.",
                           "Leave it out.", param=name, code="unsupported_parameter")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> ApiError:
    """One mistake, by the name of its field: of several readings, the one that came furthest."""
    found = max(error.errors(include_url=False, include_context=False),
                key=lambda one: len(one["loc"]))
    # A field that may be of several kinds has the kind's name, such as list[int], on its way.
    place = [part for part in found["loc"] if isinstance(part, int)
             or (part.isidentifier() and part not in ("str", "int"))]
    param = str(place[0]) if place else None
    words = ".".join(map(str, place))
    if found["type"] == "extra_forbidden":
        return ApiError(f"The field {words} is not known.", "Leave it out.", param=param,
                        code="unknown_parameter")
    return ApiError(f"{words}: {found['msg']}.", param=param)
