"""Filling an environment: everything from the lock, resumable, with progress.

`.venv` beside launch.py is made, filled, repaired, and stamped when complete. An environment that
somebody else manages is left alone, except that the test verb adds what the tests need.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from studio.bootstrap.console import say
from studio.bootstrap.environment import (
    Environment,
    base_interpreter,
    interpreter_is_the_same,
    is_complete,
)
from studio.bootstrap.install_lock import only_one_install
from studio.bootstrap.pip_failures import as_error, classify
from studio.bootstrap.pip_run import PipResult, run_pip
from studio.bootstrap.repair import forget_half_installed
from studio.bootstrap.requirements import (
    LOCK_NAME,
    fingerprint,
    read_lock,
    read_requirements,
    unmet,
)
from studio.bootstrap.stamp import Stamp, read_stamp, remove_stamp, write_stamp
from studio.bootstrap.torch_check import driver_is_present, mending_command, read_torch
from studio.bootstrap.torch_plan import TorchPlan, plan_torch, warning_for
from studio.bootstrap.virtual_environment import ensure_python
from studio.errors import SetupError
from studio.files import free_bytes, readable_bytes

ATTEMPTS = 3
"""How often a broken download is taken up again before the person is asked."""
GIGABYTE = 10**9
FRESH_BYTES, CUDA_BYTES, UPDATE_BYTES = 3 * GIGABYTE, 9 * GIGABYTE, GIGABYTE // 2
"""Disk needed: the CPU packages (2.1 GB measured) and their downloads; with CUDA; to update."""


def ensure_installed(
    environment: Environment, extras: tuple[str, ...] = (), torch_choice: str | None = None,
    offline: bool = False,
) -> None:
    """Return once everything is installed; at once if it already is.

    `torch_choice` None keeps what was chosen before. SetupError: a sentence for the person.
    """
    if not environment.owned:
        _look_over_foreign(environment, torch_choice)
        if extras:
            _add_to_foreign(environment, extras, offline)
        return
    stamp = read_stamp(environment.folder)
    if stamp and torch_choice is None and _nothing_to_do(environment, extras, stamp):
        if stamp.warning:
            say(stamp.warning)
        return
    if offline:
        raise SetupError(
            "The studio's packages are not all installed, and --offline forbids to fetch them.",
            "Run python launch.py once with a connection and without --offline.",
        )
    try:
        with only_one_install(environment.folder):
            stamp = read_stamp(environment.folder)  # another start may have done it meanwhile
            if not (stamp and torch_choice is None and _nothing_to_do(environment, extras, stamp)):
                _fill(environment, extras, torch_choice or (stamp.torch if stamp else "auto"))
    except OSError as error:
        raise _cannot_write(environment, error) from error


def _nothing_to_do(environment: Environment, extras: tuple[str, ...], stamp: Stamp) -> bool:
    return is_complete(environment, extras) and not _gpu_appeared(environment, stamp)


def _gpu_appeared(environment: Environment, stamp: Stamp) -> bool:
    """A driver is there, torch is CPU only, and nobody has asked for that or been told yet."""
    if stamp.torch != "auto" or stamp.warning:
        return False
    torch = read_torch(environment.site_packages)
    return torch is not None and torch.accelerator is None and driver_is_present()


def _fill(environment: Environment, extras: tuple[str, ...], torch_choice: str) -> None:
    started = time.monotonic()
    log = environment.folder / "install.log"
    _announce(environment, extras)
    before = read_stamp(environment.folder)
    if before is None or not interpreter_is_the_same(environment, before):
        before = None
        remove_stamp(environment.folder)
        forget_half_installed(environment.site_packages)
        ensure_python(environment, log)
    plan = plan_torch(environment, torch_choice)
    _check_disk(environment, plan)
    remove_stamp(environment.folder)
    fetched, warning = _install(environment, extras, plan, torch_choice, log)
    lacking = unmet(read_requirements(environment.root, extras), environment.site_packages)
    if lacking:
        raise SetupError(
            f"The install ended, but these are not there: {', '.join(lacking)}.",
            f"Delete the folder {environment.folder} and run the same command again. "
            f"All of pip's output is in {log}.",
        )
    kept = before.fingerprints if before else {}
    fingerprints = {**kept, "": fingerprint(environment.root)}
    fingerprints[",".join(extras)] = fingerprint(environment.root, extras)
    write_stamp(environment.folder, Stamp(
        fingerprints, base_interpreter(environment), torch_choice, warning,
    ))
    say(f"Installed in {_minutes(time.monotonic() - started)}; "
        f"{readable_bytes(fetched)} were downloaded.")
    if warning:
        say(warning)


def _install(
    environment: Environment, extras: tuple[str, ...], plan: TorchPlan, torch_choice: str,
    log: Path,
) -> tuple[int, str]:
    """Run pip with the planned torch, else with the plain one; gives (bytes, warning)."""
    target = f".[{','.join(extras)}]" if extras else "."
    arguments = ["--constraint", LOCK_NAME, "--editable", target]
    expected = len(read_lock(environment.root, tests=bool(extras)))
    fetched = 0
    for _ in range(2):
        if plan.build:
            say(f"torch comes as the build {plan.build} from PyTorch's own index.")
        result = _pip(environment, [*arguments, *plan.arguments], log, expected)
        fetched += result.fetched_bytes
        if not result.ok:
            if not plan.build or torch_choice != "auto" or _is_not_about_the_index(result):
                raise as_error(result.output, str(log))
            warning = (
                f"torch's build {plan.build} could not be fetched from PyTorch's own index, so "
                "torch is CPU-only and the NVIDIA GPU stays unused. When the index can be reached, "
                f"run: python launch.py --torch {plan.build}"
            )
            result = _pip(environment, arguments, log, expected)
            if not result.ok:
                raise as_error(result.output, str(log))
            return fetched + result.fetched_bytes, warning
        # A mirror may hold a CPU-only torch where the public index has a CUDA one: look again.
        plan = TorchPlan() if plan.build else plan_torch(environment, torch_choice)
        if not plan.build:
            break
    return fetched, plan.warning


def _is_not_about_the_index(result: PipResult) -> bool:
    """A full disk or a read-only folder would stop the plain wheel as well."""
    failure = classify(result.output)
    return failure is not None and failure.kind in {"no space", "no permission", "path too long"}


def _pip(environment: Environment, arguments: list[str], log: Path, expected: int) -> PipResult:
    for attempt in range(1, ATTEMPTS + 1):
        result = run_pip(environment, arguments, log, expected)
        failure = classify(result.output)
        if result.ok or failure is None or failure.kind != "interrupted":
            break
        if attempt < ATTEMPTS:
            say("A download broke off; taking it up again.")
    return result


def _announce(environment: Environment, extras: tuple[str, ...]) -> None:
    if extras and is_complete(environment):
        say(f"Adding the packages for: {', '.join(extras)}")
    elif read_stamp(environment.folder):
        say("What the studio needs has changed since the last install; bringing it up to date.")
    elif environment.python.exists():
        say("The install from last time is not complete; going on with it.")
    else:
        say(f"First start: installing the studio's packages into {environment.folder}")
        say("This takes a few minutes and about 2 GB of disk, with an NVIDIA GPU up to 9 GB. "
            "Ctrl+C stops it; the next start goes on.")


def _check_disk(environment: Environment, plan: TorchPlan) -> None:
    installed = read_torch(environment.site_packages)
    if plan.build and plan.build != "cpu":
        needed = CUDA_BYTES
    else:
        needed = UPDATE_BYTES if installed else FRESH_BYTES
    free = free_bytes(environment.folder)
    if free < needed:
        raise SetupError(
            f"The install needs about {readable_bytes(needed)} of disk, and only "
            f"{readable_bytes(free)} are free at {environment.root}.",
            "Free some space, or move this folder to a larger disk, and start again.",
        )


def _look_over_foreign(environment: Environment, torch_choice: str | None) -> None:
    """Its torch is looked at and never changed."""
    warning = warning_for(environment)
    if warning:
        say(warning)
    installed = read_torch(environment.site_packages)
    if torch_choice not in (None, "auto") and installed:
        command = mending_command(environment.python, installed.public_version, torch_choice)
        raise SetupError(
            "--torch changes only the studio's own .venv, and this is an environment of yours.",
            f"To change its torch, run: {command}",
        )


def _add_to_foreign(environment: Environment, extras: tuple[str, ...], offline: bool) -> None:
    """Add the missing packages of the extras, and nothing else."""
    lacking = [
        requirement.text for requirement in read_requirements(environment.root, extras)
        if unmet([requirement])
    ]
    if not lacking:
        return
    if offline:
        raise SetupError(
            f"This Python lacks {', '.join(lacking)}, and --offline forbids to fetch them.",
            "Install them, or run once without --offline.",
        )
    say(f"Adding to {environment.folder}: {', '.join(lacking)}")
    folder = Path(tempfile.mkdtemp(prefix="adapter-studio-"))
    log = folder / "install.log"
    result = _pip(environment, lacking, log, len(lacking))
    if not result.ok:
        raise as_error(result.output, str(log))


def _cannot_write(environment: Environment, error: OSError) -> SetupError:
    if error.errno == 28:
        return SetupError(
            f"The disk is full at {environment.root}.",
            "Free some space and run the same command again; what was downloaded is kept.",
        )
    return SetupError(
        f"Cannot write to {environment.folder}: {error.strerror or error}.",
        "Put the studio's folder where you may write (such as your own folder), or run it from an "
        "environment of your own that has the packages: pip install -e .",
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.0f} seconds"
