"""What pip is doing, read from its lines and from the files it writes.

Works with every pip since 22: none of its progress bars is needed. The size of a running
download is the size of the file that pip writes in its temporary folder.
"""

from __future__ import annotations

import re
from pathlib import Path

from studio.files import readable_bytes

_COLLECTING = re.compile(r"^\s*(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)")
_FETCHING = re.compile(r"^\s*(Downloading|Using cached) (?:\S*/)?([^\s/]+)(?: \(([\d.]+) (\w+)\))?")
_LOCAL = re.compile(r"^\s*Processing (?:\S*[/\\])?([^\s/\\]+\.whl)\b")
_INSTALLING = re.compile(r"^Installing collected packages: (.+)$")
_WHEEL = re.compile(r"^([A-Za-z0-9._]+?)-(\d[^-]*)-.*\.whl$")
_UNITS = {"bytes": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}


class PipProgress:
    """Fed with pip's lines; `describe()` gives one line for the person at any moment."""

    def __init__(self, expected_packages: int, temporary: Path, site_packages: Path) -> None:
        self.expected_packages = expected_packages
        self._temporary = temporary
        self._site_packages = site_packages
        self._names: set[str] = set()
        self._current = "asking for the list of packages"
        self._current_bytes = 0
        self._current_file = ""
        self._fetched_bytes = 0
        self._installing: list[str] = []
        self._present_before = self._installed_now()

    def feed(self, line: str) -> None:
        """Take in one line of pip's output."""
        if match := _COLLECTING.match(line):
            self._names.add(match[1].lower())
            self._start(match[1], "", 0)
        elif match := _FETCHING.match(line):
            self._fetch(match[1], match[2], match[3], match[4])
        elif match := _LOCAL.match(line):
            self._names.add(_title(match[1]).split()[0].lower())
            self._start(_title(match[1]), "", 0)
        elif match := _INSTALLING.match(line):
            self._finish()
            self._installing = match[1].split(", ")
            self._present_before = self._installed_now()

    @property
    def fetched_bytes(self) -> int:
        """Bytes downloaded so far, the running file included; what came from a cache is not."""
        return self._fetched_bytes + self._running_bytes()

    def describe(self) -> str:
        """Such as `Package 12 of about 85: torch 2.13.0, 188.0 MB, 43 % (312.4 MB so far)`."""
        if self._installing:
            done = max(self._installed_now() - self._present_before, 0)
            done = min(done, len(self._installing) - 1)
            name = self._installing[done]
            return f"Unpacking package {done + 1} of {len(self._installing)}: {name}"
        expected = max(self.expected_packages, len(self._names))
        text = f"Package {len(self._names)} of about {expected}: {self._current}"
        if self._current_bytes:
            text += f", {readable_bytes(self._current_bytes)}"
            running = self._running_bytes()
            if running:
                text += f", {min(100 * running // self._current_bytes, 100)} %"
        return f"{text} ({readable_bytes(self.fetched_bytes)} downloaded so far)"

    def _fetch(self, how: str, file: str, amount: str | None, unit: str | None) -> None:
        size = int(float(amount) * _UNITS.get(unit or "", 0)) if amount else 0
        if how == "Downloading":
            self._start(_title(file), file, size)
        else:
            self._start(f"{_title(file)} (downloaded before)", "", 0)

    def _start(self, title: str, file: str, size_bytes: int) -> None:
        self._finish()
        self._current, self._current_file, self._current_bytes = title, file, size_bytes

    def _finish(self) -> None:
        self._fetched_bytes += self._current_bytes
        self._current_bytes, self._current_file = 0, ""

    def _running_bytes(self) -> int:
        if not self._current_file:
            return 0
        try:
            return max(
                (file.stat().st_size for file in self._temporary.glob(f"*/{self._current_file}")),
                default=0,
            )
        except OSError:
            return 0  # pip moved it away between the two looks

    def _installed_now(self) -> int:
        return sum(1 for _ in self._site_packages.glob("*.dist-info"))


def _title(file: str) -> str:
    """`torch-2.13.0-cp311-cp311-win_amd64.whl` -> `torch 2.13.0`."""
    match = _WHEEL.match(file.removesuffix(".metadata"))
    return f"{match[1]} {match[2]}" if match else file
