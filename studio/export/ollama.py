"""An Ollama Modelfile for a GGUF: the template, the stop texts and the values of this very model.

Ollama's templates are Go's, not Jinja: the model's own is taken apart (`turn_texts.py`) and
written anew. The model is made by `ollama create` where Ollama is installed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.child import LOOK_SECONDS
from studio.errors import ExportError, SetupError
from studio.export.output import Written, end_if_stopped, file_to_write
from studio.export.turn_texts import Message, TurnTexts, turn_texts
from studio.export.whole_model import require_whole_model
from studio.files import safe_name, write_text_safely
from studio.models.folder import ModelFolder, read_config
from studio.models.gguf_file import checked_gguf
from studio.progress import Progress, ShouldStop, Step, never, silent

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ENDING = ".Modelfile"
MOST_CONTEXT_TOKENS = 8192
"""Ollama reserves memory for the whole context; a person can set more."""
_PARAMETERS = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k",
               "min_p": "min_p", "repetition_penalty": "repeat_penalty"}
"""Names in generation_config.json -> those of Ollama."""
_NO_TEMPLATE = ("Ollama has no template for this model: its chat template does more than put text "
                "around each turn, so Ollama guesses one from the file. Compare its answers.")
_NO_SYSTEM = "Ollama leaves out a system prompt: this model's template has no place for one."


def default_modelfile(gguf: Path) -> Path:
    """Where the Modelfile of a GGUF goes: beside it."""
    return gguf.with_name(f"{gguf.stem}{ENDING}")


def write_modelfile(gguf: Path, model_folder: Path, *, lora: Path | None = None,
                    overwrite: bool = False) -> Written:
    """Write the Modelfile beside `gguf`, which was made of the Transformers folder.

    With `lora` that adapter's GGUF, which lies in the same folder, is loaded over it.
    Raises ExportError (a Modelfile is there already, no whole model), ModelError (no GGUF).
    """
    started = time.monotonic()
    gguf = checked_gguf(gguf)
    require_whole_model(model_folder)
    output = file_to_write(default_modelfile(lora or gguf), overwrite)
    text, notes = _modelfile(gguf, model_folder, lora)
    write_text_safely(output, text)
    return Written(output, output.stat().st_size, time.monotonic() - started, notes)


def ollama_name(gguf: Path) -> str:
    """What the model is called in Ollama: small letters, as its names are."""
    return safe_name(gguf.stem, "model").lower()


def ollama_commands(modelfile: Path) -> str:
    """What to type to have the model in Ollama and to talk to it."""
    name = ollama_name(modelfile)
    return f'ollama create {name} -f "{modelfile}"\nollama run {name}'


def ollama_program() -> str | None:
    """Where Ollama is on this PC; None where it is not installed."""
    return shutil.which("ollama")


def create_in_ollama(modelfile: Path, *, progress: Progress = silent, stop: ShouldStop = never
                     ) -> str:
    """Have Ollama take the model in, which copies the file; gives the model's name there.

    Raises SetupError where Ollama is not installed, ExportError where it refuses, Stopped.
    """
    program, name = ollama_program(), ollama_name(modelfile)
    if program is None:
        raise SetupError("Ollama is not installed on this PC, or not on its PATH.",
                         f"Install it, then run: {ollama_commands(modelfile)}")
    progress(Step(f"Ollama takes in {name}"))
    with subprocess.Popen(
        [program, "create", name, "-f", modelfile.name], cwd=modelfile.parent,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as running:
        try:
            said = _said_at_the_end(running, stop)
        finally:
            running.kill()
    if running.returncode != 0:
        raise ExportError(f"Ollama did not take in {modelfile.name}: {said}",
                          "Check that Ollama is running (ollama serve), and try again.")
    return name


def _said_at_the_end(running: subprocess.Popen[bytes], stop: ShouldStop) -> str:
    """Wait for its end; gives the last line of its error output, on which it reports all."""
    while True:
        try:
            _, errors = running.communicate(timeout=LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            end_if_stopped(stop)
            continue
        lines = errors.decode("utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _modelfile(gguf: Path, model_folder: Path, lora: Path | None) -> tuple[str, tuple[str, ...]]:
    from studio.models.loading import load_tokenizer

    tokenizer = load_tokenizer(ModelFolder(model_folder, model_folder.name, str(model_folder)))
    found = _turn_texts(tokenizer)
    lines = [f"# {gguf.stem} for Ollama: ollama create {ollama_name(lora or gguf)} -f "
             f"{default_modelfile(lora or gguf).name}", f"FROM ./{gguf.name}"]
    if lora is not None:
        lines.append(f"ADAPTER ./{lora.name}")
    if found is not None:
        lines.append(f'TEMPLATE """{go_template(found)}"""')
    # Ollama takes every character between the quotes as it is, a backslash, too.
    lines += [f'PARAMETER stop "{text}"' for text in _stop_texts(tokenizer, model_folder)]
    lines += [f"PARAMETER {name} {value}" for name, value in _values(model_folder)]
    if found is None:
        return "\n".join(lines) + "\n", (_NO_TEMPLATE,)
    return "\n".join(lines) + "\n", () if found.takes_system else (_NO_SYSTEM,)


def _turn_texts(tokenizer: PreTrainedTokenizerBase) -> TurnTexts | None:
    from studio.data.templates import adds_bos, render_turns, special_tokens_of, template_for
    from studio.recipe import Data

    template, special = template_for(tokenizer, Data()), special_tokens_of(tokenizer)

    def render(messages: Sequence[Message], answer_next: bool) -> str:
        text = render_turns(template, special, list(messages), answer_next=answer_next)
        # Ollama puts this token before every text, where the model's tokenizer does.
        return text.removeprefix(bos) if adds else text

    bos, adds = special.get("bos_token") or "", adds_bos(tokenizer)
    return turn_texts(render, "" if adds else _shared_beginning(render, bos))


def _shared_beginning(render: Any, bos: str) -> str:
    """`bos` where the template begins every text with it, and begins no turn with it."""
    text = render([{"role": "user", "content": "Hello"}], True)
    return bos if bos and text.startswith(bos) and text.count(bos) == 1 else ""


def go_template(texts: TurnTexts) -> str:
    """The turns as a template of Go's package text/template, as Ollama renders it.

    Fixed text is quoted, so that no space or brace in it is taken for more.
    """
    parts = [_quoted(texts.beginning)]
    if texts.without_system:
        parts += ["{{ if not .System }}", _quoted(texts.without_system), "{{ end }}"]
    parts += ["{{ range $number, $turn := .Messages }}", *_roles(texts), "{{ end }}",
              _quoted(texts.opening)]
    return "".join(parts)


def _roles(texts: TurnTexts) -> Iterator[str]:
    around = {"system": texts.system, "user": texts.user, "assistant": texts.assistant}
    word = "if"
    for role, pair in around.items():
        if pair is not None:
            yield f'{{{{ {word} eq .Role "{role}" }}}}{_quoted(pair[0])}'
            if role == "user" and texts.joined:  # the system turn is the first message
                yield "{{ if and $.System (eq $number 1) }}{{ $.System }}"
                yield f"{_quoted(texts.joined)}{{{{ end }}}}"
            yield f"{{{{ .Content }}}}{_quoted(pair[1])}"
            word = "else if"
    yield "{{ end }}"


def _quoted(text: str) -> str:
    """As a text of Go, with what Ollama would drop from a Modelfile, being unseen, spelled out."""
    if not text:
        return ""
    seen = "".join(one if one.isprintable() else
                   f"\\u{ord(one):04x}" if ord(one) < 0x10000 else f"\\U{ord(one):08x}"
                   for one in json.dumps(text, ensure_ascii=False))
    return f"{{{{ {seen} }}}}"


def _stop_texts(tokenizer: PreTrainedTokenizerBase, model_folder: Path) -> list[str]:
    """The tokens that end an answer, as text: Ollama stops before them. A Modelfile has no way to
    write a text that cannot be seen; such a token ends the answer by itself."""
    from studio.data.templates import named_ends, stop_token_ids

    ends = named_ends(_generation_config(model_folder).get("eos_token_id"))
    ids = dict.fromkeys([*ends, *stop_token_ids(tokenizer)])
    texts = [str(tokenizer.convert_ids_to_tokens(number)) for number in ids]
    return [text for text in texts if text.isprintable()]


def _values(model_folder: Path) -> Iterator[tuple[str, float]]:
    """How the model's authors want it to choose, and how much of its context Ollama holds."""
    config = _generation_config(model_folder)
    for name, theirs in _PARAMETERS.items():
        value = config.get(name)
        if isinstance(value, int | float):
            yield theirs, int(value) if name == "top_k" else value
    text = read_config(model_folder / "config.json")
    limit = text.get("max_position_embeddings")
    yield "num_ctx", min(int(limit), MOST_CONTEXT_TOKENS) if limit else MOST_CONTEXT_TOKENS


def _generation_config(model_folder: Path) -> dict[str, Any]:
    file = model_folder / "generation_config.json"
    return read_config(file) if file.is_file() else {}
