"""The list of exports as the page shows it: size, verdict, report, and commands to copy. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from studio.files import readable_bytes
from studio.ui import markup
from studio.ui.panels.export_results import Result
from studio.ui.panels.export_steps import next_steps
from studio.ui.panels.export_verdict_view import verdict_pill, verification_view
from studio.ui.presses import COPY_SCRIPT, press_script
from studio.ui.words import moment

LIST_SCRIPT = press_script("what") + COPY_SCRIPT
"""Runs in the browser: a button of a result says what shall become of it, others copy."""


def results_view(results: Sequence[Result], *, has_ollama: bool = False) -> str:
    """Every export, newest first, with report and next steps folded below; where Ollama is
    installed, a button that has it take a GGUF in."""
    if not results:
        return markup.empty("Nothing exported yet",
                            "Tick a format above and press Export; the result stands here.")
    inner = "".join(_result(result, has_ollama) for result in results)
    return f'<div class="results">{inner}</div>'


def _result(result: Result, has_ollama: bool) -> str:
    name, found = escape(result.name), result.verification
    kind = escape(str(result.report.get("kind") or result.kind))
    notes = "".join(markup.note(str(text)) for text in result.report.get("notes") or ())
    report = "" if found is None else (
        f"<details><summary>How it answers</summary>{verification_view(found)}</details>")
    steps = "".join(f"<h5>{escape(title)}</h5>{markup.copied(text)}"
                    for title, text in next_steps(result))
    if has_ollama and result.has_modelfile:
        steps += (f'<button type="button" class="verdict" data-what="ollama" data-name="{name}">'
                  "Create it in Ollama now</button>")
    return (
        f'<div class="result" data-name="{name}"><div class="result-head">'
        f'<span class="result-name">{name}</span>'
        f'<span class="quiet">{kind}, {readable_bytes(result.size_bytes)}, '
        f"{escape(moment(result.made_seconds))}</span>{verdict_pill(found)}"
        f'<span class="queue-buttons">{markup.sign_button("delete", result.name, "Delete", "✕")}'
        f'</span></div><div class="path">{escape(str(result.path))}</div>{notes}{report}'
        f"<details><summary>How to use it</summary>{steps}</details></div>")


def question_view(result_name: str, size_bytes: int) -> str:
    """What deleting takes away."""
    return markup.note(f"Delete {result_name} ({readable_bytes(size_bytes)})? The run that it was "
                       "made of stays; the export can be made again.", level="warning")
