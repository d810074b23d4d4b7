"""What has to be installed: the lists in pyproject.toml, the lock, and what is there already.

Reads versions from the metadata on disk; imports none of the packages. Understands the plain
comparisons and markers that pyproject.toml uses, not every specifier there is.
"""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LOCK_NAME = "requirements.lock"
TEST_ONLY = "# tests"
"""Marks a line of the lock that only the test extra needs."""

_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*([^;]*)")
_MARKER = re.compile(r"^\s*(\w+)\s*(==|!=|<|>=|in)\s*'([^']*)'\s*$")
_COMPARISON = re.compile(r"^\s*(==|>=|<=|!=|<|>)\s*([0-9][^\s*]*)\s*$")


@dataclass(frozen=True)
class Requirement:
    """A package, the versions that will do, and the PCs that it is for: `markers` must all hold."""

    name: str
    comparisons: tuple[tuple[str, str], ...]
    text: str
    markers: tuple[tuple[str, str, str], ...] = ()

    @property
    def is_for_this_pc(self) -> bool:
        """Whether it has to be here; some packages have no wheel for every kind of PC."""
        return all(_holds(*marker) for marker in self.markers)

    def allows(self, version: str) -> bool:
        """Whether an installed version will do; local suffixes such as +cu130 do not count."""
        return all(_compare(version, sign, bound) for sign, bound in self.comparisons)


def parse_requirement(text: str) -> Requirement:
    """`gradio>=6.31,<7` -> its name and two comparisons. ValueError for other kinds."""
    match = _REQUIREMENT.match(text)
    if match is None:
        raise ValueError(f"cannot read the requirement {text!r}")
    comparisons = []
    for part in filter(str.strip, match[3].split(",")):
        found = _COMPARISON.match(part)
        if found is None:
            raise ValueError(f"cannot read {part!r} in the requirement {text!r}")
        comparisons.append((found[1], found[2]))
    return Requirement(match[1], tuple(comparisons), text, _markers(text))


def _markers(text: str) -> tuple[tuple[str, str, str], ...]:
    """Of `x; sys_platform == 'linux' and python_version < '3.14'` both: variable, sign, value."""
    markers = []
    for part in filter(str.strip, text.partition(";")[2].split(" and ")):
        found = _MARKER.match(part)
        if found is None:
            raise ValueError(f"cannot read the marker {part!r} in {text!r}")
        markers.append((found[1], found[2], found[3]))
    return tuple(markers)


def _holds(variable: str, sign: str, value: str) -> bool:
    here = {"sys_platform": sys.platform, "platform_machine": platform.machine(),
            "python_version": f"{sys.version_info[0]}.{sys.version_info[1]}"}[variable]
    if variable == "python_version":
        return _compare(here, sign, value)
    return {"==": here == value, "!=": here != value, "in": here in value}[sign]


def read_requirements(root: Path, extras: Iterable[str] = ()) -> list[Requirement]:
    """The dependencies of pyproject.toml, with those of the named extras."""
    import tomllib

    with (root / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [parse_requirement(line) for line in lines]


def unmet(requirements: Iterable[Requirement], site_packages: Path | None = None) -> list[str]:
    """What is missing or of a wrong version, in words; looks here, or in another environment."""
    problems = []
    for requirement in requirements:
        if not requirement.is_for_this_pc:
            continue
        version = _installed_version(requirement.name, site_packages)
        if version is None:
            problems.append(f"{requirement.text} (missing)")
        elif not requirement.allows(version):
            problems.append(f"{requirement.text} (has {version})")
    return problems


def read_lock(root: Path, tests: bool = True) -> dict[str, str]:
    """Package -> exact version. `tests=False` leaves out what only the tests need."""
    pins = {}
    for line in (root / LOCK_NAME).read_text(encoding="utf-8").splitlines():
        pin, _, comment = line.partition("#")
        name, equals, version = pin.strip().partition("==")
        if equals and (tests or comment.strip() != TEST_ONLY.lstrip("# ")):
            pins[normalised(name)] = version
    return pins


def fingerprint(root: Path, extras: Iterable[str] = ()) -> str:
    """Changes whenever another install is needed: the lock or the dependency lists changed."""
    lock = (root / LOCK_NAME).read_bytes().replace(b"\r\n", b"\n")
    lists = "\n".join(requirement.text for requirement in read_requirements(root, sorted(extras)))
    return hashlib.sha256(lock + b"\0" + lists.encode()).hexdigest()


def normalised(name: str) -> str:
    """One spelling per package: `Jinja2`, `hf_xet`, `a.b` -> jinja2, hf-xet, a-b."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed_version(name: str, site_packages: Path | None) -> str | None:
    import importlib.metadata  # slower than the rest of a second start, which does not need it

    if site_packages is None:
        found = importlib.metadata.distributions(name=name)
    else:
        found = importlib.metadata.distributions(name=name, path=[str(site_packages)])
    for distribution in found:
        # A half-removed package leaves metadata without a version behind.
        if distribution.metadata is not None and distribution.metadata["Version"]:
            return distribution.metadata["Version"]
    return None


def _compare(version: str, sign: str, bound: str) -> bool:
    here, there = _release(version), _release(bound)
    return {
        "==": here == there, "!=": here != there, ">=": here >= there,
        "<=": here <= there, ">": here > there, "<": here < there,
    }[sign]


def _release(version: str) -> tuple[int, ...]:
    """`2.13.0+cpu` -> (2, 13): numbers only, trailing zeros do not matter."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
