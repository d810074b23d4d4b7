"""Checkpoints of a run: written beside and renamed into place, checked, thinned out, found again.

What is in one (weights, optimizer, scheduler, random state, position in the data) is the
trainer's; here it gets the recipe and the digest of every file, and its name once all of that
has reached the disk. A crash at any moment leaves the newest whole one to be found.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studio.errors import RunError
from studio.files import (
    PARTIAL,
    file_sha256,
    folder_written_whole,
    sync_names,
    write_json_safely,
)
from studio.recipe import Recipe, save_recipe
from studio.runs import (
    COMPLETE,
    RECIPE_FILE,
    Run,
    checkpoint_files,
    checkpoint_step,
    require_run_folder,
)
from studio.training.start_values import START_FILE

WRITTEN_WHOLE = ("adapter", "environment.json", "process.json", "traceback.txt", "trackers.json",
                 START_FILE)
"""What a training writes beside its name into the run's own folder. Other programs write there too
(a name, a wish), so nothing else is taken for a leftover."""


@contextmanager
def checkpoint_written_whole(run: Run, step: int, recipe: Recipe) -> Iterator[Path]:
    """Gives a folder in which the trainer makes `checkpoint-STEP`; it gets its place at the end.

    On an error nothing of it is left, and the checkpoints before it are untouched. Raises
    RunError where the run's folder is gone.
    """
    require_run_folder(run)
    final = run.checkpoint_path / f"checkpoint-{step}"
    with folder_written_whole(final) as beside:
        yield beside
        _lift(beside / final.name, beside)
        save_recipe(recipe, beside / RECIPE_FILE)
        files = checkpoint_files(beside)
        write_json_safely(beside / COMPLETE, {
            "step": step, "files": files,
            "sha256": {name: file_sha256(beside / name) for name in files}})
    sync_names(run.checkpoint_path)


def keep_checkpoint(run: Run, step: int, save_total_limit: int) -> None:
    """Report the checkpoint that was just written, and delete the oldest.

    The newest `save_total_limit` stay, and beside them the one with the lowest held-out loss.
    """
    path = run.checkpoint_path / f"checkpoint-{step}"
    run.append("checkpoint", step=step, folder=path.relative_to(run.path).as_posix())
    best = run.story().best
    for old in run.checkpoints()[:-save_total_limit]:
        if best is None or checkpoint_step(old) != best[0]:
            shutil.rmtree(old, ignore_errors=True)


def newest_good_checkpoint(run: Run) -> tuple[Path | None, list[str]]:
    """The newest checkpoint whose files are those that were written, and what is wrong with newer
    ones, a sentence each. Reads every byte of the one that it gives."""
    faults: list[str] = []
    for path in sorted(_checkpoint_folders(run), key=checkpoint_step, reverse=True):
        fault = checkpoint_fault(path)
        if not fault:
            return path, faults
        faults.append(f"The checkpoint at step {checkpoint_step(path)} is damaged ({fault}).")
    return None, faults


def checkpoint_fault(path: Path) -> str:
    """What is wrong with a checkpoint, as half a sentence; empty if its digests agree."""
    try:
        mark = json.loads((path / COMPLETE).read_text(encoding="utf-8"))
        promised, digests = dict(mark["files"]), dict(mark.get("sha256", {}))
    except (OSError, ValueError, KeyError, TypeError):
        return f"{COMPLETE} is missing or unreadable"
    found = checkpoint_files(path)
    if missing := [name for name in promised if name not in found]:
        return f"{missing[0]} is missing"
    for name, size in promised.items():
        if found[name] != size:
            return f"{name} has {found[name]:,} bytes instead of {size:,}"
    changed = [name for name, digest in digests.items() if file_sha256(path / name) != digest]
    return f"the bytes of {changed[0]} have changed" if changed else ""


def tidy_checkpoints(run: Run, step: int) -> None:
    """Delete what steps after `step` left behind, damaged ones too: they will be written again.

    Also what was being written when the program ended. Only the owner of the run may call it.
    """
    for path in _checkpoint_folders(run):
        if checkpoint_step(path) > step:
            shutil.rmtree(path, ignore_errors=True)
    leftovers = [path for name in WRITTEN_WHOLE for path in run.path.glob(f"{PARTIAL}{name}-*")]
    for path in [*leftovers, *run.checkpoint_path.glob(f"{PARTIAL}*")]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def require_resumable(run: Run) -> None:
    """Raise RunError unless there is something left to do in `run`, and nobody does it.

    A finished run whose result has gone can be resumed where it has a checkpoint: the result is
    made from that again.
    """
    story = run.story()
    if story.is_active:
        raise RunError(f"The run {run.name} is being trained right now.",
                       "Stop it first, here or in the program that trains it.")
    if story.state == "done" and (run.has_adapter or not run.checkpoints()):
        raise RunError(
            f"The run {run.name} is finished: {story.step} of {story.total_steps} steps.",
            "Start a new run with more steps or epochs to train longer.",
        )
    if story.state == "cancelled":
        raise RunError(f"The run {run.name} was cancelled: what it had learned is thrown away.",
                       "Start a new run with its recipe.")


def _checkpoint_folders(run: Run) -> list[Path]:
    if not run.checkpoint_path.is_dir():
        return []
    return [path for path in run.checkpoint_path.iterdir() if checkpoint_step(path) >= 0]


def _lift(inner: Path, outer: Path) -> None:
    """Move everything in `inner` up into `outer`."""
    for path in inner.iterdir():
        path.replace(outer / path.name)
    inner.rmdir()
