"""`mergekit`: whole models of one make become one, by mergekit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, Offline, open_settings, report
from studio.cli.models import Overwrite
from studio.cli.show import console
from studio.errors import ModelError
from studio.export.model_merge.methods import DTYPES, METHODS, Mix
from studio.export.model_merge.parts import Part, Wish
from studio.files import readable_bytes, typed_path

verbs = typer.Typer()
_PRUNING = ", ".join(name for name, method in METHODS.items() if method.prunes)


@verbs.command()
def mergekit(
    name: Annotated[str, typer.Argument(
        metavar="NAME", help="What to call it, in the exports. Default: a name that is free.",
        show_default=False)] = "",
    of: Annotated[list[str] | None, typer.Option(
        "--of", metavar="MODEL[:WEIGHT]", help="starter, a folder, the name of an export or of a "
        "run that trained every weight, or a Hub id; and how much of it: 1 if left out. Can be "
        "given several times.")] = None,
    method: Annotated[str, typer.Option(
        "--method", help=f"How to merge: {', '.join(METHODS)}.")] = Mix().method,
    base: Annotated[str, typer.Option(
        "--base", metavar="MODEL", help="What all of them were trained from; for ties and dare.",
        show_default=False)] = "",
    density: Annotated[float | None, typer.Option(
        "--density", help="The share of its changes that each model keeps, above 0 and up to 1. "
        f"Default: half. For {_PRUNING}.", show_default=False)] = None,
    t: Annotated[float, typer.Option(
        "--t", "-t", help="How far slerp goes from the first model (0) to the second (1).")
    ] = Mix().t,
    dtype: Annotated[str | None, typer.Option(
        "--dtype", help=f"Number format to write: {', '.join(DTYPES)}. Default: that of the base "
        "or first model.", show_default=False)] = None,
    tokens: Annotated[str, typer.Option(
        "--tokens", help="Where models know different tokens: base (those of the base or first "
        "model), or union (all).")] = Mix().tokens,
    seed: Annotated[int, typer.Option(
        "--seed", min=0, help="Of what dare drops; the same seed gives the same merge.")] = 0,
    config: Annotated[Path | None, typer.Option(
        "--config", metavar="FILE", help="Take all of that from a YAML file of mergekit.")] = None,
    show_yaml: Annotated[bool, typer.Option(
        "--show-yaml", help="Only print the YAML that would be run; write nothing.")] = False,
    no_verify: Annotated[bool, typer.Option(
        "--no-verify", help="Do not load and ask what was written.")] = False,
    overwrite: Overwrite = False, home: Home = None, offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Merge whole models of one make into one, by mergekit: linear, SLERP, TIES, DARE."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.export.model_merge import merge_models

        wish = _from_file(config, of, name, seed) if config is not None else Wish(
            [_part(text, density) for text in of or []],
            Mix(method, base, t, dtype, tokens, seed),  # type: ignore[arg-type]
            name)
        if show_yaml:
            return _planned(wish, settings)
        with show.bar() as progress:
            return _told(merge_models(wish, settings, checks=not no_verify, overwrite=overwrite,
                                      progress=progress))

    report(as_json, work, _show_plan if show_yaml else _show)


def _from_file(config: Path, of: list[str] | None, name: str, seed: int) -> Wish:
    from studio.export.model_merge.from_yaml import read_wish

    if of:
        raise ModelError("Both --config and --of are given.", "Name the models in one of them.")
    return read_wish(typed_path(str(config)), name=name, seed=seed)


def _part(text: str, density: float | None) -> Part:
    """"orders:0.7" -> 0.7 of orders. What names a folder has the weight 1."""
    source, colon, number = text.rpartition(":")
    if not colon or typed_path(text).is_dir() or len(source) == 1:  # a drive of Windows
        return Part(text, density=density)
    try:
        return Part(source, float(number), density)
    except ValueError:
        raise ModelError(f"In {text} the weight {number!r} is no number.",
                         "Write a model and its weight, such as starter:0.7") from None


def _planned(wish: Wish, settings: Any) -> dict[str, Any]:
    from studio.export.model_merge import plan_merge, yaml_text

    plan = plan_merge(wish, settings)
    return {"name": plan.name, "yaml": yaml_text(plan), "words": plan.words, "bytes": plan.bytes,
            "memory_bytes": plan.memory_bytes, "fetched_bytes": plan.fetched_bytes,
            "free_bytes": plan.free_bytes, "fits": plan.fits, "is_taken": plan.is_taken,
            "notes": [*plan.notes, *filter(None, (plan.memory_warning,))]}


def _told(made: Any) -> dict[str, Any]:
    from studio.export.model_merge import yaml_text

    written, found = made.written, made.checked
    told = {"folder": str(written.path), "bytes": written.bytes, "seconds": written.seconds,
            "words": made.plan.words, "yaml": yaml_text(made.plan), "notes": list(written.notes)}
    if found is not None:
        told["check"] = {"words": found.words, "warning": found.warning,
                         "answers": [list(pair) for pair in found.answers],
                         "compared": found.compared, "wrong": list(found.wrong)}
    if made.problem is not None:
        told |= {"problem": made.problem[0], "hint": made.problem[1]}
    return told


def _show_plan(told: dict[str, Any]) -> None:
    console.print(show.escape(told["yaml"]), soft_wrap=True, end="")
    for text in (f"{readable_bytes(told['bytes'])} of disk, about "
                 f"{readable_bytes(told['memory_bytes'])} of memory; "
                 f"{readable_bytes(told['free_bytes'])} of disk are free.", *told["notes"]):
        console.print(f"# {show.escape(text)}", soft_wrap=True)


def _show(told: dict[str, Any]) -> None:
    console.print(f"Merge: {show.escape(told['folder'])} ({readable_bytes(told['bytes'])})",
                  soft_wrap=True)
    console.print(f"It is {show.escape(told['words'])}.", soft_wrap=True)
    for note in told["notes"]:
        console.print(f"  {show.escape(note)}", soft_wrap=True)
    if "check" in told:
        if not told["check"]["warning"]:
            console.print(told["check"]["words"])
        for prompt, answer in told["check"]["answers"]:
            console.print(f"  {prompt} -> {show.escape(answer)}", soft_wrap=True)
    if "problem" in told:
        console.print(f"  {show.escape(told['problem'])} {show.escape(told['hint'])}",
                      soft_wrap=True)
