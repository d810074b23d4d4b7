"""The files of a tokenizer by their names, copied as they are: nothing is loaded.

Folders of runs and checkpoints hold much else, so names are listed instead of left out.
"""

from __future__ import annotations

import shutil
from pathlib import Path

TEMPLATE_FILE = "chat_template.jinja"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "tokenizer.model", "sentencepiece.bpe.model", "spiece.model", "tekken.json", "vocab.json",
    "vocab.txt", "merges.txt", "chat_template.json", TEMPLATE_FILE,
)
_TEMPLATES_FOLDER = "additional_chat_templates"


def tokenizer_files(folder: Path) -> list[Path]:
    """Those that lie in `folder`, templates for special uses among them."""
    found = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    return found + sorted((folder / _TEMPLATES_FOLDER).glob("*.jinja"))


def copy_tokenizer(source: Path, target: Path) -> int:
    """Copy the tokenizer in `source` to the folder `target`; gives the number of files."""
    files = tokenizer_files(source)
    for file in files:
        copy = target / file.relative_to(source)
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copy)
    return len(files)
