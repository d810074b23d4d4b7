"""Turns the values of tables into those of JSON, which every later step takes.

Times become ISO text, decimals numbers where a number holds them exactly, NaN and infinity null,
and bytes (pictures, sounds) a short note of their size.
"""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from typing import Any


def plain(value: Any) -> Any:
    """`value` as text, number, truth value, None, list, or dict with text keys."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return _file(value) or {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"({len(value):,} bytes)"
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _decimal(value)
    return str(value)


def _decimal(value: Decimal) -> float | str | None:
    if not value.is_finite():
        return None
    number = float(value)
    return number if Decimal(repr(number)) == value else str(value)


def _file(value: dict[Any, Any]) -> str | None:
    """A picture or sound as `datasets` keeps it: its bytes, the path that it had, or both."""
    if set(value) != {"bytes", "path"} or isinstance(value["bytes"], str):
        return None
    name = f"{value['path']}, " if value["path"] else ""
    size = f"{len(value['bytes']):,} bytes" if value["bytes"] is not None else "not included"
    return f"({name}{size})"
