"""What a column is called, on the page and in the terminal: it tells which weights answer."""

from __future__ import annotations

from pathlib import Path

from studio.runs import checkpoint_step


def adapter_name(name: str, path: Path) -> str:
    """Of the adapter at `path` of the run or blend `name`: "orders", or "orders, step 20"."""
    step = checkpoint_step(path)
    return name if step < 0 else f"{name}, step {step}"


def column_name(adapter: str, strength: float) -> str:
    """With how much the adapter counts, where that is not once: "orders × 0.5"."""
    return adapter if strength == 1 else f"{adapter} × {strength:g}"
