"""A GGUF file in llama.cpp, in a process of its own: answers and is read.

llama.cpp gives the distribution behind a prompt, before sampling changes it, for the likeliest
tokens; so an answer is read by one request for each of its tokens, the text before being kept from
the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Waiting
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from studio.chat.gguf_reader import GgufReader, refusal_of
from studio.chat.prompt import Message
from studio.errors import ExportError
from studio.export.output import end_if_stopped
from studio.export.verify.asked import Answer
from studio.export.verify.compare import Listed
from studio.models.llama_server import LlamaServer, told_strengths
from studio.progress import Progress, ShouldStop, Step, never

CONTEXT_TOKENS = 4096
"""More than any question with its answer; llama.cpp takes the memory for all of it at once."""
_LISTED = 1000
"""Of the likeliest tokens at each place: all but a thousandth of what a trained model expects, and
a hundredth of a second to write and to read."""
_LOOK_SECONDS = 0.2
_FLOATS = ("all F32", "F32", "F16", "BF16")
_ENDS_WITHIN_TOKENS = 4


class LlamaSide:
    """Loads `gguf`, with the GGUF LoRA files `adapters` at full strength.

    Raises ModelError where llama.cpp cannot read them, and Stopped. Leaving it as a context ends
    the process.
    """

    program = "llama.cpp"

    def __init__(self, gguf: Path, adapters: Sequence[Path] = (), *, progress: Progress,
                 stop: ShouldStop) -> None:
        import httpx

        progress(Step(f"Loading {gguf.name} into llama.cpp"))
        self._name = (*adapters, gguf)[0].name
        self._strengths = told_strengths([1.0] * len(adapters))
        self._llama = LlamaServer(gguf, adapters, context_tokens=CONTEXT_TOKENS, stop=stop)
        with ExitStack() as opened:
            self._thread = opened.enter_context(ThreadPoolExecutor(1, "llama-verify"))
            self._client = opened.enter_context(httpx.Client(**self._llama.client_options))
            # The first to end, so that no request goes on.
            opened.enter_context(self._llama)
            self._reader = GgufReader(self._llama)
            opened.callback(self._reader.close)
            kind = str(self._asked("GET", "/props").json().get("model_ftype", ""))
            self.precision = "" if kind in _FLOATS else kind
            self._open = opened.pop_all()

    def __enter__(self) -> LlamaSide:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def prompt_ids(self, turns: list[Message]) -> list[int]:
        """As `Asked.prompt_ids`, by the template in the file."""
        return self._reader.prompt(turns, self._name).ids

    def answers(self, prompts: list[list[int]], most_tokens: int, *, progress: Progress,
                stop: ShouldStop) -> list[Answer]:
        """As `Asked.answers`, one after the other."""
        found = []
        for number, ids in enumerate(prompts):
            progress(Step(f"Asking {self.program}", number, len(prompts), "prompts"))
            reply = self._completed(stop, prompt=ids, n_predict=most_tokens)
            found.append(Answer(str(reply["content"]), reply["stop_type"] == "eos"))
        return found

    def reading(self, prompt_ids: list[int], answer_ids: list[int], stop: ShouldStop) -> Listed:
        """As `Asked.reading`."""
        import torch

        rows = [self._listed([*prompt_ids, *answer_ids[:count]], stop)
                for count in range(len(answer_ids))]
        shortest = min(map(len, rows))
        rows = [row[:shortest] for row in rows]
        return Listed(torch.tensor([[one["id"] for one in row] for row in rows]),
                      torch.tensor([[one["logprob"] for one in row] for row in rows]))

    def ends_at(self, token_id: int) -> bool:
        """As `Asked.ends_at`: the token is made certain, and the answer ends there or goes on."""
        found = self._completed(never, prompt=[token_id], n_predict=_ENDS_WITHIN_TOKENS,
                                logit_bias=[[token_id, 1000.0]])
        return bool(found["stop_type"] == "eos")

    def _listed(self, ids: list[int], stop: ShouldStop) -> list[dict[str, Any]]:
        found = self._completed(stop, prompt=ids, n_predict=1, n_probs=_LISTED)
        listed: list[dict[str, Any]] = found["completion_probabilities"][0]["top_logprobs"]
        return listed

    def _completed(self, stop: ShouldStop, **request: Any) -> dict[str, Any]:
        body = {"temperature": 0, "top_k": 1, "seed": 0, "cache_prompt": True,
                "lora": self._strengths, **request}
        reply = _wait(self._thread.submit(self._asked, "POST", "/completion", json=body), stop)
        found: dict[str, Any] = reply.json()
        if not reply.is_success:
            raise ExportError(f"llama.cpp cannot answer from {self._name}: {refusal_of(found)}",
                              "Write the GGUF again; if that does not help, try another type.")
        return found

    def _asked(self, method: str, path: str, **request: Any) -> Any:
        import httpx

        try:
            return self._client.request(method, path, **request)
        except httpx.TransportError as error:
            raise self._llama.ended() from error


def _wait(reply: Future[Any], stop: Callable[[], bool]) -> Any:
    """Its result. Raises Stopped; the request then ends with the process."""
    while True:
        end_if_stopped(stop)
        try:
            return reply.result(_LOOK_SECONDS)
        except Waiting:
            continue
