"""Ollama gets the model's own template, written for Go, its stop texts and values."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from studio.data.templates import render_turns
from studio.data.templates.named import FOLDER, NAMED
from studio.errors import ExportError, ModelError, SetupError, Stopped
from studio.export.ollama import (
    create_in_ollama,
    default_modelfile,
    go_template,
    ollama_commands,
    write_modelfile,
)
from studio.export.turn_texts import Message, Render, turn_texts

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
TALKS: list[list[Message]] = [
    [{"role": "user", "content": 'Say {{ "hi" }}'}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b\nc"},
     {"role": "user", "content": "d"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a"},
     {"role": "assistant", "content": "b"}, {"role": "user", "content": "d"}],
]
READ_BY_GO = """package main
import ("encoding/json"; "fmt"; "os"; "text/template")
type Turn struct { Role, Content string }
type Case struct { Template, System string; Messages []*Turn }
func main() {
    var cases []Case
    if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil { panic(err) }
    for _, one := range cases {
        given := map[string]any{"System": one.System, "Messages": one.Messages}
        if err := template.Must(template.New("").Parse(one.Template)).Execute(os.Stdout, given)
            err != nil { panic(err) }
        fmt.Print("\\x00")
    }
}
"""


def _render(name: str) -> Render:
    text = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")

    def render(messages: Sequence[Message], answer_next: bool) -> str:
        return render_turns(text, SPECIAL, list(messages), answer_next=answer_next)

    return render


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """Something that begins like a GGUF: a Modelfile only names it."""
    file = tmp_path / "Orders-q4_k_m.gguf"
    file.write_bytes(b"GGUF")
    return file


@pytest.mark.parametrize("name", sorted(set(NAMED) - {"llama2"}))
def test_turns_put_together_are_what_the_template_writes(name: str) -> None:
    render = _render(name)
    found = turn_texts(render, "<s>")
    assert found is not None and found.takes_system
    for talk in TALKS:
        assert found.text(talk) == render(talk, True)


def test_a_template_that_does_more_is_not_described() -> None:
    assert turn_texts(_render("llama2"), "<s>") is None  # begins every turn with <s>

    def shouts(messages: Sequence[Message], answer_next: bool) -> str:
        return "".join(f"{one['role']}: {one['content'].upper()}\n" for one in messages)

    assert turn_texts(shouts) is None


def test_the_template_is_written_in_the_words_of_go() -> None:
    found = turn_texts(_render("chatml"), "<s>")
    assert found is not None
    assert go_template(found) == (
        '{{ "<s>" }}{{ range $number, $turn := .Messages }}'
        '{{ if eq .Role "system" }}{{ "<|im_start|>system\\n" }}{{ .Content }}{{ "<|im_end|>\\n" }}'
        '{{ else if eq .Role "user" }}{{ "<|im_start|>user\\n" }}{{ .Content }}'
        '{{ "<|im_end|>\\n" }}{{ else if eq .Role "assistant" }}{{ "<|im_start|>assistant\\n" }}'
        '{{ .Content }}{{ "<|im_end|>\\n" }}{{ end }}{{ end }}{{ "<|im_start|>assistant\\n" }}')


def test_what_cannot_be_seen_is_spelled_out_since_ollama_drops_it_from_a_modelfile() -> None:
    def render(messages: Sequence[Message], answer_next: bool) -> str:
        odd = '\u200b\u2581\U000e0001"\t: '
        turns = [f"{one['role']}{odd}{one['content']}\n" for one in messages]
        return "".join([*turns, f"assistant{odd}" if answer_next else ""])

    found = turn_texts(render)
    assert found is not None
    template = go_template(found)
    assert template.isprintable()
    assert template.endswith('{{ "assistant\\u200b\u2581\\U000e0001\\"\\t: " }}')


def test_a_stop_text_stands_between_its_quotes_as_it_is(
    tiny_model: Path, gguf: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    model = shutil.copytree(tiny_model, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    odd = ['<|"end"|>', "<\\end>", "<\u200bend>"]
    tokenizer.add_tokens(odd, special_tokens=True)
    tokenizer.save_pretrained(model)
    (model / "generation_config.json").write_text(json.dumps(
        {"top_k": 40.0, "eos_token_id": tokenizer.convert_tokens_to_ids(odd)}), encoding="utf-8")
    lines = write_modelfile(gguf, model).path.read_text(encoding="utf-8").splitlines()
    assert lines[3:7] == ['PARAMETER stop "<|"end"|>"', 'PARAMETER stop "<\\end>"',
                          'PARAMETER stop "<|im_end|>"', "PARAMETER top_k 40"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed")
def test_go_itself_writes_the_same(tmp_path: Path) -> None:
    cases, wanted = [], []
    for name in sorted(set(NAMED) - {"llama2"}):
        found = turn_texts(_render(name), "<s>")
        assert found is not None
        for talk in TALKS:
            system = "".join(one["content"] for one in talk if one["role"] == "system")
            cases.append({"Template": go_template(found), "System": system, "Messages": talk})
            wanted.append(_render(name)(talk, True))
    (tmp_path / "main.go").write_text(READ_BY_GO, encoding="utf-8")
    done = subprocess.run(["go", "run", "main.go"], cwd=tmp_path, input=json.dumps(cases),
                          capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stdout.split("\0")[:-1] == wanted


def test_a_modelfile_names_the_file_the_stops_and_the_values(
    tiny_model: Path, gguf: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    (model / "generation_config.json").write_text(json.dumps(
        {"temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.1, "eos_token_id": [2]}),
        encoding="utf-8")
    made = write_modelfile(gguf, model)
    lines = made.path.read_text(encoding="utf-8").splitlines()
    assert made.path == default_modelfile(gguf) and not made.notes
    assert lines[1] == "FROM ./Orders-q4_k_m.gguf" and lines[2].startswith('TEMPLATE """{{')
    assert lines[3:] == [
        'PARAMETER stop "<|im_end|>"', "PARAMETER temperature 0.6", "PARAMETER top_p 0.9",
        "PARAMETER repeat_penalty 1.1", "PARAMETER num_ctx 512"]
    assert str(tmp_path) not in "\n".join(lines)
    assert "ollama create orders-q4_k_m -f" in ollama_commands(made.path)


def test_an_adapter_is_loaded_over_the_file(tiny_model: Path, gguf: Path) -> None:
    lora = gguf.with_name("orders-lora.gguf")
    made = write_modelfile(gguf, tiny_model, lora=lora)
    assert "\nADAPTER ./orders-lora.gguf\n" in made.path.read_text(encoding="utf-8")
    assert made.path == default_modelfile(lora)


def test_a_template_that_ollama_cannot_have_is_noted(
    tiny_model: Path, gguf: Path, tmp_path: Path
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    shouting = "{% for message in messages %}{{ message['content'] | upper }}\n{% endfor %}"
    (model / "chat_template.jinja").write_text(shouting, encoding="utf-8")
    made = write_modelfile(gguf, model)
    assert "TEMPLATE" not in made.path.read_text(encoding="utf-8")
    assert "guesses" in made.notes[0]


def test_what_is_there_is_kept_and_what_is_missing_is_told(
    tiny_model: Path, gguf: Path, adapter: Path, tmp_path: Path
) -> None:
    default_modelfile(gguf).write_text("mine", encoding="utf-8")
    with pytest.raises(ExportError, match="exists already"):
        write_modelfile(gguf, tiny_model)
    assert write_modelfile(gguf, tiny_model, overwrite=True).bytes > 4
    with pytest.raises(ModelError, match="no file"):
        write_modelfile(tmp_path / "gone.gguf", tiny_model)
    with pytest.raises(ExportError, match="is an adapter"):
        write_modelfile(gguf, adapter, overwrite=True)


def _stand_in(folder: Path, script: str) -> None:
    program = folder / "ollama"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
def test_ollama_takes_it_in_refuses_or_is_stopped(
    tiny_model: Path, gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modelfile = write_modelfile(gguf, tiny_model).path
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="not installed") as caught:
        create_in_ollama(modelfile)
    assert "ollama create orders-q4_k_m" in caught.value.hint
    _stand_in(tmp_path, 'echo "$@" > taken')
    assert create_in_ollama(modelfile) == "orders-q4_k_m"
    assert (tmp_path / "taken").read_text() == f"create orders-q4_k_m -f {modelfile.name}\n"
    _stand_in(tmp_path, 'echo "Error: could not connect" >&2; exit 1')
    with pytest.raises(ExportError, match="could not connect"):
        create_in_ollama(modelfile)
    _stand_in(tmp_path, "exec /bin/sleep 60")
    with pytest.raises(Stopped):
        create_in_ollama(modelfile, stop=lambda: True)
