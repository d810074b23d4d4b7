"""The README's map and verbs are true."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
UNLISTED = {"__init__.py", "__pycache__"}


def _map_entries() -> dict[str, set[str]]:
    """Names in the map by the folder they stand under ("" for the top)."""
    block = README.split("## Map")[1].split("```")[1]
    found: dict[str, set[str]] = {"": set(), "studio": set()}
    for line in block.strip().splitlines():
        name = line.split()[0].rstrip("/")
        found["studio" if line.startswith("  ") else ""].add(name)
    return found


def test_every_room_is_on_the_map_and_every_name_on_the_map_exists() -> None:
    rooms = {path.name for path in (ROOT / "studio").iterdir()
             if path.suffix in ("", ".py")} - UNLISTED
    assert _map_entries()["studio"] == rooms
    for name in _map_entries()[""]:
        assert (ROOT / name).exists(), name


def test_pictures_in_the_readme_exist() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).stat().st_size > 10_000, picture


def test_every_verb_is_named_in_the_readme() -> None:
    from studio.cli.app import app

    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert {verb for verb in verbs if verb != "serve" and f"`{verb}" not in README
            and f" {verb}`" not in README} == set()


def test_every_method_and_adapter_is_named_in_the_readme() -> None:
    from studio.adapters.kinds import KINDS
    from studio.recipe.method_words import METHODS

    section = README.split("## Every method, every adapter")[1].split("\n## ")[0]
    for name in (*METHODS, *KINDS):
        assert f"`{name}`" in section, name
