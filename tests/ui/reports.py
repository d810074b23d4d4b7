"""A hand-made report of a data set, for tests of what the Dataset tab shows."""

from __future__ import annotations

from typing import Any

import numpy

from studio.data.detection import Detection
from studio.data.findings import Finding, Shown
from studio.data.lab.report import Advice, Report, SourceReport, Statistics
from studio.data.records import Problem


def finding(key: str = "exact_duplicates", rows: int = 3, **values: Any) -> Finding:
    """A warning of `rows` rows that can be dropped, with two samples."""
    usual: dict[str, Any] = {
        "level": "warning", "title": "Rows that stand there twice",
        "what": f"{rows} rows repeat an earlier one word for word.", "count": rows,
        "rows": numpy.arange(rows, dtype=numpy.uint32),
        "shown": (Shown(1, "line 2", "Say <b>hi</b>"), Shown(4, "line 5", "2 pizzas")),
        "remedies": ("drop",),
    }
    return Finding(key, **{**usual, **values})


def statistics(**values: Any) -> Statistics:
    """Lengths from 0 to 400 tokens, 30 of 100 examples beyond 256."""
    usual: dict[str, Any] = {
        "examples": 100, "turns_median": 3.0, "turns_max": 9, "tokens_min": 12,
        "tokens_median": 180.0, "tokens_p95": 350, "tokens_max": 390, "tokens_total": 18_000,
        "loss_tokens": 6_000, "truncated": 30, "length_edges": (0, 100, 200, 300, 400),
        "length_counts": (20, 40, 25, 15),
    }
    return Statistics(**{**usual, **values})


def source(name: str = "mine.jsonl", **values: Any) -> SourceReport:
    """A source of 100 chat records."""
    usual: dict[str, Any] = {
        "weight": 1.0, "held_out": False, "rows": 100, "readable": 99,
        "detection": Detection("messages", "messages holds turns with roles.", {}),
        "columns": ("messages",), "formats": {"messages": 99},
    }
    return SourceReport(name, **{**usual, **values})


def report(**values: Any) -> Report:
    """A whole report with one finding, one piece of advice, one unreadable row."""
    usual: dict[str, Any] = {
        "name": "mine.jsonl", "fingerprint": "abc", "sources": (source(),), "format": "messages",
        "why": "messages holds turns with roles.", "rows": 100, "readable": 99,
        "columns": ("messages",), "statistics": statistics(), "languages": {"en": 0.9, "de": 0.1},
        "findings": (finding(),),
        "advice": (Advice("max_length", "Cut later", "30 of 100 examples lose their end.",
                          {"data.max_length": 512}),),
        "problems": (Problem("is no JSON", "line 7", "Mend it."),), "problem_count": 1,
        "train_examples": 95, "eval_examples": 5, "split": "A random part, 5 %.",
        "has_tokens": True,
    }
    return Report(**{**usual, **values})
