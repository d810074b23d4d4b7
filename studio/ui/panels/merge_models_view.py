"""What merging whole models shows: ways to merge, what would come out, how it ended. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from studio.export.model_merge.methods import DTYPES
from studio.files import readable_bytes
from studio.ui import markup
from studio.ui.task_view import work_view
from studio.ui.tasks import TaskView

if TYPE_CHECKING:
    from studio.export.model_merge import Merged, MergePlan

ABOUT = ('<p class="quiet">Two or more models of the same make become one that needs no other: '
         "merged exports, runs that trained every weight, models of the Hub. Nothing is trained. "
         "Adapters are mixed on the Chat tab, under Blend.</p>")
NOTHING = markup.empty("Choose two models or more", "What would come of them is told here before "
                       "anything is written, with the YAML that mergekit runs.")
WEIGHTS_WORDS = "How much of each model; below 0 takes it away. A double press brings 0.5 back."
DENSITIES_WORDS = "The share of its changes to the base that each model keeps."
DTYPE_CHOICES = [("As the base or first model", ""), *((name, name) for name in DTYPES)]
TOKEN_CHOICES = [("That of the base or first model", "base"), ("All tokens of all models", "union")]


def plan_view(plan: MergePlan) -> str:
    """What would come out, and what it takes."""
    told = [f'<p class="quiet"><b>{escape(plan.words)}</b> becomes <b>{escape(plan.name)}</b>: '
            f"{plan.base.shape.parameters / 1e6:,.0f} million parameters in "
            f"{escape(plan.dtype_name)}, {readable_bytes(plan.bytes)} of disk "
            f"({readable_bytes(plan.free_bytes)} are free), and about "
            f"{readable_bytes(plan.memory_bytes)} of memory while it is made.</p>"]
    if plan.fetched_bytes:
        names = ", ".join(one.name for one in plan.everyone if one.folder is None)
        told.append(markup.note(f"{names}: fetched first, about "
                                f"{readable_bytes(plan.fetched_bytes)}."))
    if not plan.fits:
        told.append(markup.note("There is not room enough on the disk.", "Free some space, or "
                                "start the studio with --home on a larger disk.", "problem"))
    if plan.memory_warning:
        told.append(markup.note(plan.memory_warning, level="warning"))
    if plan.is_taken:
        told.append(markup.note(f"There is an export named {plan.name} already.",
                                "Give another name, or tick that it is to be replaced.",
                                "warning"))
    return "".join([*told, *map(markup.note, plan.notes)])


def yaml_view(text: str) -> str:
    """What mergekit is given, to read and to copy."""
    return f'<h5>The YAML that mergekit runs</h5>{markup.copied(text)}'


def task_view(task: TaskView) -> str:
    """The merge under way, or how the last one ended."""
    return work_view(task, _made_view)


def _made_view(task: TaskView) -> str:
    made: Merged = task.result
    seconds = markup.readable_seconds(task.elapsed_seconds)
    told = [markup.note(
        f"{made.written.path.name} is made, in {seconds}.", "It stands among the exports above, "
        "and among the base models of the Chat tab.", "good"),
        *map(markup.note, made.written.notes)]
    if made.problem is not None:
        told.append(markup.note(*made.problem, "warning"))
    if made.checked is not None:
        rows = [(prompt, answer or "(an empty answer)") for prompt, answer in made.checked.answers]
        told += [f'<p class="quiet">{escape(made.checked.words)}</p>' if not made.checked.warning
                 else "", markup.facts(rows)]
    return "".join(told)
