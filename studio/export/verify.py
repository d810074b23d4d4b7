"""Does the exported file answer as the model does? Asks llama.cpp and Transformers the same.

Greedy on both sides, compared token by token from the start. Two programs round differently, so
after the first different token the rest of an answer means little; that is why the agreement
counts tokens up to there.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from studio.chat.prompt import Message
from studio.chat.sampling import Sampling
from studio.chat.session import BASE_COLUMN, ChatSession, Column
from studio.child import Child
from studio.errors import ExportError
from studio.export import llama_process
from studio.export.output import end_if_stopped
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Model
from studio.settings import Settings

_LARGEST_CONTEXT = 8192


@dataclass(frozen=True)
class Comparison:
    """One prompt, both answers, and the share of tokens that agree before the first difference.

    `same_prompt`: both chat templates made the same number of tokens of it.
    """

    prompt: str
    gguf_answer: str
    model_answer: str
    agreement: float
    same_prompt: bool


@dataclass(frozen=True)
class VerifyReport:
    """All prompts. `identical` counts answers that are equal throughout."""

    comparisons: tuple[Comparison, ...]

    @property
    def identical(self) -> int:
        """Number of prompts answered the same to the last character."""
        return sum(one.gguf_answer.strip() == one.model_answer.strip()
                   for one in self.comparisons)

    @property
    def agreement(self) -> float:
        """Mean share of agreeing tokens, between 0 and 1."""
        return sum(one.agreement for one in self.comparisons) / len(self.comparisons)

    @property
    def sentence(self) -> str:
        """For a person."""
        if not all(one.same_prompt for one in self.comparisons):
            return ("llama.cpp turns the conversation into other tokens than Transformers does: "
                    "the chat template in the GGUF reads differently.")
        return (f"llama.cpp gave {self.identical} of {len(self.comparisons)} answers word for word "
                f"as Transformers; {self.agreement:.0%} of the tokens agree before the first "
                "difference.")


def ask_gguf(gguf: Path, messages: list[Message], max_new_tokens: int = 64, *,
             stop: ShouldStop = never) -> str:
    """llama.cpp's greedy answer to one conversation. Raises ExportError where it fails."""
    return ask_gguf_each(gguf, [messages], max_new_tokens, stop=stop)[0].text


@dataclass(frozen=True)
class GgufAnswer:
    """What llama.cpp said, and how many tokens it read before."""

    text: str
    prompt_tokens: int


def ask_gguf_each(gguf: Path, conversations: list[list[Message]], max_new_tokens: int, *,
                  stop: ShouldStop = never) -> list[GgufAnswer]:
    """llama.cpp's greedy answers, in a process that is gone afterwards."""
    if not gguf.is_file():
        raise ExportError(f"There is no file {gguf}.", "Write the GGUF first.")
    with tempfile.TemporaryDirectory() as folder:
        request_file, answers = Path(folder) / "request.json", Path(folder) / "answers.json"
        request = {"gguf": str(gguf.absolute()), "conversations": conversations,
                   "max_new_tokens": max_new_tokens, "threads": _threads(),
                   "context_tokens": _LARGEST_CONTEXT, "answers": str(answers)}
        request_file.write_text(json.dumps(request), encoding="utf-8")
        script = str(Path(llama_process.__file__).absolute())
        with Child([script, str(request_file)], cwd=Path(folder)) as llama:
            while not llama.has_ended():
                end_if_stopped(stop)
        if not llama.has_succeeded:
            raise ExportError(f"llama.cpp could not answer from {gguf.name}: {llama.last_words}",
                              "Write the GGUF again; if that does not help, try another type.")
        found = json.loads(answers.read_text(encoding="utf-8"))
    return [GgufAnswer(**one) for one in found]


def verify_gguf(gguf: Path, model_folder: Path, prompts: list[str], settings: Settings, *,
                max_new_tokens: int = 48, progress: Progress = silent,
                stop: ShouldStop = never) -> VerifyReport:
    """Ask both the same questions, at most `max_new_tokens` each; Transformers in float32."""
    if not prompts:
        raise ExportError("There is no prompt to compare answers with.", "Give at least one.")
    questions: list[list[Message]] = [[{"role": "user", "content": text}] for text in prompts]
    progress(Step("Asking llama.cpp"))
    from_gguf = ask_gguf_each(gguf, questions, max_new_tokens, stop=stop)
    session = ChatSession(Model(source=str(model_folder), dtype="float32"), [Column(BASE_COLUMN)],
                          settings, progress=progress)
    try:
        comparisons = []
        for number, (text, question) in enumerate(zip(prompts, questions, strict=True)):
            end_if_stopped(stop)
            progress(Step("Asking Transformers", number, len(prompts), "prompts"))
            answer = _greedy(session, question, max_new_tokens)
            theirs = from_gguf[number]
            agreement = _agreement(session.tokens(theirs.text.strip()),
                                   session.tokens(answer.strip()))
            same_prompt = session.turns[BASE_COLUMN].prompt_tokens == theirs.prompt_tokens
            comparisons.append(Comparison(text, theirs.text, answer, agreement, same_prompt))
    finally:
        session.close()
    return VerifyReport(tuple(comparisons))


def _greedy(session: ChatSession, question: list[Message], max_new_tokens: int) -> str:
    sampling = Sampling(temperature=0, max_new_tokens=max_new_tokens)
    return list(session.answer({BASE_COLUMN: question}, sampling))[-1][BASE_COLUMN]


def _agreement(some: list[int], others: list[int]) -> float:
    longest = max(len(some), len(others))
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1],
                                    zip(some, others, strict=False)))
    return same / longest if longest else 1.0


def _threads() -> int:
    """All physical cores but one: llama.cpp's threads spin while they wait for each other."""
    import psutil

    return max(1, (psutil.cpu_count(logical=False) or 2) - 1)
