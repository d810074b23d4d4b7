"""What every part of a recipe is made of: a frozen group of settings that describe themselves."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

STARTER = "starter"
"""The `source` that means the model or the data that comes with the studio."""


def setting(
    default: Any, label: str, help: str, *, rare: bool = False, step: float | None = None,
    top: float | None = None, lines: bool = False, **limits: Any,
) -> Any:
    """A field with what a form needs: `rare` settings are folded away, `top` ends a slider,
    `lines` asks for a box of several lines."""
    extra: dict[str, Any] = {"rare": rare, "step": step, "top": top, "lines": lines}
    return Field(default, title=label, description=help, json_schema_extra=extra, **limits)


class Part(BaseModel):
    """A part of a recipe: unknown keys are mistakes, and nothing changes after it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
