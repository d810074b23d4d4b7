"""What is right or wrong whatever the weights are: the chat template, and where answers end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.errors import ModelError
from studio.export.verify.asked import Asked
from studio.export.verify.reference import Reference
from studio.export.verify.verification import Check

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SHOWN_TOKENS = 6


def template_check(asked: Asked, reference: Reference) -> Check | None:
    """Whether the artifact's own template makes the same tokens of the same conversations; None
    where the run knows no conversations."""
    if not reference.rendered:
        return None
    for turns, expected in reference.rendered:
        try:
            found = asked.prompt_ids(list(turns))
        except ModelError as error:
            return Check("template", False, "The chat template of the artifact cannot be used: "
                         f"{error.message}")
        if found != expected:
            return Check("template", False, _difference(found, expected, reference.tokenizer))
    return Check("template", True, f"Its chat template makes the same tokens of "
                 f"{len(reference.rendered)} conversations.")


def _difference(found: list[int], expected: list[int], tokenizer: PreTrainedTokenizerBase) -> str:
    pairs = zip(found, expected, strict=False)
    first = next((at for at, (one, other) in enumerate(pairs) if one != other),
                 min(len(found), len(expected)))
    here, live = (str(tokenizer.decode(ids[first:first + _SHOWN_TOKENS]))
                  for ids in (found, expected))
    return (f"The chat template of the artifact makes other tokens of a conversation than the live "
            f"one: from token {first + 1} on it writes {here!r}, and the live one {live!r}. "
            "Answers in a chat will be worse than what was trained.")


def stop_check(asked: Asked, reference: Reference) -> Check | None:
    """Whether answers end at the token that the training taught; None where there is none."""
    token = reference.end_token
    if token is None:
        return None
    name = reference.tokenizer.convert_ids_to_tokens(token)
    if asked.ends_at(token):
        return Check("stop token", True, f"{asked.program} ends an answer at {name}.")
    return Check("stop token", False, f"{asked.program} does not end an answer at {name}, which "
                 "the training taught it to end with: it would go on and on. Name it as a stop "
                 f"token where you use it{_where(asked)}.")


def _where(asked: Asked) -> str:
    return {"llama.cpp": " (stop, or Ollama's PARAMETER stop)",
            "PEFT": " (eos_token_id of generate)"}.get(
                asked.program, " (eos_token_id in generation_config.json)")
