"""What a writer needs before it makes something of a merged model, and what goes along unchanged.

Looks at names, config.json, and headers; loads nothing.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from studio.errors import ExportError, ModelError
from studio.export.model_card import CARD_FILE
from studio.export.output import REPORT_FILE
from studio.export.rewriting import GENERATION_FILE
from studio.export.shared_base import LICENSE_NAMES
from studio.files import write_text_safely
from studio.models.folder import check_model_folder, read_config
from studio.models.tokenizer_files import tokenizer_files

_BESIDE_WEIGHTS = ("tokenizer*", "vocab.*", "*.model", "*.jinja", GENERATION_FILE, *LICENSE_NAMES)
"""Besides what `tokenizer_files` lists; authors name files of a tokenizer otherwise, too."""
_KEPT_FACTS = ("adapter", "base", "base_revision")


def require_whole_model(folder: Path) -> None:
    """Raises ExportError unless `folder` is a whole model that needs no Python code of its own,
    ModelError where a file of settings is damaged."""
    try:
        check_model_folder(folder)
    except ModelError as error:
        raise ExportError(error.message,
                          "Merge the adapter first: this is made of a whole model.") from error
    for name in ("config.json", "tokenizer_config.json"):
        file = folder / name
        if file.is_file() and "auto_map" in read_config(file):
            raise ExportError(f"{folder.name} brings Python code of its own ({name}), which would "
                              "have to run.", "Such models are not converted here.")


def copy_beside_weights(source: Path, target: Path) -> None:
    """Tokenizer, chat template, generation settings, and licence: as they are, byte for byte."""
    for file in _beside_weights(source):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copy)


def beside_weights_bytes(source: Path) -> int:
    """What `copy_beside_weights` will write."""
    return sum(file.stat().st_size for file in _beside_weights(source))


def copy_card(source: Path, target: Path, how: str) -> None:
    """The model card with one more section, which says `how` the weights were rounded."""
    card = source / CARD_FILE
    if card.is_file():
        text = card.read_text(encoding="utf-8").rstrip()
        write_text_safely(target / CARD_FILE, f"{text}\n\n## Rounded weights\n\n{how}\n")


def _beside_weights(source: Path) -> set[Path]:
    others = (file for pattern in _BESIDE_WEIGHTS for file in source.glob(pattern)
              if file.is_file())
    return {*tokenizer_files(source), *others}


def where_it_came_from(source: Path) -> dict[str, Any]:
    """Adapter and base as the report of the merge names them; empty for any other model.

    Raises ModelError where that report is damaged: half of it may mean half of the weights.
    """
    file = source / REPORT_FILE
    if not file.is_file():
        return {}
    report = read_config(file)
    return {key: report[key] for key in _KEPT_FACTS if key in report}
