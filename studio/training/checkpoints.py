"""Checkpoints of a run: marked when they are whole, thinned out, and found again.

Their contents (weights, optimizer, scheduler, random state) are the trainer's; what counts as
complete is decided in `studio/runs.py`.
"""

from __future__ import annotations

import shutil

from studio.errors import RunError
from studio.files import sync_tree, write_json_safely
from studio.runs import COMPLETE, Run, checkpoint_files, checkpoint_step


def keep_checkpoint(run: Run, step: int, save_total_limit: int) -> None:
    """Mark the checkpoint that was just written as whole, report it, and delete the oldest.

    The mark is written after everything else has reached the disk, so that a crash at any moment
    leaves the newest whole one to be found.
    """
    path = run.checkpoint_path / f"checkpoint-{step}"
    sync_tree(path)
    write_json_safely(path / COMPLETE, {"step": step, "files": checkpoint_files(path)})
    run.append("checkpoint", step=step, folder=path.relative_to(run.path).as_posix())
    for old in run.checkpoints()[:-save_total_limit]:
        shutil.rmtree(old, ignore_errors=True)


def drop_checkpoints_after(run: Run, step: int) -> None:
    """Delete what later steps left behind, torn ones included: they will be written again."""
    if run.checkpoint_path.is_dir():
        for path in run.checkpoint_path.iterdir():
            if checkpoint_step(path) > step:
                shutil.rmtree(path, ignore_errors=True)


def require_resumable(run: Run) -> None:
    """Raise RunError unless there is something left to train in `run`, and nobody does."""
    story = run.story()
    if story.is_active:
        raise RunError(f"The run {run.name} is being trained right now.",
                       "Stop it first, here or in the program that trains it.")
    if story.state == "done":
        raise RunError(
            f"The run {run.name} is finished: {story.step} of {story.total_steps} steps.",
            "Start a new run with more steps or epochs to train longer.",
        )
