"""A process that trains, and dies by SIGKILL where it is told to.

`python -m tests.training.killable`, on Linux.

Imports everything once and forks for each training, so that ten of them take seconds. Reads one
request a line, {"run", "home", "kill"}, and answers each with {"killed": bool, "operations": int}.
`kill` names the moment:

- {"file_operation": n}: before the n-th time that a file of the run is opened, renamed or removed
- {"asked": n}: when the training asks for the n-th time whether it shall end (every micro-batch)
- {"seconds": x}: after so long, whatever it does then
- {"place": name}: at one of `PLACES`, for the first time
"""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PLACES = ("inside the optimizer file", "before the mark", "before the rename", "after the rename",
          "while the oldest is deleted", "while evaluating", "inside an event",
          "before the result is renamed", "after the result is renamed")
_FILE_OPERATIONS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir")


def main() -> None:
    """Answer requests until the input ends."""
    import datasets  # noqa: F401 - imported once, before the forks
    import peft  # noqa: F401
    import torch
    import transformers  # noqa: F401

    from studio.training import loop  # noqa: F401
    from studio.training.methods.supervised import _trainer_class

    _trainer_class()
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # so that no fork looks through the libraries for garbage, or copies their memory
    _say("ready")
    for line in sys.stdin:
        _say(json.dumps(_answer(json.loads(line))))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _train(request, writing)
    os.close(writing)
    if "seconds" in request["kill"]:
        time.sleep(request["kill"]["seconds"])
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading) as pipe:
        said = pipe.read()  # until the child has ended, one way or the other
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return {"killed": killed, "operations": int(said or 0), "status": status}


def _train(request: dict[str, Any], writing: int) -> None:
    """In the child; never comes back."""
    from studio.runs import Run
    from studio.settings import Settings
    from studio.training.loop import train

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    run = Run(Path(request["run"]))
    executioner = _Executioner(run, request["kill"])
    sys.addaudithook(executioner.on_audit)
    if request["kill"].get("place") == "inside the optimizer file":
        _die_inside_the_optimizer_file()
    code = 0
    try:
        train(run.recipe, run, executioner.asked, resume=True,
              settings=Settings(home=Path(request["home"]), offline=True))
    except BaseException:  # noqa: BLE001 - a forked child never returns into its parent's code
        import traceback

        traceback.print_exc()
        code = 1
    os.write(writing, str(executioner.operations).encode())
    os._exit(code)


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Executioner:
    """Counts what happens in the run and kills the process at the moment that was asked for."""

    def __init__(self, run: Any, kill: dict[str, Any]) -> None:
        self._run = run
        self._kill = kill
        self._times_asked = 0
        self._renamed = ""
        self.operations = 0

    def asked(self) -> bool:
        """The training's stop; never asks it to end."""
        self._times_asked += 1
        place = self._kill.get("place")
        if self._times_asked == self._kill.get("asked"):
            _die()
        state = self._run.story().state if place in ("while evaluating", "inside an event") else ""
        if place == "while evaluating" and state == "evaluating":
            _die()
        if place == "inside an event" and state == "training":
            with (self._run.path / "events.jsonl").open("ab") as file:
                file.write(b'{"type": "log", "step": 9')
            _die()
        return False

    def on_audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Called by Python before each operation."""
        if event not in _FILE_OPERATIONS or str(self._run.path) not in str(arguments[0]):
            return
        self.operations += 1
        if self.operations == self._kill.get("file_operation"):
            _die()
        moments: dict[str, Callable[[str], bool]] = {
            "before the mark": lambda path: (
                event == "open" and ".partial-checkpoint" in path
                and ".partial-complete.json" in path),
            "before the rename": lambda path: (
                event == "os.rename" and Path(path).name.startswith(".partial-checkpoint")),
            "after the rename": lambda path: (
                event == "open" and ".partial-checkpoint" in self._renamed),
            "while the oldest is deleted": lambda path: (
                event == "os.rmdir" and Path(path).name.startswith("checkpoint-")),
            "before the result is renamed": lambda path: (
                event == "os.rename" and Path(path).name.startswith(".partial-adapter")),
            "after the result is renamed": lambda path: (
                event == "open" and ".partial-adapter" in self._renamed),
        }
        moment = moments.get(self._kill.get("place", ""))
        if moment is not None and moment(str(arguments[0])):
            _die()
        if event == "os.rename":
            self._renamed = Path(str(arguments[0])).name


def _die_inside_the_optimizer_file() -> None:
    """torch writes files from C++, where no hook of Python's is called: half of one is left."""
    import torch

    save = torch.save

    def save_half(value: Any, target: Any, *args: Any, **options: Any) -> None:
        if not str(target).endswith("optimizer.pt"):
            save(value, target, *args, **options)
            return
        whole = io.BytesIO()
        save(value, whole, *args, **options)
        Path(target).write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
        _die()

    torch.save = save_half


if __name__ == "__main__":
    main()
