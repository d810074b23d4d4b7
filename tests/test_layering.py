"""The house keeps its shape: who may import whom, read from the code itself."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STUDIO = ROOT / "studio"
FLOORS = (
    {"errors", "settings", "progress", "files", "arbiter", "child", "device", "recipe", "presets",
     "runs", "ownership", "extras", "import_gate", "json_lines", "main_memory", "allocator",
     "story", "measures", "about", "comparison", "bootstrap"},
    {"models", "adapters", "hardware", "data"},
    {"training"},
    {"chat"},
    {"export", "evaluation"},
    {"serve"},
    {"demo", "bench"},
    {"ui", "cli", "__main__"},
)
SLOW = {"torch", "transformers", "peft", "trl", "datasets", "gradio", "plotly", "bitsandbytes",
        "pandas", "pyarrow", "accelerate", "xllamacpp", "gguf", "wandb", "trackio", "tensorboardX",
        "lm_eval", "mergekit"}


def _files() -> list[Path]:
    return sorted(STUDIO.rglob("*.py"))


def _room(file: Path) -> str:
    return file.relative_to(STUDIO).parts[0].removesuffix(".py")


def _imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            if node.module == "studio":
                found |= {f"studio.{alias.name}" for alias in node.names}
    return found


def _floor(room: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if room in rooms:
            return number
    raise AssertionError(f"the room studio/{room} has no floor: add it to FLOORS")


@pytest.mark.parametrize("file", _files(), ids=lambda f: str(f.relative_to(STUDIO)))
def test_a_room_imports_only_from_its_own_floor_or_below(file: Path) -> None:
    room = _room(file)
    if room == "__init__":
        return
    for name in _imports(ast.parse(file.read_text(encoding="utf-8"))):
        parts = name.split(".")
        if parts[0] == "studio" and len(parts) > 1 and (STUDIO / parts[1]).exists() | (
            STUDIO / f"{parts[1]}.py"
        ).exists():
            assert _floor(parts[1]) <= _floor(room), f"{room} must not import {name}"


def test_rooms_of_one_floor_do_not_import_each_other_in_a_circle() -> None:
    arrows: dict[str, set[str]] = {}
    for file in _files():
        room = _room(file)
        for name in _imports(ast.parse(file.read_text(encoding="utf-8"))):
            parts = name.split(".")
            if parts[0] == "studio" and len(parts) > 1 and parts[1] != room:
                arrows.setdefault(room, set()).add(parts[1])

    def reach(room: str, seen: frozenset[str]) -> None:
        assert room not in seen, f"circle: {sorted(seen)} and {room}"
        for other in arrows.get(room, ()):
            reach(other, seen | {room})

    for room in arrows:
        reach(room, frozenset())


@pytest.mark.parametrize("file", _files(), ids=lambda f: str(f.relative_to(STUDIO)))
def test_the_engine_knows_no_page_and_slow_libraries_wait(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    in_ui = _room(file) == "ui"
    if not in_ui:
        tops = {name.split(".")[0] for name in _imports(tree)}
        assert not tops & {"gradio", "plotly"}
    at_import = {name.split(".")[0] for name in _imports(_without_lazy_parts(tree))}
    allowed = {"gradio", "plotly"} if in_ui else set()
    assert not at_import & (SLOW - allowed), "import it inside the function that needs it"


def _without_lazy_parts(tree: ast.Module) -> ast.Module:
    """The statements that run at import: no function bodies, no TYPE_CHECKING blocks."""

    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if "TYPE_CHECKING" in ast.dump(node.test) else self.generic_visit(node)

    return Strip().visit(tree)


def test_only_settings_reads_the_environment() -> None:
    readers = [
        str(file.relative_to(STUDIO)) for file in _files()
        if re.search(r"os\.(environ|getenv)", file.read_text(encoding="utf-8"))
        and _room(file) not in {"settings", "bootstrap"}
    ]
    assert readers == []


def test_no_broad_except_and_nothing_unfinished() -> None:
    pattern = re.compile(r"except( Exception| BaseException)?( as \w+)?:|TODO|FIXME|XXX|"
                         r"NotImplementedError")
    files = [*_files(), ROOT / "launch.py"]
    found = [f"{file.relative_to(ROOT)}: {match.group()}" for file in files
             for match in pattern.finditer(file.read_text(encoding="utf-8"))]
    assert found == []
