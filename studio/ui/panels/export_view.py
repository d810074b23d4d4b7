"""What the Export tab shows: work under way, results, and what to do with them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from studio.files import readable_bytes
from studio.ui import markup
from studio.ui.panels.export_results import Result
from studio.ui.tasks import TaskView

OUTTYPES = [
    ("q8_0: half the size, hardly any loss", "q8_0"),
    ("bf16: as trained", "bf16"),
    ("f16: for older programs", "f16"),
    ("f32: twice the size, for comparisons", "f32"),
]
NO_MODEL = '<div class="quiet">Merge a run first; its model folder then stands here.</div>'


@dataclass(frozen=True)
class Outcome:
    """What a merge or an export made: where it lies, and what to know about it."""

    path: Path
    notes: tuple[str, ...] = ()


def task_view(task: TaskView) -> str:
    """The work under way, or how the last one ended."""
    if task.state == "idle":
        return ""
    seconds = markup.readable_seconds(task.elapsed_seconds)
    if task.is_active:
        word = "Stopping" if task.state == "stopping" else task.title
        return (f'<div class="task" data-state="{task.state}"><div class="task-title">'
                f'{escape(word)}</div>{markup.step_bar(task.step)}</div>')
    if task.state == "done":
        result: Outcome | None = task.result
        where = f"It lies in {result.path}" if result else ""
        body = markup.note(f"{task.title}: done in {seconds}.", where, "good")
        body += "".join(markup.note(text) for text in result.notes) if result else ""
    elif task.state == "stopped":
        body = markup.note(f"{task.title}: stopped.", "Nothing half-written was left.", "info")
    else:
        message, hint = task.error or ("It failed.", "")
        body = markup.note(f"{task.title}: {message}", hint, "problem")
    return f'<div class="task" data-state="{task.state}">{body}</div>'


def results_view(results: list[Result]) -> str:
    """Every export with size, place, and next steps folded below."""
    if not results:
        return markup.empty("Nothing exported yet",
                            "Merge a run above; the model folder appears here.")
    return '<div class="results">' + "".join(map(_result, results)) + "</div>"


def _result(result: Result) -> str:
    steps = gguf_steps(result.path) if result.kind == "GGUF" else folder_steps(result.path)
    inner = "".join(f"<h5>{escape(title)}</h5>{markup.preformatted(text)}"
                    for title, text in steps)
    return (
        f'<div class="result" data-name="{escape(result.name)}"><div class="result-head">'
        f'<span class="result-name">{escape(result.name)}</span>'
        f'<span class="quiet">{escape(result.kind)}, {readable_bytes(result.size_bytes)}</span>'
        f'</div><div class="path">{escape(str(result.path))}</div>'
        f"<details><summary>What next</summary>{inner}</details></div>"
    )


def gguf_steps(path: Path) -> list[tuple[str, str]]:
    """(program, commands) to run a GGUF file elsewhere."""
    name = path.stem.lower()
    return [
        ("llama.cpp", f'llama-server -m "{path}"'),
        ("LM Studio", f'lms import "{path}"'),
        ("Ollama: a file named Modelfile with this line",
         f"FROM {path}"),
        ("Ollama: then, in the same folder",
         f"ollama create {name} -f Modelfile\nollama run {name}"),
    ]


def folder_steps(path: Path) -> list[tuple[str, str]]:
    """(program, commands) to use a merged model folder."""
    return [
        ("Python, with transformers",
         "from transformers import pipeline\n"
         f"answer = pipeline('text-generation', {str(path)!r})\n"
         "print(answer([{'role': 'user', 'content': 'Hello'}])[0]['generated_text'][-1])"),
        ("llama.cpp, LM Studio, Ollama", "Write a GGUF file from it, above."),
    ]
