"""How good is an answer, from 0 to 1: pure functions of it, the expected answer, and the prompt.

Reasoning that a model writes in <think> before its answer does not count as part of it. Asking the
model is `scoring.py`.
"""

from __future__ import annotations

import difflib
import importlib.util
import math
import re
import sys
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from studio.data.score import canonical_json
from studio.errors import RecipeError, RunError
from studio.files import typed_path
from studio.models.thoughts import split_thought
from studio.recipe import Monitor

Scorer = Callable[[str, str, str], float]
"""(answer, expected, prompt) -> 0..1."""

_COMPARED_CHARACTERS = 600
_FROM_0_TO_1 = " from 0 to 1"
_KEY = "monitor.scorer_value"


class ScoringError(RunError):
    """The person's own function could not score one answer. Says file and line."""


def scorer_for(monitor: Monitor) -> Scorer | None:
    """The scorer that a recipe names, None for none.

    Raises RecipeError for a pattern that is none, and RunError where the person's own file or
    function cannot be had.
    """
    if monitor.scorer == "none":
        return None
    found = _SCORERS[monitor.scorer](monitor.scorer_value)
    return lambda answer, expected, prompt: found(
        without_reasoning(answer), without_reasoning(expected), prompt)


def require_scorer(monitor: Monitor) -> None:
    """Raises what `scorer_for` raises, before anything is loaded."""
    scorer_for(monitor)


def without_reasoning(text: str) -> str:
    """The text behind a leading block of thoughts; all of it where the block does not end."""
    parts = split_thought(text)
    return text if parts.is_thinking else parts.answer


def exact_match(answer: str, expected: str, prompt: str = "") -> float:
    """1 where both are the same text, runs of white space counted as one space."""
    return float(answer.split() == expected.split())


def json_valid(answer: str, expected: str = "", prompt: str = "") -> float:
    """1 where the whole answer is one JSON object or list with no key given twice."""
    return float(canonical_json(answer) is not None)


def json_equal(answer: str, expected: str, prompt: str = "") -> float:
    """1 where both are the same JSON; order of keys and spaces do not count."""
    got = canonical_json(answer)
    return float(got is not None and got == canonical_json(expected))


def similarity(answer: str, expected: str, prompt: str = "") -> float:
    """The share of both texts that stands in the other in the same order (Ratcliff and Obershelp);
    1 where they are the same, runs of white space counted as one space.

    Of very long texts the beginning counts, since the time grows with the square of the length.
    """
    got, wanted = (" ".join(text.split())[:_COMPARED_CHARACTERS] for text in (answer, expected))
    return difflib.SequenceMatcher(None, got, wanted, autojunk=False).ratio()


def contains(wanted: str = "") -> Scorer:
    """1 where the answer holds `wanted`, or the expected answer where that is empty."""

    def score(answer: str, expected: str, prompt: str) -> float:
        text = " ".join((wanted.strip() or expected).split())
        return float(text in " ".join(answer.split()))

    return score


def regex(pattern: str, key: str = _KEY) -> Scorer:
    """1 where `pattern` is found anywhere in the answer. Raises RecipeError for no valid one.

    `key` is the recipe's field that holds it, for the message.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise RecipeError(f"{key} is no regular expression: {error}.",
                          f"Correct {pattern!r}; \\ before a mark makes it an ordinary one.",
                          ) from error
    return lambda answer, expected, prompt: float(compiled.search(answer) is not None)


def own_function(named: str, key: str = _KEY, *, is_share: bool = True) -> Scorer:
    """`file.py:function`, loaded from the person's own file.

    Raises RunError where there is no such file or function. The scorer raises ScoringError where
    the function breaks, gives no finite number, or one outside 0 to 1 where `is_share`. `key` is
    the recipe's field that names it.
    """
    path, name = _file_and_name(named, key)
    function = getattr(_loaded(path), name, None)
    if not callable(function):
        raise RunError(f"{path} has no function {name}.",
                       f"Write one: def {name}(answer, expected, prompt): ... that gives a "
                       f"number{_FROM_0_TO_1 if is_share else ''}.")

    def score(answer: str, expected: str, prompt: str) -> float:
        with _TheirMistake(path, f"{name} broke on an answer"):
            value = function(answer, expected, prompt)
        return _checked(value, path, name, is_share)

    return score


def _file_and_name(named: str, key: str) -> tuple[Path, str]:
    file, colon, name = named.strip().rpartition(":")
    path = typed_path(file)
    if not colon or not name.isidentifier() or path.suffix != ".py":
        raise RecipeError(f"{key} is {named!r}, which names no function.",
                          "Write it as file.py:function, such as my_scorers.py:score.")
    if not path.is_file():
        raise RunError(f"There is no file {path.absolute()}, which should score the answers.",
                       f"Correct {key}; the whole path always works.")
    return path.absolute(), name


def _loaded(path: Path) -> ModuleType:
    """The file as a module of its own, read anew each time, since it may have been edited."""
    name = f"studio_scorer_{uuid.uuid4().hex}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up there
    with _TheirMistake(path, "The file of the scorer cannot be loaded"):
        spec.loader.exec_module(module)
    return module


def _checked(value: Any, path: Path, name: str, is_share: bool) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (0 <= number <= 1 if is_share else math.isfinite(number)):
        raise ScoringError(f"{path}: {name} gave {value!r}, which is no number"
                           f"{_FROM_0_TO_1 if is_share else ''}.",
                           "Give 1 for a right answer, 0 for a wrong one.")
    return number


class _TheirMistake:
    """Inside the block whatever the person's code raises becomes a ScoringError with its line."""

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if not isinstance(error, (Exception, SystemExit)):
            return
        lines = [frame.lineno for frame in traceback.extract_tb(trace)
                 if frame.filename == str(self._path)]
        line = error.lineno if isinstance(error, SyntaxError) else (lines or [None])[-1]
        place = f"{self._path}{f', line {line}' if line else ''}"
        said = str(error).strip().splitlines() or ["no message"]
        raise ScoringError(f"{place}: {self._what}: {type(error).__name__}: {said[0]}",
                           "Correct it there, or choose another scorer.") from error


_SCORERS: dict[str, Callable[[str], Scorer]] = {
    "exact_match": lambda value: exact_match, "similarity": lambda value: similarity,
    "json_valid": lambda value: json_valid,
    "json_equal": lambda value: json_equal, "contains": contains, "regex": regex,
    "python": own_function,
}
