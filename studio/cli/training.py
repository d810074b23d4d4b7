"""`train` and `resume`: the same background job as the page's, watched from a terminal.

With --queue nothing is trained: the run, or each run of a grid, waits for its turn.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any

import typer

from studio.adapters.kinds import KINDS
from studio.arbiter import Arbiter
from studio.cli import show
from studio.cli.common import (
    AsJson,
    Changes,
    Home,
    Offline,
    RecipeFile,
    finite,
    open_settings,
    read_recipe,
    report,
)
from studio.cli.show import console
from studio.comparison import perplexity
from studio.errors import RecipeError, RunError
from studio.measures import MEASURES
from studio.progress import Progress, Step
from studio.recipe import Recipe
from studio.recipe.grid import grid, parse_grid
from studio.recipe.method_words import METHODS
from studio.runs import Run
from studio.story import Story
from studio.training.job import JobRunner
from studio.training.queue import Queue

verbs = typer.Typer()
RunName = Annotated[str | None, typer.Option("--run", metavar="NAME", help="Name of the run.")]
Isolated = Annotated[bool, typer.Option(
    "--isolated", help="Train in a process of its own, which gives all of its memory back.")]
LOOK_EVERY_SECONDS = 0.5


@verbs.command(help=(
    "Train a recipe. Ctrl+C stops it and keeps what it has.\n\n"
    f"How it learns is training.method: {', '.join(METHODS)}. What is trained is adapter.method: "
    f"{', '.join(KINDS)}."))
def train(
    recipe: RecipeFile, run: RunName = None, changes: Changes = None, isolated: Isolated = False,
    queue: Annotated[bool, typer.Option("--queue", help="Do not train now: let it wait in the "
                                        "queue.")] = False,
    values: Annotated[list[str] | None, typer.Option(
        "--grid", metavar="KEY=V,V", help="Queue one run for every combination of values, such as "
        "--grid adapter.rank=8,16. Can be given several times.")] = None,
    home: Home = None, offline: Offline = False, as_json: AsJson = False,
) -> None:
    """Train a recipe."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        found = read_recipe(recipe, changes)
        if queue:
            return {"queued": _queued(Queue(settings), found, run, values, isolated)}
        if values:
            raise RecipeError("--grid makes several runs, and only one can train at a time.",
                              "Add --queue, and train them with: launch.py queue --run")
        jobs = JobRunner(settings, Arbiter())
        return _follow(jobs, jobs.start(found, run, isolated=isolated))

    report(as_json, work, _show_queued if queue else show_result)


def _queued(
    waiting: Queue, recipe: Recipe, name: str | None, values: list[str] | None, isolated: bool
) -> list[str]:
    """The names of the runs that wait from now on."""
    if not values:
        return [waiting.add(recipe, name, isolated=isolated).name]
    runs = grid(recipe, parse_grid(values))
    named = [(f"{name}-{part}" if name else part, one) for part, one in runs]
    return [made.name for made in waiting.add_all(named, isolated=isolated)]


def _show_queued(result: dict[str, Any]) -> None:
    for name in result["queued"]:
        console.print(f"Waits in the queue: {name}")
    console.print("Train what waits with: launch.py queue --run")


