"""The verbs that only look: doctor, params, runs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import (
    AsJson,
    Changes,
    Home,
    Offline,
    RecipeFile,
    open_settings,
    read_recipe,
    recipe_shape,
    report,
)
from studio.cli.show import console
from studio.files import readable_bytes

verbs = typer.Typer()


@verbs.command()
def doctor(
    recipe: Annotated[str | None, typer.Option("--recipe", metavar="FILE", help="Also compare the "
                                               "disk space that this recipe takes. A file, or "
                                               "'starter'.")] = None,
    changes: Changes = None, home: Home = None, offline: Offline = False, as_json: AsJson = False,
) -> None:
    """Check this PC: hardware, drivers, libraries, and what it can train."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.hardware.disk import disk_needs
        from studio.hardware.doctor import diagnose
        from studio.hardware.probe import probe

        disk = None
        if recipe is not None:
            chosen = read_recipe(recipe, changes)
            disk = disk_needs(chosen, recipe_shape(chosen, settings), settings)
        return {"hardware": probe(settings.home).to_dict(),
                "findings": [finding.to_dict() for finding in diagnose(settings, disk=disk)],
                "disk": None if disk is None else disk.to_dict()}

    report(as_json, work, _show_doctor)


def _show_doctor(found: dict[str, Any]) -> None:
    hardware = found["hardware"]
    rows = [("Processor", f"{hardware['cpu_name']}, {hardware['logical_cores']} threads"),
            ("Memory", f"{readable_bytes(hardware['ram_total_bytes'])}, "
                       f"{readable_bytes(hardware['ram_available_bytes'])} free"),
            ("Disk", f"{readable_bytes(hardware['disk_free_bytes'])} free")]
    rows += [(f"GPU {number}", f"{gpu['name']}, {readable_bytes(gpu['total_bytes'] or 0)}")
             for number, gpu in enumerate(hardware["gpus"])]
    show.table("This PC", ("Part", "What it is"), rows)
    if found["disk"]:
        _show_disk(found["disk"])
    show.table("Checks", ("", "What was found, and what to do"),
               [(f["level"], f["what"] + (f"\n-> {f['hint']}" if f["hint"] else ""))
                for f in found["findings"]])
    console.print(show.escape(hardware["verdict"]))


def _show_disk(disk: dict[str, Any]) -> None:
    show.table("Disk space of the recipe", ("Part", "Size", "How", "Where"),
               [(part["name"], readable_bytes(part["bytes"]), part["formula"], part["folder"])
                for part in disk["parts"]])
    console.print(f"Together {readable_bytes(disk['total_bytes'])}.")


@verbs.command()
def params(recipe: RecipeFile, changes: Changes = None, home: Home = None,
           offline: Offline = False, as_json: AsJson = False) -> None:
    """Count the trainable parameters of a recipe, from the model's config alone."""
    settings = open_settings(home, offline)

    def work() -> dict[str, Any]:
        from studio.adapters.count import count_trainable

        chosen = read_recipe(recipe, changes)
        count = count_trainable(chosen, recipe_shape(chosen, settings))
        return {"trainable": count.trainable, "total": count.total, "percent": count.percent,
                "adapter_bytes": count.adapter_bytes}

    report(as_json, work, _show_params)


def _show_params(count: dict[str, Any]) -> None:
    console.print(f"Trainable: {count['trainable']:,} of {count['total']:,} parameters "
                  f"({count['percent']:.3f} %)")
    console.print(f"Adapter on disk: {readable_bytes(count['adapter_bytes'])}")


@verbs.command()
def runs(home: Home = None, as_json: AsJson = False) -> None:
    """List the training runs in this home, newest first."""
    settings = open_settings(home)

    def work() -> dict[str, Any]:
        from studio.runs import list_runs

        return {"runs": [_run_line(run) for run in list_runs(settings)]}

    report(as_json, work, _show_runs)


def _run_line(run: Any) -> dict[str, Any]:
    story = run.story()
    loss = story.points[-1].loss if story.points else None
    return {"name": run.name, "title": run.about.title, "state": story.state,
            "step": story.step, "total_steps": story.total_steps, "loss": loss,
            "best_eval_loss": story.best[1] if story.best else None, "folder": str(run.path)}


def _show_runs(found: dict[str, Any]) -> None:
    if not found["runs"]:
        console.print("No runs yet. Start one: launch.py train starter")
        return
    show.table("Runs", ("Name", "Title", "State", "Step", "Loss", "Best held-out"), [
        (r["name"], r["title"], r["state"], f"{r['step']} of {r['total_steps']}",
         _loss(r["loss"]), _loss(r["best_eval_loss"])) for r in found["runs"]])


def _loss(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.4f}"
