"""What of a JSON file may leave this PC: everything but paths, and what says who wrote it where.

Only the small configuration files of models, adapters and tokenizers; weights hold none of it.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from studio.files import write_json_safely
from studio.models.folder import read_config
from studio.models.tokenizer_files import TEMPLATE_FILE, TOKENIZER_FILES

_DROPPED = {"_name_or_path", "name_or_path", "is_local", "local_files_only", "added_tokens_file",
            "tokenizer_file"}
"""Where libraries write from where they loaded something."""
_OF_MODELS = ("config.json", "generation_config.json", "adapter_config.json")
_OF_TOKENIZERS = ("tokenizer_config.json", "special_tokens_map.json")
_VOCABULARIES = {*TOKENIZER_FILES} - {*_OF_TOKENIZERS, TEMPLATE_FILE}


def is_path(text: str) -> bool:
    """Whether `text` is a path of some PC: absolute, on Windows or elsewhere, or in a home."""
    short = len(text) < 1024 and "\n" not in text
    return short and ((PurePosixPath(text).is_absolute() and len(text) > 1)
                      or bool(PureWindowsPath(text).drive) or text.startswith("~/"))


def cleaned(value: Any, *, of_tokenizer: bool = False) -> Any:
    """A copy of JSON-like `value` without paths: such keys are left out, such values are None.

    Values of a tokenizer stay: "/x" may be one of its tokens.
    """
    if isinstance(value, dict):
        return {key: cleaned(one, of_tokenizer=of_tokenizer) for key, one in value.items()
                if key not in _DROPPED}
    if isinstance(value, list):
        return [cleaned(one, of_tokenizer=of_tokenizer) for one in value]
    return None if not of_tokenizer and isinstance(value, str) and is_path(value) else value


def clean_configs(folder: Path) -> None:
    """Clean the configuration files of a model or adapter in `folder`; others stay as they are."""
    for name in (*_OF_MODELS, *_OF_TOKENIZERS):
        file = folder / name
        if not file.is_file():
            continue
        before = read_config(file)
        after = cleaned(before, of_tokenizer=name in _OF_TOKENIZERS)
        if after != before:
            write_json_safely(file, after)


def holds_text(folder: Path, text: str) -> list[str]:
    """Names (with /) of the small files below `folder` that hold `text`, also as JSON spells it.

    Weights and vocabularies are left out: "/root" may be a token.
    """
    spelled = {text.encode(), json.dumps(text)[1:-1].encode()}
    small = (file for file in sorted(folder.rglob("*"))
             if file.is_file() and file.suffix not in (".safetensors", ".gguf")
             and file.name not in _VOCABULARIES)
    return [file.relative_to(folder).as_posix() for file in small
            if any(one in file.read_bytes() for one in spelled)]