@verbs.command()
def resume(name: Annotated[str, typer.Argument(metavar="NAME", help="A paused or stopped "
                                                         "run.")],
           isolated: Isolated = False, home: Home = None, offline: Offline = False,
           as_json: AsJson = False) -> None:
    """Go on with a run that was paused, stopped or interrupted, or that failed."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        jobs = JobRunner(settings, Arbiter())
        since_seconds = time.time()
        return _follow(jobs, jobs.resume(name, isolated=isolated), since_seconds)

    report(as_json, work, show_result)


def follow(
    jobs: JobRunner, run: Run, progress: Progress, since_seconds: float = 0.0
) -> dict[str, Any]:
    """Show a run's progress and its notes (those after `since_seconds`, Unix time) until it ends.

    Raises RunError with its own words if it failed, or what its folder could not tell.
    """
    notes = _Notes(run, since_seconds)
    try:
        while jobs.active is not None:
            jobs.wait(LOOK_EVERY_SECONDS)
            notes.tell()
            tell_progress(run.story(), progress)
    except KeyboardInterrupt:
        progress(Step("Stopping, keeping what it has"))
        jobs.stop()
        jobs.wait()
    if jobs.trouble is not None:
        raise jobs.trouble
    return result_of(run)


def _follow(jobs: JobRunner, run: Run, since_seconds: float = 0.0) -> dict[str, Any]:
    with show.bar() as progress:
        return follow(jobs, run, progress, since_seconds)


class _Notes:
    """What a run noted and its alarms, each once, on standard error above the progress."""

    def __init__(self, run: Run, since_seconds: float) -> None:
        self._run = run
        self._since_seconds = since_seconds
        self._told = 0

    def tell(self) -> None:
        """Print what was noted since the last time."""
        found = [_told(event) for event in self._run.events()
                 if event["type"] in ("note", "alarm") and event["time"] >= self._since_seconds]
        for text in found[self._told:]:
            show.errors.print(show.escape(text), soft_wrap=True)
        self._told = len(found)


def _told(event: dict[str, Any]) -> str:
    if event["type"] == "note":
        return str(event["text"])
    return f"Step {event['step']}: {event['text']} {event['hint']}".rstrip()


def tell_progress(story: Story, progress: Progress) -> None:
    """One line of a terminal from a run's story."""
    if story.state != "training" or not story.points:
        progress(Step(story.detail or story.state.capitalize()))
        return
    speed = f", {story.tokens_per_second:,.0f} tokens/s" if story.tokens_per_second else ""
    left = f", {show.duration(story.seconds_left)} left" if story.seconds_left else ""
    unit = f"steps, loss {story.points[-1].loss:.4f}{speed}{left}"
    progress(Step("Training", story.step, story.total_steps, unit))


def result_of(run: Run) -> dict[str, Any]:
    """What a finished run has to show. Raises RunError if it failed."""
    story = run.story()
    if story.error is not None:
        raise RunError(*story.error)
    return {
        "run": run.name, "state": story.state, "step": story.step,
        "total_steps": story.total_steps,
        "loss": finite(story.points[-1].loss) if story.points else None,
        **_evaluations_of(story), "result_step": story.result_step, "detail": story.detail,
        "alarms": [asdict(alarm) for alarm in story.alarms],
        "seconds": story.elapsed_seconds, "tokens_per_second": story.tokens_per_second,
        "folder": str(run.path), "adapter": str(run.adapter_path) if run.has_adapter else None,
    }


def _evaluations_of(story: Story) -> dict[str, Any]:
    """The last and the best held-out loss, the last also as a perplexity."""
    last = finite(story.evals[-1][1]) if story.evals else None
    step, best = story.best or (None, None)
    hesitation = None if last is None or not story.has_perplexity else finite(perplexity(last))
    return {"eval_loss": last, "eval_perplexity": hesitation,
            "best_eval_loss": best, "best_step": step,
            "measures": story.points[-1].measures if story.points else {},
            "eval_measures": story.eval_measures[-1][1] if story.eval_measures else {}}


def _held_out_words(result: dict[str, Any]) -> str:
    """", held-out loss 0.5" with its perplexity, or with what the method measured there."""
    if result["eval_loss"] is None:
        return ""
    more = [f"perplexity {result['eval_perplexity']:.4g}"] if result["eval_perplexity"] else []
    more += [f"{MEASURES[name].label.lower()} {value:.4g}"
             for name, value in result["eval_measures"].items() if name in MEASURES][:2]
    return f", held-out loss {result['eval_loss']:.4f}" + (f" ({', '.join(more)})" if more else "")


def show_result(result: dict[str, Any]) -> None:
    """A finished run in words."""
    words = {"done": "finished", "stopped": "stopped, and kept what it had"}
    loss = "" if result["loss"] is None else f", loss {result['loss']:.4f}"
    held_out = _held_out_words(result)
    console.print(f"Run {result['run']} {words.get(result['state'], result['state'])} at step "
                  f"{result['step']} of {result['total_steps']}{loss}{held_out}.")
    if result["result_step"] not in (None, result["step"]):
        console.print(f"The adapter holds the weights of step {result['result_step']}.")
    if result["adapter"]:
        console.print(f"Adapter: {show.escape(result['adapter'])}", soft_wrap=True)
    if result["state"] in ("stopped", "paused"):
        console.print(f"Go on with: launch.py resume {result['run']}")
