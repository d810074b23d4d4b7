"""What the installed torch was built for, read from its files: importing it takes seconds."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True)
class TorchBuild:
    """torch's version and the CUDA it was built for, such as "13.0"; None: without CUDA."""

    version: str
    cuda: str | None


def installed_torch() -> TorchBuild | None:
    """The torch of this Python, or None where there is none."""
    try:
        distribution = metadata.distribution("torch")
    except metadata.PackageNotFoundError:
        return None
    file = Path(str(distribution.locate_file("torch/version.py")))
    try:
        return torch_build(file.read_text(encoding="utf-8"), distribution.version)
    except OSError:
        return torch_build("", distribution.version)


def torch_build(text: str, version: str) -> TorchBuild:
    """What torch/version.py says. Without one, the version's own end (2.13.0+cu130) tells."""
    try:
        assignments = ast.parse(text).body
    except SyntaxError:
        assignments = []
    values = {}
    for node in assignments:
        targets = node.targets if isinstance(node, ast.Assign) else (
            [node.target] if isinstance(node, ast.AnnAssign) else [])
        for target in targets:
            value = getattr(node, "value", None)
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
                values[target.id] = value.value
    if "cuda" not in values:
        return TorchBuild(version, _cuda_in_version(version))
    cuda = values["cuda"]
    return TorchBuild(str(values.get("__version__", version)), None if cuda is None else str(cuda))


def _cuda_in_version(version: str) -> str | None:
    _, _, local = version.partition("+cu")
    return f"{local[:-1]}.{local[-1]}" if local.isdigit() and len(local) >= 2 else None
