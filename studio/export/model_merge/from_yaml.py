"""Reads mergekit's YAML back into a wish: what the studio writes, and others of that kind.

Whole models only, one number each. What mergekit can do beyond that (slices, adapters, numbers by
layer) is refused by name: `mergekit-yaml` itself runs such a file.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from studio.errors import ModelError
from studio.export.model_merge.methods import METHODS, Mix
from studio.export.model_merge.parts import Part, Wish

_KEYS = ("merge_method", "base_model", "models", "parameters", "dtype", "out_dtype", "tokenizer",
         "tokenizer_source")
_ELSEWHERE = "Other files of mergekit are run by its own command: mergekit-yaml CONFIG.yml FOLDER"


def read_wish(file: Path, *, name: str = "", seed: int = 0) -> Wish:
    """The wish in a YAML file. Raises ModelError for a file that cannot be read or says more than
    the studio merges."""
    try:
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        first = str(error).splitlines()[0]
        raise ModelError(f"{file} cannot be read as YAML: {first}", _ELSEWHERE) from None
    if not isinstance(told, dict) or not isinstance(told.get("models"), list):
        raise ModelError(f"{file} has no list of models.", _ELSEWHERE)
    _require_known(told, _KEYS, file.name)
    parameters = _parameters(told, ("t", "normalize", "density", "weight"))
    method = METHODS.get(str(told.get("merge_method")))
    base = _model(told["base_model"]) if told.get("base_model") is not None else ""
    parts = [_part(entry, parameters) for entry in told["models"]]
    if method is not None and not method.needs_base:
        parts = _first_first(parts, base) if method.turns else parts
        base = ""
    usual = Mix()
    source = (told.get("tokenizer") or {}).get("source") or told.get("tokenizer_source")
    mix = Mix(str(told.get("merge_method")), base, _number("t", parameters.get("t", usual.t)),
              told.get("out_dtype") or told.get("dtype"), source or usual.tokens, seed)
    return Wish(parts, mix, name)


def _part(entry: Any, shared: Mapping[str, Any]) -> Part:
    if not isinstance(entry, dict) or "model" not in entry:
        raise ModelError(f"{entry!r} names no model.", "Write - model: NAME for each.")
    _require_known(entry, ("model", "parameters"), "an entry of models")
    own = {**shared, **_parameters(entry, ("weight", "density"))}
    density = own.get("density")
    return Part(_model(entry["model"]), _number("weight", own.get("weight", 1.0)),
                None if density is None else _number("density", density))


def _parameters(told: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    found = told.get("parameters") or {}
    if not isinstance(found, dict):
        raise ModelError(f"parameters is {found!r}, but must be names with numbers.", _ELSEWHERE)
    _require_known(found, known, "parameters")
    if found.get("normalize", True) is not True:
        raise ModelError("normalize is switched off, which the studio does not do.", _ELSEWHERE)
    return found


def _model(told: Any) -> str:
    """The name of a model: as text, or in mergekit's long form."""
    if isinstance(told, dict):
        inner = told.get("model")
        path = inner.get("path") if isinstance(inner, dict) else inner
        if told.get("lora") is None and isinstance(path, str) and not (
                isinstance(inner, dict) and inner.get("revision")):
            return path
    elif isinstance(told, str) and "+" not in told:
        return told
    raise ModelError(f"{told!r} is more than the name of a whole model.", _ELSEWHERE)


def _number(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelError(f"{what} is {value!r}, but must be one number.", _ELSEWHERE)
    return float(value)


def _first_first(parts: list[Part], base: str) -> list[Part]:
    """SLERP begins at what mergekit calls its base."""
    return sorted(parts, key=lambda part: bool(base) and part.source != base)


def _require_known(told: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    unknown = next((str(key) for key in told if key not in known), None)
    if unknown is None:
        return
    near = difflib.get_close_matches(unknown, known, n=1)
    raise ModelError(f"{where} has {unknown!r}, which the studio does not know.",
                     f"Did you mean {near[0]}?" if near else _ELSEWHERE)
