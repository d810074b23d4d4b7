"""`push`: an export to the Hugging Face Hub; without --yes it only says what would be sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli import show
from studio.cli.common import AsJson, Home, open_settings, report
from studio.cli.show import console
from studio.errors import ExportError
from studio.files import readable_bytes

if TYPE_CHECKING:
    from studio.export.hub import PushPlan
    from studio.settings import Settings

verbs = typer.Typer()


@verbs.command()
def push(
    exported: Annotated[str, typer.Argument(
        metavar="EXPORT", help="The name of an export, or its folder or file.")],
    repository: Annotated[str, typer.Argument(metavar="NAME/MODEL", help="Where to on the Hub.")],
    public: Annotated[bool, typer.Option(
        "--public", help="Let everybody see and download it.")] = False,
    yes: Annotated[bool, typer.Option(
        "--yes", help="Send it. Without this, only what would be sent is shown.")] = False,
    home: Home = None, as_json: AsJson = False,
) -> None:
    """Push an exported model, adapter or GGUF file to the Hub; private unless you say otherwise."""
    settings = open_settings(home)

    def work() -> dict[str, Any]:
        from studio.export.hub import plan_push
        from studio.export.hub import push as push_plan

        plan = plan_push(_path(exported, settings), repository, settings, private=not public)
        told = _told(plan)
        if not yes:
            return told
        with show.bar() as progress:
            sent = push_plan(plan, settings, progress=progress)
        return {**told, "url": sent.url, "commit": sent.commit, "seconds": sent.seconds}

    report(as_json, work, _show)


def _path(exported: str, settings: Settings) -> Path:
    """Raises ExportError where there is none."""
    for path in (Path(exported), settings.exports / exported):
        if path.exists():
            return path
    raise ExportError(f"There is no export {exported}.", "Write one first: export RUN --as merged.")


def _told(plan: PushPlan) -> dict[str, Any]:
    return {"repository": plan.repository, "private": plan.private, "bytes": plan.bytes,
            "files": [{"name": file.name, "bytes": file.bytes} for file in plan.files],
            "left_out": list(plan.left_out), "said": list(plan.sentences)}


def _show(told: dict[str, Any]) -> None:
    show.table(told["repository"], ("file", "size"),
               [(file["name"], readable_bytes(file["bytes"])) for file in told["files"]])
    for sentence in told["said"]:
        console.print(sentence, soft_wrap=True, markup=False)
    console.print(f"Sent: {told['url']}, commit {told['commit']}" if "url" in told else
                  "Nothing was sent. Add --yes to send it.", soft_wrap=True, markup=False)
