"""`evaluate`: public or own tasks, answered by the base and by what a run made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.show import console
from studio.errors import DataError
from studio.evaluation.record import Evaluation, Score
from studio.files import typed_path

verbs = typer.Typer()
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run with a finished adapter.")]
Tasks = Annotated[str, typer.Option("--tasks", metavar="NAME,NAME", help="Tasks of lm-eval, such "
                                    "as arc_easy,hellaswag; * stands for any letters.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Questions of each task; all "
                                           "without it.")]
Shots = Annotated[int | None, typer.Option("--shots", min=0, help="Examples before each question; "
                                           "as the task says without it.")]
Folder = Annotated[Path | None, typer.Option(
    "--folder", metavar="DIR", help="Task files of your own (YAML, with their data). Python code "
    "that they name is run.")]
Chat = Annotated[bool, typer.Option("--chat", help="Put each question into the chat template.")]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Questions at a time.")]


@verbs.command()
def evaluate(
    run: RunName, tasks: Tasks, limit: Limit = None, shots: Shots = None, folder: Folder = None,
    chat: Chat = False, batch_size: BatchSize = 8, home: Home = None, offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Score a run before and after training on tasks of lm-eval."""
    settings = open_settings(home, offline)
    from studio.evaluation.before_after import evaluate_run
    from studio.evaluation.harness import Asked
    from studio.runs import open_run

    names = tuple(name.strip() for name in tasks.split(",") if name.strip())

    def work() -> dict[str, Any]:
        if not names:
            raise DataError("--tasks names no task.", "Write --tasks arc_easy,hellaswag.")
        asked = Asked(names, limit, shots, chat, batch_size,
                      typed_path(folder).absolute() if folder else None)
        with show.bar() as progress:
            found = evaluate_run(open_run(settings, run), asked, settings, progress=progress)
        return {"run": run, **found.to_dict()}

    report(as_json, work, _show)


def _show(result: dict[str, Any]) -> None:
    found = Evaluation(**{key: value for key, value in result.items() if key != "run"})
    scores = [Score(**score) for score in result["scores"]]
    show.table(f"{result['run']}: before and after, {found.seconds:.0f} s",
               ["Task", "Metric", "Questions", "Base", "Trained", "Change"],
               [[score.task, score.metric, f"{score.count:,}" if score.count else "",
                 _number(score.base, score.base_error), _number(score.tuned, score.tuned_error),
                 _change(score)] for score in scores])
    console.print("Kept in the run; ± is the standard error.")


def _number(value: float, error: float | None) -> str:
    return f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"


def _change(score: Score) -> str:
    return f"{score.change:+.4f}" + (f", {score.verdict}" if score.verdict else "")
