"""Measures which columns of each weight a model's own data need most: an importance matrix.

The mean of the squared inputs of every linear layer, as llama.cpp's own tool measures it; k-quants
round those columns with more care. The model runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from studio.child import Child, studio_module
from studio.errors import ExportError
from studio.export.calibration import calibration_rows
from studio.export.output import end_if_stopped
from studio.export.stored import stored_weights
from studio.models.folder import ModelFolder
from studio.progress import Progress, ShouldStop, Step, never, silent
from studio.recipe import Data
from studio.settings import Settings


@dataclass(frozen=True)
class Importance:
    """What the model reads while it is measured: at most `rows` rows of `row_tokens` tokens of
    `data`, usually what it was trained on (see `calibration.calibration_data`)."""

    data: Data
    rows: int = 64
    row_tokens: int = 512


def write_importance(model_folder: Path, output: Path, importance: Importance,
                     settings: Settings, *, progress: Progress = silent,
                     stop: ShouldStop = never) -> tuple[str, ...]:
    """Write the importance matrix of a Transformers folder to `output`, in llama.cpp's format.

    Gives notes for a person. Raises DataError, ExportError where the model cannot run, Stopped.
    """
    from studio.models.loading import load_tokenizer

    progress(Step("Reading the examples that the model is measured on"))
    source = ModelFolder(model_folder, model_folder.name, str(model_folder))
    rows = calibration_rows(
        importance.data, load_tokenizer(source), settings, rows=importance.rows,
        row_tokens=importance.row_tokens, progress=progress, stop=stop)
    with tempfile.TemporaryDirectory() as inside:
        request = {"home": str(settings.home), "offline": settings.offline,
                   "parent": os.getpid(), "model": str(model_folder.absolute()),
                   "rows": rows, "output": str(output),
                   "dtype": stored_weights(model_folder).dtype_name}
        _measure(Path(inside), request, progress, stop)
    return (f"Rounded with care where {sum(map(len, rows)):,} tokens of the training data need it "
            "(importance matrix).",)


def _measure(inside: Path, request: dict[str, object], progress: Progress, stop: ShouldStop
             ) -> None:
    request_file = inside / "request.json"
    request_file.write_text(json.dumps(request), encoding="utf-8")
    progress(Step("Measuring which weights matter to the data"))
    arguments = studio_module("studio.export.imatrix_process", str(request_file))
    with Child(arguments, cwd=inside) as child:
        while not child.has_ended():
            end_if_stopped(stop)
            done, _, total = child.last_words.partition(" of ")
            if done.isdecimal() and total.isdecimal():
                progress(Step("Measuring which weights matter to the data", int(done), int(total),
                              "rows"))
    if not child.has_succeeded:
        # The last words of one that was killed are only how far it was.
        why = "memory ran out." if child.was_killed else child.last_words
        raise ExportError(
            f"The importance of the weights could not be measured: {why}",
            "Check that memory suffices, or write the file without it.")
