"""The real program in a process of its own, and a real Chromium that looks at it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import studio
from studio.bootstrap.chromium import find_chromium
from studio.settings import Settings

START_SECONDS = 180
PATIENCE_MILLISECONDS = 400_000
"""How long a test waits for what must come; two busy cores may be slow, never wrong."""


@dataclass
class Program:
    """A running studio. `url` is what it printed, `said` all its lines so far."""

    process: subprocess.Popen[str]
    url: str
    home: Path
    said: list[str]

    def kill(self) -> None:
        """End it the hard way, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def check(self, said_before: int = 0) -> None:
        """No handler failed: the page shows a failure as a short toast that a test may not see.

        What the server of the page says of connections that ended is no failure of ours.
        """
        ours, lines = f'File "{Path(studio.__file__).parent}', self.said[said_before:]
        assert not any(ours in line for line in lines), "".join(lines)


def start_program(home: Path) -> Program:
    """`serve` on a free port with this home; waits until it says where it answers."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen(
        [sys.executable, "-m", "studio.cli", "serve", "--no-browser", "--offline", "--port",
         "17861", "--home", str(home)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
        env=environment,
    )
    said: list[str] = []
    watchdog = threading.Timer(START_SECONDS, process.kill)
    watchdog.start()
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"http://\S+", line):
            watchdog.cancel()
            # Keep reading, so that a full pipe never stops the program.
            threading.Thread(target=said.extend, args=(process.stdout,), daemon=True).start()
            return Program(process, found.group().rstrip("/.") + "/", home, said)
    watchdog.cancel()
    raise AssertionError("the studio did not start:\n" + "".join(said))


@pytest.fixture
def home(tmp_path: Path, starter_model: Path) -> Path:
    """A new home in which only the starter model is ready."""
    return _home_with(starter_model, tmp_path / "home")


def _home_with(starter_model: Path, home: Path) -> Path:
    target = Settings(home=home).models / starter_model.name
    shutil.copytree(starter_model, target, copy_function=_link_or_copy)
    return home


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


@pytest.fixture
def studio_at() -> Iterator[Callable[[Path], Program]]:
    """Starts studios on homes, and ends those that are left."""
    started: list[Program] = []

    def start(home: Path) -> Program:
        started.append(start_program(home))
        return started[-1]

    yield start
    for program in started:
        if program.process.poll() is None:
            program.kill()
        program.check()


@pytest.fixture(scope="package")
def idle_studio(
    starter_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """One studio with the starter model for the tests that bring no run and leave none."""
    program = start_program(_home_with(starter_model, tmp_path_factory.mktemp("idle") / "home"))
    yield program
    program.kill()
    program.check()


@pytest.fixture(scope="package")
def _studio_of_many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = start_program(tmp_path_factory.mktemp("shared") / "home")
    yield program
    program.kill()


@pytest.fixture
def shared_studio(_studio_of_many: Program) -> Iterator[Program]:
    """One studio for the tests that need no home of their own: to start one and to load all
    libraries takes longer than most of them.

    The runs that a test brings are the newest, and have names that no other test gives; of all
    else it looks only for what is its own.
    """
    said_before = len(_studio_of_many.said)
    yield _studio_of_many
    _studio_of_many.check(said_before)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """One headless browser for all page tests."""
    executable = find_chromium()
    if executable is None:
        if os.environ.get("CI"):
            pytest.fail("No Chromium was found, and page tests must run here.")
        pytest.skip("No Chromium or Chrome was found on this PC.")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MILLISECONDS)  # five seconds are few on a busy PC
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(executable),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking",
                  "--disable-component-update", "--disable-sync", "--no-first-run"],
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[[str], Any]]:
    """Opens pages that fail the test on any script error."""
    opened: list[Any] = []
    errors: list[str] = []

    def open_at(url: str) -> Any:
        page = chromium.new_page(viewport={"width": 1440, "height": 1000})
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.get_by_role("tab", name="Train").wait_for()
        opened.append(page)
        return page

    yield open_at
    for page in opened:
        page.close()
    assert errors == []
