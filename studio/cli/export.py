"""`export`: what was trained, in every format that is asked for, each one checked."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.models import Dequantized, Overwrite, origin_of
from studio.cli.show import console
from studio.export.doors import ALL, DOORS
from studio.files import readable_bytes

if TYPE_CHECKING:
    from studio.export.chain import Made
    from studio.export.plan import Plan, Stage

verbs = typer.Typer()
Formats = Annotated[list[str] | None, typer.Option(
    "--as", metavar="FORMAT", help=f"One of {', '.join(DOORS)}; or {ALL}, for all that are open to "
    "it. Can be given several times.")]


@verbs.command()
def export(
    model: Annotated[str, typer.Argument(
        metavar="RUN", help="A run, a checkpoint (RUN/checkpoint-20), a blend, or the folder of an "
        "adapter or a model.")],
    formats: Formats = None,
    name: Annotated[str, typer.Option(
        "--name", help="Begins the name of every file. Default: that of the run.")] = "",
    no_verify: Annotated[bool, typer.Option(
        "--no-verify", help="Do not ask each format the same as the model in training.")] = False,
    dequantized: Dequantized = False,
    own_data: Annotated[bool, typer.Option(
        "--own-data", help="Let the run's training data say which weights matter where a GGUF is "
        "rounded (importance matrix).")] = False,
    tune: Annotated[bool, typer.Option(
        "--tune", help="Tune the rounding of GPTQ and AWQ: nearer to the model in training, but "
        "longer work (--plan says how long).")] = False,
    plan_only: Annotated[bool, typer.Option(
        "--plan", help="Only say what it would take; write nothing.")] = False,
    overwrite: Overwrite = False, home: Home = None, offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Write a run as a model folder, GGUF files, and other formats, and check each one."""
    settings = open_settings(home, offline)
    failed: list[str] = []

    def work() -> dict[str, Any]:
        from studio.export.chain import Way, run_plan
        from studio.export.door import Choices
        from studio.export.plan import look_at, make_plan

        choices = Choices(dequantized, own_data, tune)
        subject = look_at(origin_of(model, settings), settings, choices)
        plan = make_plan(subject, formats or ["gguf:q8_0"], name)
        if plan_only:
            return _planned(plan)
        with show.bar() as progress:
            made = run_plan(plan, Way(not no_verify, overwrite), progress=progress)
        failed.extend(one.door.label for one in made if one.written is None)
        return {"name": plan.name, "formats": [_told(one) for one in made]}

    report(as_json, work, _show_plan if plan_only else _show)
    if failed:
        raise typer.Exit(1)


def _planned(plan: Plan) -> dict[str, Any]:
    return {"name": plan.name, "formats": [_stage(stage) for stage in plan.stages],
            "passing_model_bytes": plan.passing_model_bytes,
            "passing_gguf_bytes": plan.passing_gguf_bytes, "needed_bytes": plan.needed_bytes,
            "free_bytes": plan.free_bytes, "fits": plan.fits, "seconds": plan.seconds}


def _stage(stage: Stage) -> dict[str, Any]:
    return {"format": stage.door.key, "label": stage.door.label, "path": str(stage.output),
            "bytes": stage.bytes, "is_taken": stage.is_taken, "why_not": stage.why_not}


def _told(made: Made) -> dict[str, Any]:
    told: dict[str, Any] = {"format": made.door.key, "label": made.door.label,
                            "path": str(made.output)}
    if made.written is not None:
        told |= {"bytes": made.written.bytes, "seconds": made.written.seconds,
                 "notes": list(made.written.notes)}
    if made.verification is not None:
        found = made.verification
        told |= {"level": found.level, "summary": found.summary, "warnings": list(found.warnings),
                 "measures": asdict(found.measures) if found.measures else None,
                 "identical_answers": found.identical_answers, "answers": len(found.answers)}
    if made.problem is not None:
        told |= {"problem": made.problem[0], "hint": made.problem[1]}
    return told


def _show_plan(told: dict[str, Any]) -> None:
    rows = [(one["format"], Path(one["path"]).name,
             one["why_not"] or _size(one["bytes"]) + (" (replaces)" if one["is_taken"] else ""))
            for one in told["formats"]]
    show.table(f"{told['name']}: what would be written", ("format", "name", "size"), rows)
    for what, key in ("merged model", "passing_model_bytes"), ("GGUF", "passing_gguf_bytes"):
        if told[key]:
            console.print(f"A {what} of {readable_bytes(told[key])} is made on the way and "
                          "deleted.")
    console.print(f"Together {readable_bytes(told['needed_bytes'])} of disk; "
                  f"{readable_bytes(told['free_bytes'])} are free. Roughly "
                  f"{show.duration(told['seconds'])} to write, then the checks.")


def _show(told: dict[str, Any]) -> None:
    show.table(told["name"], ("format", "size", "time", "agreement"),
               [(one["format"], _size(one.get("bytes")), show.duration(one.get("seconds")),
                 _agreement(one)) for one in told["formats"]])
    for one in told["formats"]:
        if "bytes" in one:
            console.print(show.escape(one["path"]), soft_wrap=True)
        for text in (*one.get("notes", ()), *one.get("warnings", ())):
            console.print(f"  {show.escape(text)}", soft_wrap=True)
        if "problem" in one:
            console.print(f"  {one['label']}: {show.escape(one['problem'])} "
                          f"{show.escape(one['hint'])}", soft_wrap=True)


def _size(count: int | None) -> str:
    return "unknown" if count is None else readable_bytes(count)


def _agreement(one: dict[str, Any]) -> str:
    if "level" not in one:
        return "not written" if "bytes" not in one else "not checked"
    if one["measures"] is None:
        return f"{one['identical_answers']} of {one['answers']} answers equal, {one['level']}"
    return (f"{one['measures']['top1_agreement']:.1%} of next tokens, "
            f"KL {one['measures']['mean_kl']:.3g}, {one['level']}")
