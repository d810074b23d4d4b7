"""Pushes an exported folder or GGUF file to the Hub: first a plan to look at, then the upload.

The plan reads names and sizes and asks nobody. The upload is a process of its own, so that it ends
within moments when stopped; what everybody sees changes with its very last request.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.child import Child, studio_module
from studio.errors import ExportError
from studio.export.clean import holds_text
from studio.export.hub_token import HOW_TO, HubToken, known_token
from studio.export.output import end_if_stopped
from studio.files import PARTIAL, readable_bytes, typed_path
from studio.models.folder import PICKLE_SUFFIXES
from studio.progress import Progress, ShouldStop, Step, never, silent

if TYPE_CHECKING:
    from studio.settings import Settings

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}")
_MODEL_FILES = ("config.json", "adapter_config.json")


@dataclass(frozen=True)
class PushedFile:
    """`name` in the repository, with / between its parts; `path` on this PC."""

    name: str
    path: Path
    bytes: int


@dataclass(frozen=True)
class PushPlan:
    """What would be uploaded, and where to. `left_out` names files that stay here, `token_source`
    where the token would come from, empty where there is none."""

    repository: str
    private: bool
    files: tuple[PushedFile, ...]
    left_out: tuple[str, ...]
    token_source: str

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(file.bytes for file in self.files)

    @property
    def sentences(self) -> tuple[str, ...]:
        """For a person, before anything is sent."""
        seen = "private: nobody but you and those you let in can see it" if self.private else \
            "public: everybody can see and download it"
        return tuple(sentence for sentence in (
            f"To https://huggingface.co/{self.repository}, {seen}.",
            f"{len(self.files)} files, {readable_bytes(self.bytes)}.",
            f"Left out: {', '.join(self.left_out)}." if self.left_out else "",
            f"The token comes from {self.token_source}." if self.token_source else
            f"There is no token for the Hub yet. {HOW_TO}",
        ) if sentence)


@dataclass(frozen=True)
class Pushed:
    """Where it is now, and the commit."""

    url: str
    commit: str
    bytes: int
    seconds: float


def plan_push(
    source: Path, repository: str, settings: Settings, *, private: bool = True
) -> PushPlan:
    """What pushing the folder or GGUF file `source` to `repository` (owner/name) would do.

    Sends nothing. Raises ExportError for a name that is none, for what is no model or adapter, and
    for files that name a folder of this PC.
    """
    source = typed_path(source).absolute()
    if not _REPOSITORY.fullmatch(repository) or ".." in repository or "--" in repository:
        raise ExportError(f"{repository!r} is no name of a repository on the Hub.",
                          "Write your name there and one for the model: anna/orders.")
    token = known_token(settings)
    if source.is_file() and source.suffix == ".gguf":
        files: list[Path] = [source]
        left_out: list[str] = []
    elif any((source / name).is_file() for name in _MODEL_FILES):
        files, left_out = _chosen(source)
        _require_clean(source, files, settings, token)
    else:
        raise ExportError(f"{source.name} is neither a model, nor an adapter, nor a GGUF file.",
                          "Export the run first, and push what that wrote.")
    root = source.parent if source.is_file() else source
    return PushPlan(
        repository, private,
        tuple(PushedFile(file.relative_to(root).as_posix(), file, file.stat().st_size)
              for file in files),
        tuple(left_out), token.source if token else "")


def push(
    plan: PushPlan, settings: Settings, *, progress: Progress = silent, stop: ShouldStop = never,
    endpoint: str | None = None,
) -> Pushed:
    """Upload what the plan says. `endpoint` is another Hub than the public one.

    Raises ExportError (offline, no token, refused, public already) and Stopped; then the
    repository shows what it showed before.
    """
    started = time.monotonic()
    if settings.offline:
        raise ExportError("The studio is offline, so nothing can be pushed.",
                          "Start it without --offline.")
    if known_token(settings) is None:
        raise ExportError("There is no token for the Hub.", HOW_TO)
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder)
        request = {
            "home": str(settings.home), "parent": os.getpid(), "repository": plan.repository,
            "private": plan.private, "endpoint": endpoint,
            "files": [[file.name, str(file.path)] for file in plan.files],
            "progress": str(inside / "progress.json"), "outcome": str(inside / "outcome.json"),
        }
        file = inside / "request.json"
        file.write_text(json.dumps(request), encoding="utf-8")
        outcome = _uploaded(file, request, plan, progress, stop)
    if outcome["error"]:
        raise ExportError(*outcome["error"])
    return Pushed(outcome["url"], outcome["commit"], plan.bytes, time.monotonic() - started)


def _uploaded(file: Path, request: dict[str, Any], plan: PushPlan, progress: Progress,
              stop: ShouldStop) -> dict[str, Any]:
    """What the process that uploads found; it never learns the token from here."""
    arguments = studio_module("studio.export.hub_process", str(file))
    with Child(arguments, cwd=file.parent) as child:
        while not child.has_ended():
            end_if_stopped(stop)
            found = _read(Path(request["progress"]))
            if found:
                progress(Step(found["what"], found["done"], plan.bytes, "bytes"))
    outcome = _read(Path(request["outcome"]))
    if outcome is None:
        raise ExportError(f"The upload ended without a result: {child.last_words}",
                          "Push again: what has arrived already is not sent twice.")
    return outcome


def _read(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _chosen(folder: Path) -> tuple[list[Path], list[str]]:
    """The files to upload, and the names of those that stay: pickles, hidden and unfinished ones.
    """
    everything = sorted(path for path in folder.rglob("*") if path.is_file())
    stays = [path for path in everything if path.suffix in PICKLE_SUFFIXES or any(
        part.startswith((".", PARTIAL)) for part in path.relative_to(folder).parts)]
    return ([path for path in everything if path not in stays],
            [path.relative_to(folder).as_posix() for path in stays])


def _require_clean(folder: Path, files: list[Path], settings: Settings,
                   token: HubToken | None) -> None:
    """Neither a folder of this PC nor the token may be in what others will read."""
    chosen = {file.relative_to(folder).as_posix() for file in files}
    for text, what in ((str(settings.home), "a folder of this PC"),
                       (str(Path.home()), "a folder of this PC"),
                       (token.value if token else "", "your token for the Hub")):
        found = [name for name in holds_text(folder, text) if name in chosen] \
            if len(text) > 1 else []
        if found:
            raise ExportError(f"{found[0]} names {what}.",
                              "Export the adapter alone or the merged model, and push that: there "
                              "such names are left out.")
