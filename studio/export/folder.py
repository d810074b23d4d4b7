"""What a model folder needs besides its weights, so that a stranger can use it as it is.

Every token that ends an answer in its generation config, the chat template, a model card, the
base's licence files, and no path of this PC. Weights and export.json are the merge's.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.export.clean import clean_configs
from studio.export.model_card import CARD_FILE, model_card
from studio.export.output import REPORT_FILE, Written
from studio.export.shared_base import license_files, shared_base
from studio.files import folder_bytes, write_json_safely, write_text_safely
from studio.models.folder import ModelFolder, read_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studio.export.origin import Origin
    from studio.recipe import Model
    from studio.settings import Settings

_NO_TEMPLATE = ("Neither the base nor the adapter has a chat template, so programs that chat with "
                "it must be told one.")


def complete_merged(written: Written, origin: Origin, settings: Settings) -> Written:
    """`complete_folder` for what a merge gave back, its size and notes brought up to date."""
    found = complete_folder(written.path, origin, settings, written.notes)
    notes = (*written.notes, *(note for note in found if note not in written.notes))
    file = written.path / REPORT_FILE
    write_json_safely(file, read_config(file) | {"bytes": folder_bytes(written.path),
                                                 "notes": list(notes)})
    return replace(written, bytes=folder_bytes(written.path), notes=notes)


def complete_folder(
    folder: Path, origin: Origin, settings: Settings, notes: Sequence[str] = ()
) -> tuple[str, ...]:
    """Add to the merged model in `folder` what it lacks; gives notes for the person.

    `notes` of the merge go into the card. May be called again: the same comes out.
    """
    found = make_usable(folder, origin.model, settings)
    base = shared_base(origin, settings)
    card = model_card(origin, base, "merged", folder.name, (*notes, *found))
    write_text_safely(folder / CARD_FILE, card)
    return found


def make_usable(folder: Path, base: Model, settings: Settings) -> tuple[str, ...]:
    """The same but the card: ends of answers, licences of `base`, no path of this PC."""
    from studio.models.loading import load_tokenizer

    tokenizer = load_tokenizer(ModelFolder(folder, folder.name, str(folder)),
                               trust_remote_code=base.trust_remote_code)
    _end_answers(folder, tokenizer)
    clean_configs(folder)
    for file in license_files(base, settings):
        if not (folder / file.name).exists():
            shutil.copyfile(file, folder / file.name)
    return () if tokenizer.chat_template else (_NO_TEMPLATE,)


def _end_answers(folder: Path, tokenizer: Any) -> None:
    """generation_config.json ends an answer at each token that the template ends one with; servers
    read it and nothing else. Edited as JSON: transformers refuses to save some published ones."""
    from studio.data.templates import named_ends, stop_token_ids

    file = folder / "generation_config.json"
    config = read_config(file) if file.is_file() else _made_of(folder)
    known = named_ends(config.get("eos_token_id"))
    ends = list(dict.fromkeys([*known, *stop_token_ids(tokenizer)]))
    if ends != known or not file.is_file():
        config["eos_token_id"] = ends[0] if len(ends) == 1 else ends
        write_json_safely(file, config)


def _made_of(folder: Path) -> dict[str, Any]:
    """What transformers would make of config.json."""
    from transformers import AutoConfig, GenerationConfig

    config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    made: dict[str, Any] = GenerationConfig.from_model_config(config).to_diff_dict()
    return made
