"""A Chromium for the page tests: one that is there, else one that the system can give.

Only the test verb installs; the page tests call `find_chromium` and skip with `WHY_SKIPPED`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from studio.bootstrap.console import say
from studio.bootstrap.environment import Environment
from studio.bootstrap.handover import run_quietly
from studio.errors import SetupError

WHY_SKIPPED = (
    "no Chromium, Chrome, or Edge on this PC: install one, or run python -m playwright install "
    "chromium, and the page tests run too"
)
COMMANDS = (
    "chromium", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge",
    "chromium-browser",
)
SECONDS_TO_ANSWER = 30


def find_chromium() -> Path | None:
    """A browser of the Chromium family that starts, or None."""
    for place in (*_on_path(), *_usual_places(), *_from_playwright()):
        if place.is_file() and _starts(place):
            return place
    return None


def ensure_chromium(environment: Environment, log: Path, required: bool) -> Path | None:
    """Find or install one. None, after a sentence, if the system gives none; SetupError if
    `required` (where tests must not be skipped)."""
    found = find_chromium()
    if found:
        return found
    for command in _ways_to_install(environment):
        run_quietly(command, log, "Installing Chromium for the page tests",
                    DEBIAN_FRONTEND="noninteractive")
        found = find_chromium()
        if found:
            say(f"Chromium for the page tests: {found}")
            return found
    if required:
        raise SetupError(
            "The page tests need Chromium, and it could not be installed.",
            f"Install Chromium, Chrome, or Edge. What was tried is in {log}.",
        )
    say(f"The page tests are skipped: {WHY_SKIPPED}. What was tried is in {log}.")
    return None


def _on_path() -> list[Path]:
    return [Path(found) for found in map(shutil.which, COMMANDS) if found]


def _usual_places() -> list[Path]:
    if sys.platform == "darwin":
        names = ("Chromium", "Google Chrome", "Microsoft Edge")
        return [Path(f"/Applications/{name}.app/Contents/MacOS/{name}") for name in names]
    if sys.platform == "win32":
        folders = [os.environ.get(name) for name in
                   ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")]
        programs = (r"Google\Chrome\Application\chrome.exe", r"Chromium\Application\chrome.exe",
                    r"Microsoft\Edge\Application\msedge.exe")
        return [Path(folder) / program for folder in folders if folder for program in programs]
    return []


def _from_playwright() -> list[Path]:
    """Browsers that `playwright install` has downloaded, newest first."""
    if sys.platform == "win32":
        usual = Path(os.environ.get("LOCALAPPDATA", "")) / "ms-playwright"
        pattern = "chromium-*/chrome-win*/chrome.exe"
    elif sys.platform == "darwin":
        usual = Path.home() / "Library" / "Caches" / "ms-playwright"
        pattern = "chromium-*/chrome-mac*/*.app/Contents/MacOS/*"
    else:
        usual = Path.home() / ".cache" / "ms-playwright"
        pattern = "chromium-*/chrome-linux*/chrome"
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or usual)
    return sorted(folder.glob(pattern), reverse=True)


def _starts(browser: Path) -> bool:
    """Whether it answers `--version`: Ubuntu's chromium-browser may be a note about a snap."""
    if sys.platform == "win32":
        return True  # there the question would open a window
    try:
        answer = subprocess.run(
            [str(browser), "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=SECONDS_TO_ANSWER, check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def _ways_to_install(environment: Environment) -> list[list[str]]:
    """Commands to try in turn."""
    playwright = [str(environment.python), "-P", "-m", "playwright", "install", "chromium"]
    if sys.platform != "linux":
        return [playwright]
    is_root = os.geteuid() == 0
    ways = []
    if is_root and shutil.which("apt-get") and _is_debian():
        ways = [["apt-get", "update"],
                ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]]
    return [*ways, [*playwright, "--with-deps"] if is_root else playwright]


def _is_debian() -> bool:
    """Debian has a real package; Ubuntu's only points to a snap."""
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return "ID=debian" in lines
