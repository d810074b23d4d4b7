"""One model's answers to many prompts, in batches: what scorers need.

Greedy, so that a score is the same every time. Streaming to a person is `session.py`.
"""

from __future__ import annotations

from pathlib import Path

from studio.chat.prompt import Message
from studio.chat.sampling import Sampling
from studio.chat.session import ChatSession, Column
from studio.progress import Progress, Step, silent

ROWS_AT_ONCE = 20


def answer_all(
    session: ChatSession, adapter_path: Path | None, conversations: list[list[Message]], *,
    max_new_tokens: int, progress: Progress = silent, what: str = "Answering",
) -> list[str]:
    """The answers of the base (`adapter_path` None) or of an adapter, in the order given.

    The session's columns are replaced. Raises what `ChatSession.answer` raises.
    """
    sampling = Sampling(temperature=0, max_new_tokens=max_new_tokens)
    answers: list[str] = []
    for start in range(0, len(conversations), ROWS_AT_ONCE):
        batch = conversations[start:start + ROWS_AT_ONCE]
        names = [f"prompt {start + number + 1}" for number in range(len(batch))]
        session.show([Column(name, adapter_path) for name in names])
        for _ in session.answer(dict(zip(names, batch, strict=True)), sampling):
            progress(Step(what, start, len(conversations), "prompts"))
        answers += [session.turns[name].text for name in names]
    progress(Step(what, len(conversations), len(conversations), "prompts"))
    return answers
