"""The adapter alone, for those who have the base: PEFT's files and a card, nothing of this PC.

The base is named as a stranger finds it. What a run keeps besides (optimizer, arguments, the
person's prompts) stays behind, since only the files that PEFT and a tokenizer read are copied.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.adapters.folder import CONFIG_FILE, WEIGHTS_FILE, read_adapter_folder
from studio.errors import ExportError
from studio.export.clean import clean_configs, cleaned
from studio.export.model_card import CARD_FILE, model_card
from studio.export.output import Written, end_if_stopped, folder_to_write, growth_reported, reported
from studio.export.shared_base import SharedBase, license_files, shared_base
from studio.files import (
    folder_written_whole,
    require_free_bytes,
    write_json_safely,
    write_text_safely,
)
from studio.models.tokenizer_files import copy_tokenizer, tokenizer_files
from studio.progress import Progress, ShouldStop, never, silent

if TYPE_CHECKING:
    from studio.export.origin import Origin
    from studio.settings import Settings

_ONLY_HERE = ("The base {name} is a folder of this PC and has no address: whoever gets the adapter "
              "needs the same folder, and gives its path in place of {name}.")


def default_adapter_folder(settings: Settings, name: str) -> Path:
    """Where the adapter of the run `name` goes unless somebody says otherwise."""
    return settings.exports / f"{name}-adapter"


def adapter_bytes(origin: Origin) -> int:
    """The size to expect, less the card of a few kilobytes."""
    return sum(path.stat().st_size for path in _files(origin))


def write_adapter(
    origin: Origin, output: Path, settings: Settings, *, progress: Progress = silent,
    stop: ShouldStop = never, overwrite: bool = False,
) -> Written:
    """Write the adapter of `origin` to the folder `output`, cleaned for sharing.

    Raises ExportError (no adapter, name, output taken), ModelError (damaged), DiskError, Stopped.
    """
    started = time.monotonic()
    output = folder_to_write(output, overwrite)
    if origin.is_full_model:
        raise ExportError(f"{origin.name} trained every weight, so there is no adapter.",
                          "Export the whole model instead.")
    adapter = read_adapter_folder(origin.path)
    size = adapter_bytes(origin)
    require_free_bytes(output.parent, size, f"Copying the adapter of {origin.name}")
    base = shared_base(origin, settings)
    only_here = [] if base.hub_id else [_ONLY_HERE.format(name=base.name)]
    notes = [base.note, *only_here] if base.note else only_here
    with folder_written_whole(output) as folder:
        with growth_reported(folder, size, "Copying the adapter", progress):
            for name in (CONFIG_FILE, WEIGHTS_FILE):
                end_if_stopped(stop)
                shutil.copyfile(origin.path / name, folder / name)
            copy_tokenizer(origin.path, folder)
        write_json_safely(folder / CONFIG_FILE, _config_to_share(adapter.config, base))
        clean_configs(folder)
        for file in license_files(origin.model, settings):
            shutil.copyfile(file, folder / file.name)
        write_text_safely(folder / CARD_FILE, model_card(
            origin, base, "adapter", output.name, only_here))
        end_if_stopped(stop)
        made = reported(output, folder, started, notes, {
            "kind": "adapter", "name": origin.name, "base": base.reference,
            "base_revision": base.revision})
    return made


def _config_to_share(config: dict[str, Any], base: SharedBase) -> dict[str, Any]:
    """PEFT's own settings: for answering, over a base that others have, too."""
    shared: dict[str, Any] = cleaned(config)
    shared |= {"base_model_name_or_path": base.reference, "inference_mode": True,
               "revision": base.revision if base.hub_id else None}
    if config.get("tokenizer_name_or_path"):  # of prompt tuning that began as a text
        shared["tokenizer_name_or_path"] = base.reference
    return shared


def _files(origin: Origin) -> list[Path]:
    return [origin.path / CONFIG_FILE, origin.path / WEIGHTS_FILE, *tokenizer_files(origin.path)]
