"""llama.cpp's own server over a GGUF file, in a process beside this one.

Starts and ends the process, and knows where it answers; what is asked of it is others' work.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from studio.bootstrap.ports import HOST, next_free_port
from studio.child import Child, studio_module
from studio.errors import ModelError, Stopped
from studio.models.gguf_file import checked_gguf
from studio.progress import ShouldStop, never

CONTEXT_TOKENS = 8192
"""Shared by the requests at work; a model that reads less has less. llama.cpp takes the memory
for all of it at once, so the 128k tokens of some models are not asked for."""
LOOK_SECONDS = 0.1
ENDING_SECONDS = 2.0
_ERROR = " E "
"""Between the time and the text of a line of llama.cpp's log."""
_WRITE_AGAIN = "Write the GGUF again; if that does not help, try another type."
_OTHER_BASE = ("Choose the GGUF of the base that the adapters were trained on, or write the "
               "adapters again.")


class LlamaServer:
    """Loads `gguf`, and the GGUF LoRA files `adapters`, at no strength; ready once it is made.

    Answers only who sends `key`. Raises ModelError where llama.cpp cannot read the files, and
    Stopped. Leaving it as a context, or `close`, ends the process, and its memory with it.
    """

    def __init__(self, gguf: Path, adapters: Sequence[Path] = (), *, rows_at_once: int = 1,
                 context_tokens: int = CONTEXT_TOKENS, stop: ShouldStop = never) -> None:
        self._gguf = checked_gguf(gguf)
        self.key = secrets.token_hex(16)
        port, _ = next_free_port(0)
        self.url = f"http://{HOST}:{port}"
        request = {"gguf": str(self._gguf), "adapters": list(map(str, adapters)),
                   "name": self._gguf.stem, "port": port, "key": self.key,
                   "context_tokens": context_tokens, "rows_at_once": rows_at_once,
                   "threads": _threads(), "parent": os.getpid()}
        with ExitStack() as opened:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
            file = folder / "request.json"
            file.write_text(json.dumps(request), encoding="utf-8")
            self._child = opened.enter_context(Child(
                studio_module("studio.models.llama_process", str(file)), cwd=folder))
            self._wait(stop, _OTHER_BASE if adapters else _WRITE_AGAIN)
            self._open = opened.pop_all()

    def __enter__(self) -> LlamaServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def client_options(self) -> dict[str, Any]:
        """What a client of httpx is made with: it asks only this server, however long that takes.
        """
        return {"base_url": self.url, "headers": {"Authorization": f"Bearer {self.key}"},
                "trust_env": False, "timeout": None, "verify": False}  # nothing is encrypted here

    @property
    def process_id(self) -> int:
        """The number that the system gave its process."""
        return self._child.process_id

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone, though nobody closed it."""
        return self._child.has_ended(0)

    def ended(self) -> ModelError:
        """What to say where it ended while it was needed."""
        self._child.has_ended(ENDING_SECONDS)  # its connections close before the system knows
        return ModelError(f"llama.cpp has ended while it had {self._gguf.name} loaded.",
                          "Ask again: it is started anew. If it ends again, memory may be short.")

    def close(self) -> None:
        """End the process. A second time is no error."""
        self._open.close()

    def _wait(self, stop: ShouldStop, hint: str) -> None:
        """Returns when it answers."""
        import httpx

        while not self._child.has_ended(LOOK_SECONDS):
            if stop():
                raise Stopped(f"The loading of {self._gguf.name} was stopped.",
                              "Start it again any time.")
            try:
                if httpx.get(f"{self.url}/health", trust_env=False).is_success:
                    return
            except httpx.TransportError:
                continue
        raise ModelError(f"llama.cpp cannot serve {self._gguf.name}: {_cause(self._child)}.", hint)


def told_strengths(strengths: Sequence[float]) -> list[dict[str, Any]]:
    """What a request says as "lora": how much each adapter counts, in the order of loading."""
    return [{"id": number, "scale": strength} for number, strength in enumerate(strengths)]


def _cause(child: Child) -> str:
    """The first error in its log, behind the name of the function: the others follow from it."""
    errors = (line.partition(_ERROR)[2] for line in child.said.splitlines() if _ERROR in line)
    first = next(errors, child.last_words)
    return (first.partition(": ")[2] or first).rstrip(".")


def _threads() -> int:
    """All physical cores but one: llama.cpp's threads spin while they wait for each other."""
    import psutil

    return max(1, (psutil.cpu_count(logical=False) or 2) - 1)
