"""Writes the folder of a run's script: train.py, its examples, the template, what to install.

The data are read again as the run read them, and told when they are no longer the same. Trains
nothing.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from studio.errors import ExportError
from studio.export.output import Written, end_if_stopped, folder_to_write, reported
from studio.export.script.accelerate import accelerate_config
from studio.export.script.calls import Code
from studio.export.script.differs import differences
from studio.export.script.facts import Facts, precision_of, recipe_of
from studio.export.script.rewards import copy_own_rewards
from studio.export.script.rows import WrittenRows, write_rows
from studio.export.script.start_text import copy_start
from studio.export.script.text import script_text
from studio.export.shared_base import shared_base
from studio.files import (
    folder_written_whole,
    require_free_bytes,
    typed_path,
    write_text_safely,
)
from studio.models.folder import read_config
from studio.progress import Progress, ShouldStop, never, silent
from studio.runs import Run
from studio.training.environment import fingerprint_of, library_versions, read_environment

if TYPE_CHECKING:
    from studio.data.prepare import Prepared
    from studio.export.origin import Origin
    from studio.recipe import Recipe
    from studio.settings import Settings

SCRIPT_FILE = "train.py"
_TEXT_BYTES = 40_000
_EXAMPLE_BYTES = 1000
_NEEDED = ("torch", "transformers", "peft", "trl", "accelerate", "datasets", "bitsandbytes")
_DATA_NOTE = ("The folder data holds the examples themselves: pass it on only to those who may "
              "read them.")
_TOKENS_NOTE = ("The chat template renders answers in a way that a short script cannot find again, "
                "so data holds tokens instead of readable examples.")
_CHANGED_NOTE = ("The data are not the same as when the run was trained, so neither are the "
                 "losses.")


def script_bytes(origin: Origin) -> int:
    """About what it will take: a kilobyte an example, or the size of the data's file."""
    run = _run_of(origin)
    source = typed_path(run.recipe.data.source)
    if source.is_file():
        return source.stat().st_size + _TEXT_BYTES
    known = read_environment(run.path).get("data", {})
    count = sum(known.get(name, 0) for name in ("train_examples", "eval_examples"))
    return _TEXT_BYTES + _EXAMPLE_BYTES * count


def write_script(
    origin: Origin, output: Path, settings: Settings, *, progress: Progress = silent,
    stop: ShouldStop = never, overwrite: bool = False,
) -> Written:
    """Write the run of `origin` to the folder `output` as a script.

    Raises ExportError (no run, a method without a script, output taken), DataError and ModelError
    where data or base are gone, DiskError, Stopped.
    """
    started = time.monotonic()
    output = folder_to_write(output, overwrite)
    run = _run_of(origin)
    recipe = recipe_of(run)
    require_free_bytes(output.parent, script_bytes(origin), f"The script of {run.name}")
    with folder_written_whole(output) as folder:
        data, rows, ends = _write_data(folder, recipe, settings, progress, stop)
        facts = Facts(run.name, recipe, shared_base(origin, settings), precision_of(run, recipe),
                      _peft_config(recipe, settings), rows, ends, run.story(),
                      read_environment(run.path))
        notes = _notes(facts, data)
        _write_text(folder, facts)
        copy_start(folder, run.path, facts)
        end_if_stopped(stop)
        made = reported(output, folder, started, notes, {
            "kind": "training script", "name": origin.name, "base": facts.base.reference,
            "differs": differences(facts), "versions": library_versions(_NEEDED)})
    return made


def _write_data(
    folder: Path, recipe: Recipe, settings: Settings, progress: Progress, stop: ShouldStop
) -> tuple[Prepared, WrittenRows, tuple[int, ...]]:
    """The examples, and the template that they are rendered with; the base is fetched if need be.

    Gives the tokens that end an answer, too.
    """
    from studio.data.prepare import prepare
    from studio.data.templates import end_ids_of
    from studio.models.loading import load_tokenizer
    from studio.models.source import find_model

    wanted = recipe.model
    base = find_model(wanted.source, settings, revision=wanted.revision,
                      trust_remote_code=wanted.trust_remote_code, progress=progress, stop=stop)
    tokenizer: Any = load_tokenizer(base, trust_remote_code=wanted.trust_remote_code)
    data = prepare(recipe, tokenizer, settings, progress=progress, stop=stop)
    tokenizer.chat_template = data.chat_template
    write_text_safely(folder / "chat_template.jinja", data.chat_template)
    file = base.path / "generation_config.json"
    known = read_config(file) if file.is_file() else {}
    ends = end_ids_of(tokenizer, SimpleNamespace(eos_token_id=known.get("eos_token_id")))
    rows = write_rows(folder, recipe, data, tokenizer, progress, stop)
    return data, rows, tuple(sorted(ends))


def _write_text(folder: Path, facts: Facts) -> None:
    write_text_safely(folder / SCRIPT_FILE, script_text(facts))
    copy_own_rewards(folder, facts)
    write_text_safely(folder / "accelerate.yaml", accelerate_config(facts.precision))
    write_text_safely(folder / "requirements.txt", _requirements(facts))


def _notes(facts: Facts, data: Prepared) -> list[str]:
    before = facts.environment.get("data", {}).get("fingerprint")
    changed = before is not None and before != fingerprint_of(data.train)
    return [_DATA_NOTE, *([_TOKENS_NOTE] if facts.rows.are_tokens else []),
            *([_CHANGED_NOTE] if changed else [])]


def _run_of(origin: Origin) -> Run:
    if origin.run is None:
        raise ExportError(f"{origin.name} is no run of this studio, so nothing is known of how it "
                          "was trained.", "Choose a run.")
    return origin.run


def _peft_config(recipe: Recipe, settings: Settings) -> Any:
    """PEFT's own configuration object; None where every weight is trained."""
    if recipe.adapter.trains_base:
        return None
    from studio.adapters.methods import peft_config
    from studio.models.shape import model_shape

    shape = model_shape(recipe.model.source, settings, revision=recipe.model.revision,
                        trust_remote_code=recipe.model.trust_remote_code)
    config: Any = peft_config(recipe.adapter, shape)
    text = recipe.adapter.prompt_text.strip()
    if recipe.adapter.method == "prompt_tuning" and text:
        config.prompt_tuning_init, config.prompt_tuning_init_text = "TEXT", text
        config.tokenizer_name_or_path = Code("arguments.base")
    return config


def _requirements(facts: Facts) -> str:
    """The versions that the run was made with; those of here where it did not record any."""
    recipe = facts.recipe
    known = facts.environment.get("libraries") or library_versions(_NEEDED)
    unneeded = {"bitsandbytes"} if recipe.model.quantization == "none" \
        and "8bit" not in recipe.training.optimizer else set()
    # What stands behind a plus names a build of torch that only its own index has.
    return "".join(f"{name}=={known[name].partition('+')[0]}\n" for name in _NEEDED
                   if name in known and name not in unneeded)
