"""How far the answering of a prompt set is, and how a set is called in a list. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from studio.ui.task_view import at_work_view, failed_view
from studio.ui.tasks import TaskView
from studio.ui.words import counted, moment

STOP, GO_ON, DELETE = "stop", "go_on", "delete"


@dataclass(frozen=True)
class SetState:
    """A prompt set in numbers. `answered` are prompts that all columns have answered, `impossible`
    has a sentence for each that they could not be asked."""

    name: str
    columns: tuple[str, ...]
    prompts: int
    answered: int
    voted: int
    impossible: tuple[str, ...] = ()

    @property
    def pending(self) -> int:
        """Prompts that are still to be answered."""
        return self.prompts - self.answered - len(self.impossible)


def set_label(name: str, columns: tuple[str, ...], prompts: int, created_seconds: float) -> str:
    """A set in a list."""
    return (f"{name} ({counted(prompts, 'prompt')} to {' · '.join(columns)}; "
            f"{moment(created_seconds)})")


def work_view(state: SetState | None, task: TaskView) -> str:
    """The answering under way or how it ended, and what there is of the chosen set."""
    parts = [_task(task)]
    if state is not None:
        parts += [_summary(state, task), _impossible(state)]
        parts += [] if task.is_active else [_deletion(state)]
    return "".join(parts)


def _task(task: TaskView) -> str:
    if task.is_active:
        return at_work_view(task, _button(STOP, "Stop") if task.state == "running" else "")
    return failed_view(task) if task.state == "failed" else ""


def _summary(state: SetState, task: TaskView) -> str:
    said = (f"{state.answered:,} of {state.prompts:,} prompts answered by "
            f"{' · '.join(state.columns)}; {state.voted:,} voted on.")
    rest = (_button(GO_ON, "Answer the rest")
            if state.pending and not task.is_active else "")
    return (f'<div class="set-state" data-answered="{state.answered}" data-voted="{state.voted}">'
            f'<span class="quiet">{escape(said)}</span>{rest}</div>')


def _impossible(state: SetState) -> str:
    if not state.impossible:
        return ""
    lines = "".join(f"<li>{escape(one)}</li>" for one in state.impossible)
    return (f"<details><summary>{counted(len(state.impossible), 'prompt')} could not be "
            f"asked</summary><ul>{lines}</ul></details>")


def _deletion(state: SetState) -> str:
    """Asks before it is done: the button is folded away with what it does."""
    return ('<details class="delete-set"><summary>Delete this prompt set</summary>'
            f'<div class="set-state"><span>The prompts and answers of {escape(state.name)} are '
            f"deleted; your votes on them are kept.</span>{_button(DELETE, 'Delete it for good')}"
            "</div></details>")


def _button(act: str, text: str) -> str:
    return f'<button type="button" class="verdict" data-act="{act}">{escape(text)}</button>'
