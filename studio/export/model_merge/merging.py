"""Merges whole models by mergekit, an optional package, in a process of its own.

The folder that comes out is complete: weights as safetensors, tokenizer, chat template, generation
settings, the YAML, and a model card. Written beside and renamed into place.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.child import Child, studio_module
from studio.errors import DiskError, ExportError, SetupError
from studio.export.folder import make_usable
from studio.export.model_card import CARD_FILE
from studio.export.model_merge.card import merge_card, shared_parts
from studio.export.model_merge.checking import Checked, check
from studio.export.model_merge.configuration import CONFIG_FILE, yaml_text
from studio.export.model_merge.parts import Wish, whole_model_source
from studio.export.model_merge.plan import SHARD_BYTES, MergePlan, plan_merge
from studio.export.output import (
    REPORT_FILE,
    Written,
    end_if_stopped,
    folder_to_write,
    report_bar,
    reported,
)
from studio.export.rewriting import copy_generation_settings
from studio.extras import install_command, is_installed
from studio.files import (
    folder_bytes,
    folder_written_whole,
    readable_bytes,
    require_free_bytes,
    write_json_safely,
    write_text_safely,
)
from studio.models.folder import read_config
from studio.models.source import find_model
from studio.models.tokenizer_files import copy_tokenizer
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Model
from studio.settings import Settings
from studio.training.environment import made_with

MODULE, PACKAGE = "mergekit", "mergekit"
KIND = "merge of models"
"""What the report calls it."""
_TENSORS = re.compile(r"^Executing graph: .*?(\d+)/(\d+) \[")


@dataclass(frozen=True)
class Merged:
    """What came out: `written`, and how it answered; `problem` is message and hint of why it could
    not be asked."""

    plan: MergePlan
    written: Written
    checked: Checked | None = None
    problem: tuple[str, str] | None = None


def require_mergekit() -> None:
    """Raises SetupError naming the command that installs mergekit, where it is missing."""
    if not is_installed(MODULE):
        raise SetupError("Whole models are merged by mergekit, which is not installed.",
                         f"Install it with: {install_command([PACKAGE])}")


def merge_models(wish: Wish, settings: Settings, *, checks: bool = True, overwrite: bool = False,
                 progress: Progress = silent, stop: ShouldStop = never) -> Merged:
    """Merge what is wished to a folder of the exports, whole or not at all, and ask it.

    Raises SetupError (no mergekit), ModelError or ExportError (models that cannot be merged so, a
    name that is taken), DiskError, Stopped.
    """
    started = time.monotonic()
    require_mergekit()
    _fetch(wish, settings, progress, stop)
    plan = plan_merge(wish, settings)
    output = folder_to_write(plan.output, overwrite)
    _require_no_part(plan, output)
    with folder_written_whole(output) as folder:
        require_free_bytes(folder, plan.bytes, f"Merging {plan.name}")
        _run(plan, folder, settings, progress, stop)
        progress(Step("Completing the folder"))
        notes = (*plan.notes, *_complete(plan, folder, settings))
        end_if_stopped(stop)
        written = reported(output, folder, started, notes, {"kind": KIND, **_facts(plan)})
    made = Merged(plan, written)
    return _checked(made, settings, progress, stop) if checks else made


def _fetch(wish: Wish, settings: Settings, progress: Progress, stop: ShouldStop) -> None:
    """Have every model on this PC; what then looks at them needs no network."""
    for given in (*(part.source for part in wish.parts), wish.mix.base):
        if given.strip():
            end_if_stopped(stop)
            find_model(whole_model_source(given, settings), settings, progress=progress, stop=stop)


def _require_no_part(plan: MergePlan, output: Path) -> None:
    for given in plan.everyone:
        if given.folder is not None and given.folder.absolute() == output:
            raise ExportError(f"{output.name} is one of the models that are merged.",
                              "Choose another name.")


def _run(plan: MergePlan, folder: Path, settings: Settings, progress: Progress,
         stop: ShouldStop) -> None:
    """Let mergekit work in a folder of its own inside `folder`, and move up what it wrote."""
    progress(Step("Starting mergekit"))
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        config, request = Path(inside) / CONFIG_FILE, Path(inside) / "request.json"
        config.write_text(yaml_text(plan), encoding="utf-8")
        request.write_text(json.dumps({
            "home": str(settings.home), "parent": os.getpid(), "config": str(config),
            "output": str(Path(inside) / "merged"), "seed": plan.mix.seed,
            "shard_bytes": SHARD_BYTES}), encoding="utf-8")
        arguments = studio_module("studio.export.model_merge.merging_process", str(request))
        with Child(arguments, cwd=Path(inside)) as child:
            while not child.has_ended():
                end_if_stopped(stop)
                report_bar(child.said, _TENSORS, "Merging tensor by tensor", "steps", progress)
        if not child.has_succeeded:
            raise _refusal(plan, child)
        for file in (Path(inside) / "merged").iterdir():
            file.replace(folder / file.name)


def _refusal(plan: MergePlan, child: Child) -> ExportError | DiskError:
    if child.was_killed:
        return ExportError(
            f"Memory ran out while {plan.name} was merged; about "
            f"{readable_bytes(plan.memory_bytes)} were foretold.",
            "Close other programs, or take linear, which needs the least.")
    if "No space left" in child.said:
        return DiskError(f"The disk is full: {plan.name} could not be written.",
                         "Free some space, and start it again.")
    return ExportError(f"mergekit could not merge these models: {child.last_words}",
                       "Try another method, or other models.")


def _complete(plan: MergePlan, folder: Path, settings: Settings) -> tuple[str, ...]:
    """Tokenizer, generation settings, licences, YAML and card; gives notes for the person."""
    base = plan.base.folder
    assert base is not None
    if plan.tokens == "copied":
        copy_tokenizer(base, folder)
    copy_generation_settings(base, folder)
    notes = make_usable(folder, Model(source=plan.base.source), settings)
    write_text_safely(folder / CONFIG_FILE, yaml_text(plan, shared=True))
    shared = shared_parts(plan, settings)
    card = merge_card(plan, shared, (*plan.notes, *notes), _versions())
    write_text_safely(folder / CARD_FILE, card)
    return notes


def _facts(plan: MergePlan) -> dict[str, Any]:
    return {"name": plan.name, "method": plan.method.name, "words": plan.words,
            "models": [one.shared_reference for one in plan.parts],
            "base": plan.base.shared_reference, "versions": _versions()}


def _versions() -> dict[str, str]:
    return made_with((PACKAGE, "torch", "transformers", "safetensors"))


def _checked(made: Merged, settings: Settings, progress: Progress, stop: ShouldStop) -> Merged:
    """Ask what was written; what is found wrong joins its notes and its report."""
    try:
        found = check(made.written.path, made.plan, settings, progress=progress, stop=stop)
    except ExportError as error:
        return dataclasses.replace(made, problem=(error.message, error.hint))
    notes = (*made.written.notes, *filter(None, (found.warning,)))
    file = made.written.path / REPORT_FILE
    write_json_safely(file, read_config(file) | {
        "notes": list(notes), "check": dataclasses.asdict(found)})
    written = dataclasses.replace(made.written, notes=notes,
                                  bytes=folder_bytes(made.written.path))
    return dataclasses.replace(made, written=written, checked=found)
