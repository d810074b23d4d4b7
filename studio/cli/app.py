"""Puts the verbs together and turns every ending into an exit code.

0: done. 1: something the person can mend, said in a sentence. 2: a mistake in the call.
130: Ctrl+C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from studio.cli import (
    asking,
    bench,
    blending,
    cleaning,
    compare,
    control,
    data,
    demo,
    dryrun,
    estimate,
    evaluate,
    export,
    fitting,
    merging,
    models,
    ollama,
    pushing,
    queue,
    reports,
    serving,
    talk,
    training,
    voting,
)
from studio.cli.common import explain
from studio.errors import StudioError

app = typer.Typer(
    name="adapter-studio", no_args_is_help=False, add_completion=False,
    pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Fine-tune a language model on this PC, with LoRA or another adapter.",
)
for verbs in (serving.verbs, reports.verbs, data.verbs, cleaning.verbs, estimate.verbs,
              fitting.verbs, dryrun.verbs, training.verbs, control.verbs, queue.verbs,
              compare.verbs, evaluate.verbs, talk.verbs, asking.verbs, voting.verbs, blending.verbs,
              models.verbs, export.verbs, merging.verbs, ollama.verbs, pushing.verbs,
              demo.verbs):
    app.registered_commands += verbs.registered_commands
app.add_typer(bench.bench, name="bench")


@app.callback(invoke_without_command=True)
def _no_verb(context: typer.Context) -> None:
    """Without a verb the page opens."""
    if context.invoked_subcommand is None:
        serving.serve()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and give its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A Windows console in an old code page shows a '?' rather than ending the program.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        app(args=arguments, prog_name=_called_as())
    except StudioError as error:
        explain(error)
        return 1
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else 1
    return 0


def _called_as() -> str:
    """How the person began the command: through launch.py, or the installed script."""
    name = Path(sys.argv[0]).stem
    return "launch.py" if name in ("__main__", "-m") else name
