"""Reads the call of launch.py: prepares the environment, then hands over to the verb."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from studio.bootstrap.console import explain, say
from studio.bootstrap.environment import Environment, choose
from studio.bootstrap.verbs import SERVE, TEST, VERBS, help_text
from studio.errors import StudioError

ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout: the folder of launch.py."""
STOPPED = 130
"""The exit code after Ctrl+C."""


def main(arguments: Sequence[str]) -> int:
    """Do what the call asks; gives the exit code. Ends in the verb's own process on POSIX."""
    try:
        return _run(list(arguments))
    except StudioError as error:
        explain(error)
        return 1
    except KeyboardInterrupt:
        say("\nStopped. The same command goes on from here.")
        return STOPPED


def _run(arguments: list[str]) -> int:
    torch_choice, arguments = _take_torch_choice(arguments)
    if arguments and arguments[0] in {"-h", "--help", "help"}:
        sys.stdout.write(help_text())
        return 0
    verb = SERVE
    if arguments and not arguments[0].startswith("-"):
        verb = arguments.pop(0)
    if verb not in VERBS:
        raise _unknown_verb(verb)
    if verb == TEST:
        return _test(arguments, torch_choice)
    environment = _prepare((), torch_choice, offline="--offline" in arguments)
    from studio.bootstrap.handover import run_module

    return run_module(environment, "studio.cli", [verb, *arguments])


def _test(arguments: list[str], torch_choice: str | None) -> int:
    """Install the test extra and Chromium, then run pytest in the checkout."""
    environment = _prepare(("test",), torch_choice)
    from studio.bootstrap.chromium import ensure_chromium
    from studio.bootstrap.handover import run_module

    log = (environment.folder if environment.owned else Path(tempfile.gettempdir()))
    ensure_chromium(environment, log / "chromium.log", required=bool(os.environ.get("CI")))
    return run_module(environment, "pytest", pytest_arguments(arguments), folder=ROOT)


def pytest_arguments(arguments: list[str]) -> list[str]:
    """`--all` is ours; without it, or a selection of one's own, slow tests are left out.

    All tests at once are shared out among processes, as many as tests/conftest.py finds room for;
    for a few chosen ones that would take longer.
    """
    rest = [argument for argument in arguments if argument != "--all"]
    if all(_chooses_nothing(argument) for argument in rest):
        rest = ["-n", "auto", *rest]
    if "--all" in arguments or any(argument.startswith("-m") for argument in rest):
        return rest
    return ["-m", "not slow", *rest]


def _chooses_nothing(argument: str) -> bool:
    """Whether it is an option, and none that chooses tests or how they are run."""
    return argument.startswith("-") and not argument.startswith(
        ("-k", "-m", "-n", "-p", "-s", "--pdb", "--last-failed", "--lf", "--dist"))


def _prepare(
    extras: tuple[str, ...], torch_choice: str | None, offline: bool = False
) -> Environment:
    environment, lacking = choose(ROOT)
    if lacking:
        say(f"The active environment {sys.prefix} lacks {', '.join(lacking)}; using "
            f"{environment.folder} instead. To use yours: pip install -e {ROOT}")
    from studio.bootstrap.install import ensure_installed

    ensure_installed(environment, extras, torch_choice, offline)
    return environment


def _take_torch_choice(arguments: list[str]) -> tuple[str | None, list[str]]:
    """`--torch BUILD` before the verb, taken out of the arguments."""
    from studio.bootstrap.torch_check import CHOICES

    if not arguments or not arguments[0].startswith("--torch"):
        return None, arguments
    option, _, choice = arguments[0].partition("=")
    rest = arguments[1:]
    if not choice and rest:
        choice, *rest = rest
    if option != "--torch" or choice not in CHOICES:
        raise StudioError(
            f"--torch does not know {choice or 'an empty build'!r}.",
            f"Allowed: {', '.join(CHOICES)}.",
        )
    return choice, rest


def _unknown_verb(verb: str) -> StudioError:
    import difflib

    near = difflib.get_close_matches(verb, VERBS, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return StudioError(
        f"There is no verb {verb!r}.",
        f"{hint}python launch.py --help names them all: {', '.join(VERBS)}.",
    )
