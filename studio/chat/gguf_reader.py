"""How a GGUF file reads a conversation: through its own template and tokenizer, by llama.cpp.

Special tokens that a person typed are read as text, as with any other base: llama.cpp would take
them for the template's own, so they are put in behind its template, where SentencePiece
tokenizers write a space before them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.chat.prompt import require_question, with_thought_apart
from studio.errors import ModelError
from studio.models.thoughts import opened_thought

if TYPE_CHECKING:
    from studio.chat.prompt import Message
    from studio.models.llama_server import LlamaServer

_THOUGHTS = "reasoning_content"
_OF_TEMPLATE = "Jinja Exception: "
_FIRST_MARK = 0xF0000
"""Of the private use area: a character that stands for a typed special token meanwhile."""


@dataclass(frozen=True)
class GgufPrompt:
    """Token ids up to where the answer begins, and the tag of a thought that the template began."""

    ids: list[int]
    opening: str


class GgufReader:
    """Asks `llama`. Every method raises ModelError where its process has ended."""

    def __init__(self, llama: LlamaServer) -> None:
        import httpx

        self._llama = llama
        self._client = httpx.Client(**llama.client_options)
        about = self._asked("GET", "/props")
        self.context_tokens = int(about["default_generation_settings"]["n_ctx"])
        """Of prompt and answer together."""
        self._has_place_for_thoughts = _THOUGHTS in str(about.get("chat_template", ""))

    def close(self) -> None:
        """Nothing can be asked any more."""
        self._client.close()

    def prompt(self, history: list[Message], column: str) -> GgufPrompt:
        """Raises DataError for an empty prompt, and ModelError where the template refuses the
        conversation."""
        require_question(history, column)
        turns = [with_thought_apart(turn) for turn in history] \
            if self._has_place_for_thoughts else history
        contents = {text for turn in turns for key, text in turn.items() if key != "role"}
        typed = sorted({control for text in contents for control in self._typed_controls(text)},
                       key=len, reverse=True)
        marks = {chr(_FIRST_MARK + number): text for number, text in enumerate(typed)}
        text = self._rendered([_replaced(turn, marks) for turn in turns], column)
        ids = self._ids(text, marks)
        if not ids:  # llama.cpp would go down with it
            raise ModelError(f"The chat template of the file makes nothing of the conversation of "
                             f"{column}.", "Write the GGUF of a model that has a chat template.")
        return GgufPrompt(ids, opened_thought(text))

    def tokens(self, text: str) -> list[int]:
        """Ids of `text`, nothing added; special tokens in it are text."""
        return [piece["id"] for piece in self._pieces(text, parse_special=False)]

    def _typed_controls(self, text: str) -> set[str]:
        """The special tokens that llama.cpp would find in it."""
        found = self._pieces(text, parse_special=True)
        plain = set(self.tokens(text))
        return {piece["piece"] for piece in found
                if piece["id"] not in plain and isinstance(piece["piece"], str)
                and piece["piece"] in text and self.tokens(piece["piece"]) != [piece["id"]]}

    def _rendered(self, turns: list[Message], column: str) -> str:
        try:
            return str(self._asked("POST", "/apply-template", messages=turns)["prompt"])
        except _Refusal as error:
            # Of several lines the last one says what the template did not like.
            said = error.message.rpartition(_OF_TEMPLATE)[2].strip().splitlines()[-1]
            raise ModelError(
                f"The conversation of {column} cannot be answered: {said.rstrip('.')}.",
                "Some templates take no system prompt, or want user and assistant to alternate.",
            ) from error

    def _ids(self, text: str, marks: dict[str, str]) -> list[int]:
        """Of a rendered prompt; what a mark stands for is read as text."""
        parts = re.split(f"([{''.join(marks)}])", text) if marks else [text]
        ids: list[int] = []
        for number, part in enumerate(parts):
            if part in marks:
                ids += self.tokens(marks[part])
            elif part or number == 0:
                ids += [piece["id"] for piece in self._pieces(
                    part, parse_special=True, add_special=number == 0)]
        return ids

    def _pieces(self, text: str, *, parse_special: bool,
                add_special: bool = False) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._asked(
            "POST", "/tokenize", content=text, add_special=add_special,
            parse_special=parse_special, with_pieces=True)["tokens"]
        return found

    def _asked(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        import httpx

        try:
            reply = self._client.request(method, path, json=body or None)
        except httpx.TransportError as error:
            raise self._llama.ended() from error
        found: dict[str, Any] = reply.json()
        if not reply.is_success:
            raise _Refusal(refusal_of(found))
        return found


class _Refusal(ModelError):
    """llama.cpp's own words."""


def refusal_of(reply: dict[str, Any]) -> str:
    """What llama.cpp says in a reply that is an error."""
    error = reply.get("error", reply)
    return str(error.get("message", error) if isinstance(error, dict) else error)


def _replaced(turn: Message, marks: dict[str, str]) -> Message:
    """With a mark in place of each typed special token."""
    changed = dict(turn)
    for mark, text in marks.items():
        changed = {key: value if key == "role" else value.replace(text, mark)
                   for key, value in changed.items()}
    return changed
