"""A GGUF is whole or not there, and what llama.cpp cannot take is a sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from studio.errors import DiskError, ExportError, ModelError, Stopped
from studio.export.gguf import write_gguf
from studio.export.verify import ask_gguf
from studio.progress import Step
from studio.settings import Settings


def test_a_gguf_appears_whole_with_a_report_beside_it(
    exact_gguf: Path, progress_of_exact: list[Step]
) -> None:
    assert exact_gguf.name == "tiny-f32.gguf"
    assert exact_gguf.read_bytes()[:4] == b"GGUF" and progress_of_exact
    there = {path.name for path in exact_gguf.parent.iterdir() if path.is_file()}
    assert there == {exact_gguf.name, f"{exact_gguf.name}.json"}


def test_a_stopped_conversion_leaves_nothing(convertible_model: Path, settings: Settings) -> None:
    with pytest.raises(Stopped):
        write_gguf(convertible_model, settings.exports / "t.gguf", "f16", settings,
                   stop=lambda: True)
    assert list(settings.exports.iterdir()) == []


def test_a_tokenizer_that_llama_cpp_does_not_know_is_a_sentence(
    tiny_model: Path, settings: Settings
) -> None:
    with pytest.raises(ExportError, match="does not know the tokenizer of tiny-llama"):
        write_gguf(tiny_model, settings.exports / "t.gguf", "f16", settings)
    assert list(settings.exports.iterdir()) == []


def test_bad_orders_are_sentences_before_any_work(
    convertible_model: Path, adapter: Path, settings: Settings, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch
) -> None:
    target = settings.exports / "t.gguf"
    coded = shutil.copytree(convertible_model, tmp_path / "coded")
    config = (coded / "tokenizer_config.json")
    config.write_text('{"auto_map": {"AutoTokenizer": "evil.Tokenizer"}}', encoding="utf-8")
    for folder, outtype, words in (
        (convertible_model, "q4_9", "f32, f16, bf16, q8_0"), (adapter, "f16", "is an adapter"),
        (tmp_path / "gone", "f16", "not a model"), (coded, "f16", "code of its own"),
    ):
        with pytest.raises(ExportError, match=words) as caught:
            write_gguf(folder, target, outtype, settings)
        assert caught.value.hint
    with pytest.raises(ExportError, match="file name"):
        write_gguf(convertible_model, settings.exports / "t.bin", "f16", settings)
    settings.exports.mkdir(parents=True)
    target.write_bytes(b"precious")
    with pytest.raises(ExportError, match="exists already"):
        write_gguf(convertible_model, target, "f16", settings)
    assert target.read_bytes() == b"precious"
    monkeypatch.setattr("studio.files.free_bytes", lambda where: 1000)
    with pytest.raises(DiskError, match=r"Writing other\.gguf needs"):
        write_gguf(convertible_model, settings.exports / "other.gguf", "f16", settings)


def test_a_file_that_is_no_gguf_is_a_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelError, match=r"cannot serve broken\.gguf"):
        ask_gguf(broken, [{"role": "user", "content": "Hi"}], 4)
    with pytest.raises(ModelError, match="no file"):
        ask_gguf(tmp_path / "gone.gguf", [{"role": "user", "content": "Hi"}], 4)


@pytest.mark.slow
def test_the_starter_in_llama_cpp_knows_the_capital_of_france(
    starter_model: Path, settings: Settings
) -> None:
    # Not q8_0: this small model's first two candidates lie so close that its rounding swaps them.
    made = write_gguf(starter_model, settings.exports / "starter-bf16.gguf", "bf16", settings)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    assert "Paris" in ask_gguf(made.path, question, 16)
