"""What goes back to a client: OpenAI's objects as plain dictionaries, whole or in chunks."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from studio.serve.row import Finish, Piece, TokenChance


@dataclass
class Answer:
    """One answer put together from its pieces."""

    text: str = ""
    chances: list[TokenChance] = field(default_factory=list)
    tokens: int = 0
    finish: Finish = ""

    def add(self, piece: Piece) -> None:
        """Take what the answer grew by."""
        self.text += piece.text
        self.chances += piece.chances
        self.tokens = piece.tokens
        self.finish = piece.finish


class _Shape:
    """What both kinds share: an id, a time, a model, and the counts."""

    whole_kind = chunk_kind = id_prefix = ""

    def __init__(self, model: str, *, with_chances: bool) -> None:
        self._model = model
        self._with_chances = with_chances
        self._id = f"{self.id_prefix}-{secrets.token_hex(12)}"
        self._created = int(time.time())

    def usage(self, answers: list[Answer], prompt_tokens: int) -> dict[str, Any]:
        """The last chunk, with the counts."""
        return self._reply(self.chunk_kind, [], usage=_usage(answers, prompt_tokens))

    def _reply(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model,
                "choices": choices, **more}


class ChatShape(_Shape):
    """Replies of /v1/chat/completions."""

    whole_kind, chunk_kind, id_prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def whole(self, answers: list[Answer], prompt_tokens: int) -> dict[str, Any]:
        """The reply to a request without streaming."""
        choices = [{"index": index, "finish_reason": answer.finish,
                    "message": {"role": "assistant", "content": answer.text, "refusal": None},
                    "logprobs": self._chances(answer)} for index, answer in enumerate(answers)]
        return self._reply(self.whole_kind, choices, usage=_usage(answers, prompt_tokens))

    def first(self) -> list[dict[str, Any]]:
        """The role comes first."""
        return [self._reply(self.chunk_kind, [{
            "index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None,
            "finish_reason": None}])]

    def grown(self, index: int, answer: Answer, grown: Answer) -> dict[str, Any]:
        """A chunk: `answer` as it was, and what it grew by."""
        return self._reply(self.chunk_kind, [{
            "index": index, "delta": {"content": grown.text} if grown.text else {},
            "logprobs": self._chances(grown), "finish_reason": grown.finish or None}])

    def _chances(self, answer: Answer) -> dict[str, Any] | None:
        if not self._with_chances:
            return None
        content = [{**_token(one.text, one.log_probability),
                    "top_logprobs": [_token(text, value) for text, value in one.likeliest]}
                   for one in answer.chances]
        return {"content": content, "refusal": None}


class TextShape(_Shape):
    """Replies of /v1/completions."""

    whole_kind = chunk_kind = "text_completion"
    id_prefix = "cmpl"

    def whole(self, answers: list[Answer], prompt_tokens: int) -> dict[str, Any]:
        """The reply to a request without streaming."""
        choices = [self._choice(index, answer, 0) for index, answer in enumerate(answers)]
        return self._reply(self.whole_kind, choices, usage=_usage(answers, prompt_tokens))

    def first(self) -> list[dict[str, Any]]:
        """Nothing."""
        return []

    def grown(self, index: int, answer: Answer, grown: Answer) -> dict[str, Any]:
        """A chunk: `answer` as it was, and what it grew by."""
        offset = sum(len(one.text) for one in answer.chances)
        return self._reply(self.chunk_kind, [self._choice(index, grown, offset)])

    def _choice(self, index: int, answer: Answer, offset: int) -> dict[str, Any]:
        return {"index": index, "text": answer.text, "finish_reason": answer.finish or None,
                "logprobs": _columns(answer.chances, offset) if self._with_chances else None}


Shape = ChatShape | TextShape


def _token(text: str, log_probability: float) -> dict[str, Any]:
    """`bytes` is None for a token that is a part of a character."""
    return {"token": text, "logprob": log_probability,
            "bytes": None if "\ufffd" in text else list(text.encode("utf-8"))}


def _columns(chances: list[TokenChance], offset: int) -> dict[str, Any]:
    """The older shape: one list for each property."""
    offsets = []
    for one in chances:
        offsets.append(offset)
        offset += len(one.text)
    return {"tokens": [one.text for one in chances],
            "token_logprobs": [one.log_probability for one in chances],
            "top_logprobs": [dict(one.likeliest) for one in chances], "text_offset": offsets}


def _usage(answers: list[Answer], prompt_tokens: int) -> dict[str, int]:
    answered = sum(answer.tokens for answer in answers)
    return {"prompt_tokens": prompt_tokens, "completion_tokens": answered,
            "total_tokens": prompt_tokens + answered}
