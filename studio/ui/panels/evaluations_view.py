"""What tasks measured on a run, before and after, as a table. Pure."""

from __future__ import annotations

import time
from html import escape

from studio.evaluation.record import Evaluation, Score, read_evaluations
from studio.runs import Run
from studio.ui.markup import heading

_HEADS = ("Task", "Metric", "Questions", "Base", "Trained", "Change")


def evaluations_view(run: Run | None) -> str:
    """All evaluations of the run, newest first; nothing where there is none."""
    found = read_evaluations(run) if run is not None else []
    return "".join(_evaluation(one) for one in reversed(found))


def _evaluation(found: Evaluation) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.time))
    told = [f"Measured {when}"]
    if found.limit is not None:
        told.append(f"{found.limit:,} questions of each task")
    if found.is_chat:
        told.append("in the chat template")
    heads = "".join(f'<th{_align(at)}>{head}</th>' for at, head in enumerate(_HEADS))
    rows = "".join(_row(score) for score in found.scores)
    title = heading("Tasks before and after", ", ".join(told) + ".")
    return (f'<div class="evaluation">{title}<table class="plain"><thead><tr>{heads}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>")


def _row(score: Score) -> str:
    count = f"{score.count:,}" if score.count else ""
    change = f"{score.change:+.4f}" + (f" ({score.verdict})" if score.verdict else "")
    cells = (score.task, score.metric, count, _number(score.base, score.base_error),
             _number(score.tuned, score.tuned_error), change)
    return "<tr>" + "".join(f"<td{_align(at)}>{escape(cell)}</td>"
                            for at, cell in enumerate(cells)) + "</tr>"


def _number(value: float, error: float | None) -> str:
    """With its standard error where there is one."""
    return f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"


def _align(column: int) -> str:
    return ' class="right"' if column >= 2 else ""
