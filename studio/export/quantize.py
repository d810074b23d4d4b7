"""Writes a model folder in 4 bits for GPUs, as GPTQ or AWQ: what vLLM, TGI, and SGLang serve.

AutoRound does it, an optional package, in a process of its own, and measures the model on the
person's own training data meanwhile. What fits the model's shape is checked first, in
`quantize_shape.py`.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.child import Child, studio_module
from studio.device import pick_device
from studio.errors import ExportError, SetupError
from studio.export.calibration import calibration_rows
from studio.export.output import Written, end_if_stopped, folder_to_write, report_bar, reported
from studio.export.quantize_shape import (
    ROW_TOKENS,
    Format,
    Plan,
    calibration_rows_for,
    plan_of,
    processor_seconds,
    quantized_bytes,
)
from studio.export.rewriting import GENERATION_FILE
from studio.export.stored import stored_weights
from studio.export.whole_model import (
    copy_beside_weights,
    copy_card,
    require_whole_model,
    where_it_came_from,
)
from studio.extras import install_command, is_installed
from studio.files import (
    folder_written_whole,
    require_free_bytes,
)
from studio.models.folder import ModelFolder
from studio.models.shape import model_shape
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Data
from studio.settings import Settings
from studio.training.environment import library_versions

MODULE, PACKAGE, READER = "auto_round", "auto-round", "auto-round-lib"
_FEW_TOKENS = 8192
_BLOCKS = re.compile(r"^Quantizing .*?(\d+)/(\d+) \[")


@dataclass(frozen=True)
class Rounding:
    """How to round. `data` is what the model is measured on, usually what it was trained on (see
    `calibration.calibration_data`); `group_size` None takes the largest that fits.

    `tuning_steps` 0 rounds every weight to the nearest value, errors weighted by the data. With
    more AutoRound tunes the rounding by so many gradient steps a block: better, but long work
    without a GPU (see `TUNING_STEPS`). `rows` of `row_tokens` tokens are read; None takes what the
    format needs.
    """

    format: Format
    data: Data | None
    group_size: int | None = None
    tuning_steps: int = 0
    rows: int | None = None
    row_tokens: int = ROW_TOKENS

    @property
    def wanted_rows(self) -> int:
        """`rows`, or what is enough."""
        return self.rows or calibration_rows_for(self.format, self.tuning_steps)


def require_auto_round() -> None:
    """Raises SetupError naming the command that installs AutoRound, where it is missing."""
    if not is_installed(MODULE):
        raise SetupError("GPTQ and AWQ are written by AutoRound, which is not installed.",
                         f"Install it with: {install_command([PACKAGE, READER])}")


def write_quantized(model_folder: Path, output: Path, rounding: Rounding, settings: Settings, *,
                    progress: Progress = silent, stop: ShouldStop = never,
                    overwrite: bool = False) -> Written:
    """Write the model of a Transformers folder to `output`, whole or not at all.

    Raises ExportError (output taken, no whole model, a shape or group size that does not fit, no
    data), SetupError (no AutoRound), DataError, DiskError, Stopped.
    """
    started = time.monotonic()
    output = folder_to_write(output, overwrite)
    require_whole_model(model_folder)
    facts = where_it_came_from(model_folder)
    shape = model_shape(str(model_folder), settings)
    plan = plan_of(shape, rounding.format, rounding.group_size)
    size = quantized_bytes(model_folder, shape, plan)
    data = _required_data(rounding)
    require_auto_round()
    rows = _rows(model_folder, data, rounding, settings, progress, stop)
    notes = (*plan.notes, *_data_notes(rows, rounding))
    with folder_written_whole(output) as folder:
        require_free_bytes(folder, size, f"Writing {output.name}")
        progress(Step(_first_words(model_folder.name, plan, rounding, rows)))
        _round(model_folder, folder, _request(model_folder, plan, rounding, rows, settings),
               progress, stop)
        copy_beside_weights(model_folder, folder)
        copy_card(model_folder, folder, _card(plan, rows))
        end_if_stopped(stop)
        made = reported(output, folder, started, notes, {
            "kind": f"{rounding.format.upper()} model", "model": model_folder.name,
            **facts, "group_size": plan.group_size, "tuning_steps": rounding.tuning_steps,
            "calibration_tokens": sum(map(len, rows)),
            "versions": library_versions(("torch", "transformers", PACKAGE))})
    return made


def _required_data(rounding: Rounding) -> Data:
    if rounding.data is None:
        raise ExportError(
            f"{rounding.format.upper()} measures the model on examples, and there are none: this "
            "adapter belongs to no run.",
            "Choose the run that made it, or a format that needs no data: GGUF or NF4.")
    return rounding.data


def _rows(model_folder: Path, data: Data, rounding: Rounding, settings: Settings,
          progress: Progress, stop: ShouldStop) -> list[list[int]]:
    from studio.models.loading import load_tokenizer

    progress(Step("Reading the examples that the model is measured on"))
    tokenizer = load_tokenizer(ModelFolder(model_folder, model_folder.name, str(model_folder)))
    return calibration_rows(data, tokenizer, settings, rows=rounding.wanted_rows,
                            row_tokens=rounding.row_tokens, progress=progress, stop=stop)


def _data_notes(rows: list[list[int]], rounding: Rounding) -> tuple[str, ...]:
    tokens = sum(map(len, rows))
    if tokens >= min(_FEW_TOKENS, rounding.wanted_rows * rounding.row_tokens):
        return ()
    return (f"The model was measured on {tokens:,} tokens only, since the data has no more: "
            "compare the answers before you pass it on.",)


def _card(plan: Plan, rows: list[list[int]]) -> str:
    return (f"The weights are in {plan.format.upper()}, 4 bits in groups of {plan.group_size}, "
            f"rounded by AutoRound with {sum(map(len, rows)):,} tokens of the training data. vLLM, "
            "SGLang and TGI serve the folder as it is; `transformers` reads it through "
            "`gptqmodel`, or through `auto-round` with `quantization_config=AutoRoundConfig()`.")


def _first_words(name: str, plan: Plan, rounding: Rounding, rows: list[list[int]]) -> str:
    """What is about to happen, and without a GPU how long it will take."""
    if pick_device().kind == "cuda":
        return f"Loading {name}"
    minutes = processor_seconds(plan, sum(map(len, rows)), rounding.tuning_steps) / 60
    return f"Loading {name}; rounding takes about {max(1, round(minutes))} min on this processor"


def _request(model_folder: Path, plan: Plan, rounding: Rounding, rows: list[list[int]],
             settings: Settings) -> dict[str, Any]:
    return {
        "home": str(settings.home), "offline": settings.offline, "parent": os.getpid(),
        "model": str(model_folder.absolute()), "dtype": stored_weights(model_folder).dtype_name,
        "format": plan.format, "group_size": plan.group_size,
        "tuning_steps": rounding.tuning_steps, "rows": rows,
    }


def _round(model_folder: Path, folder: Path, request: dict[str, Any], progress: Progress,
           stop: ShouldStop) -> None:
    """Let AutoRound work in a folder of its own inside `folder`, and move up what it wrote."""
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        request_file = Path(inside) / "request.json"
        request_file.write_text(json.dumps({**request, "output": inside}), encoding="utf-8")
        arguments = studio_module("studio.export.quantize_process", str(request_file))
        with Child(arguments, cwd=Path(inside)) as child:
            while not child.has_ended():
                end_if_stopped(stop)
                report_bar(child.said, _BLOCKS, "Rounding blocks of layers", "blocks", progress)
        if not child.has_succeeded:
            raise _refusal(model_folder.name, child)
        _move_up(Path(inside), folder)


def _move_up(inside: Path, folder: Path) -> None:
    """AutoRound names the folder that it writes itself; its empty generation settings stay."""
    written = [file.parent for file in inside.rglob("config.json")]
    if len(written) != 1:
        raise ExportError("AutoRound ended without a model folder.",
                          "Try another format, or another version of AutoRound.")
    for file in written[0].iterdir():
        if file.name != GENERATION_FILE:
            file.replace(folder / file.name)


def _refusal(name: str, child: Child) -> ExportError:
    if child.was_killed:
        return ExportError(f"Memory ran out while {name} was rounded.",
                           "Close other programs, or use GGUF, which needs less.")
    return ExportError(f"AutoRound could not round {name}: {child.last_words}",
                       "Try another format: GGUF and NF4 know most models.")
