"""A GGUF that is right is found right through llama.cpp itself; one that is broken is caught."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from studio.errors import ModelError, Stopped
from studio.export.gguf import write_gguf
from studio.export.lora_gguf import write_lora_gguf
from studio.export.origin import find_origin
from studio.export.verify import Reference, live_reference, read_report, report_files, verify
from studio.export.verify.base_gguf import kept_base_gguf
from studio.export.verify.llama_side import LlamaSide
from studio.export.verify.reference import base_folder
from studio.progress import never, silent
from studio.settings import Settings
from tests.chat.conftest import make_adapter


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("verify"), offline=True)


@pytest.fixture(scope="module")
def live(convertible_model: Path, home: Settings) -> Reference:
    """The model that `exact_gguf` was made from, asked once."""
    return live_reference(find_origin(convertible_model), home)


@pytest.fixture
def copy(exact_gguf: Path, tmp_path: Path) -> Path:
    """A GGUF to be broken, alone in its folder."""
    return Path(shutil.copy(exact_gguf, tmp_path / "tiny.gguf"))


def test_a_right_gguf_agrees_and_has_its_report_beside_it(
    copy: Path, live: Reference, home: Settings
) -> None:
    found = verify(copy, live.origin, home, reference=live)
    assert (found.kind, found.program, found.level) == ("GGUF", "llama.cpp", "same")
    assert found.is_good and not found.warnings, found
    assert found.measures is not None and found.measures.mean_kl < 1e-3
    assert found.measures.perplexity_rise == pytest.approx(0, abs=0.01)
    assert {check.name for check in found.checks} == {"template", "stop token"}
    assert [file.name for file in report_files(copy)] == [
        "tiny.gguf.verification.json", "tiny.gguf.verification.md"]
    assert read_report(copy) == found
    later = copy.stat().st_mtime + 3600
    os.utime(copy, (later, later))
    assert read_report(copy) is None  # it is another file by now


def test_another_template_and_another_end_of_answers_in_a_gguf_are_caught(
    copy: Path, live: Reference, home: Settings
) -> None:
    from gguf import GGUFReader

    reader = GGUFReader(copy, "r+")
    template = reader.fields["tokenizer.chat_template"].parts[-1]
    template[:] = list(bytes(template).replace(b"assistant:", b"assistent:"))
    reader.data.flush()
    del reader, template
    # The training ended answers with a token that the file does not name as one.
    taught = live.tokenizer.convert_ids_to_tokens(300)
    found = verify(copy, live.origin, home, reference=replace(live, end_token=300))
    assert [check.passed for check in found.checks] == [False, False] and not found.is_good
    assert "makes other tokens of a conversation" in found.checks[0].said
    assert f"llama.cpp does not end an answer at {taught}" in found.checks[1].said
    assert found.level == "same"  # the weights are the right ones


def test_a_gguf_lora_is_checked_over_a_gguf_of_its_base(
    convertible_model: Path, copy: Path, home: Settings, tmp_path: Path
) -> None:
    adapter = make_adapter(convertible_model, tmp_path / "adapter", seed=8)
    origin = find_origin(adapter)
    live = live_reference(origin, home)
    made = write_lora_gguf(origin, tmp_path / "adapter-lora.gguf", "f32", home)
    kept = kept_base_gguf(base_folder(origin, home, silent, never), home)
    kept.parent.mkdir(parents=True)
    shutil.copy(copy, kept)
    said: list[str] = []
    found = verify(made.path, origin, home, reference=live,
                   progress=lambda step: said.append(step.what))
    assert "Taking the base that an earlier check converted" in said
    assert (found.kind, found.level) == ("GGUF LoRA", "same") and found.is_good, found
    base = verify(copy, origin, home, reference=live)
    assert base.level == "broken"  # the adapter is not in it
    assert "not the weights of the run" in base.warnings[0]


def test_the_converted_base_is_kept_until_the_base_is_another_or_the_disk_is_nearly_full(
    convertible_model: Path, home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studio.export.verify import base_gguf
    from studio.models.folder import ModelFolder

    asked = Settings(home=tmp_path / "home", offline=True)
    here = asked.cache / "base-gguf"
    written: list[Path] = []

    def convert(model: Path, output: Path, *_: object, **__: object) -> None:
        written.append(model)
        output.write_bytes(b"GGUF")

    monkeypatch.setattr(base_gguf, "write_gguf", convert)  # the conversion has its own tests
    folder = tmp_path / "model"
    shutil.copytree(convertible_model, folder)

    def used() -> Path:
        base = ModelFolder(folder, "tiny", str(folder))
        with base_gguf.base_gguf_of(base, asked, progress=silent, stop=never) as file:
            assert file.is_file()
        return file

    assert used() == used() and len(written) == 1
    os.utime(folder / "tokenizer_config.json", (1, 1))
    assert len(written) == 1 and used().is_file() and len(written) == 2
    assert len(list(here.iterdir())) == 1  # the older one has gone
    monkeypatch.setattr(base_gguf, "free_bytes", lambda where: 1)
    os.utime(folder / "config.json", (1, 1))
    assert not used().exists() and not list(here.iterdir())


def test_every_token_listed_gives_the_distribution_of_the_model(
    exact_gguf: Path, live: Reference
) -> None:
    import torch

    question, expected = live.sample.questions[0], live.expected[0]
    with LlamaSide(exact_gguf, progress=silent, stop=never) as llama:
        listed = llama.reading(question.prompt_ids, question.answer_ids, never)
    found = torch.empty_like(expected).scatter_(1, listed.ids, listed.log_probabilities)
    assert torch.allclose(found, expected, atol=0.05)  # llama.cpp keeps what it read in 16 bits


def test_a_check_in_llama_cpp_stops_and_a_broken_file_is_a_sentence(
    copy: Path, live: Reference, home: Settings, tmp_path: Path
) -> None:
    said: list[str] = []
    with pytest.raises(Stopped):
        verify(copy, live.origin, home, reference=live, stop=lambda: "Asking llama.cpp" in said,
               progress=lambda step: said.append(step.what))
    assert not report_files(copy)[0].exists()
    running = [child.cmdline() for child in psutil.Process().children()]
    assert not any("llama_process" in " ".join(command) for command in running)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF\3" + bytes(100))  # of the third version, and nothing in it
    with pytest.raises(ModelError, match=r"cannot serve broken\.gguf"):
        verify(broken, live.origin, home, reference=live)


@pytest.mark.slow
def test_the_starter_in_eight_bits_is_hardly_told_apart(
    starter_model: Path, settings: Settings
) -> None:
    made = write_gguf(starter_model, settings.exports / "starter-q8_0.gguf", "q8_0", settings)
    found = verify(made.path, find_origin(starter_model), settings)
    assert found.level in ("same", "close") and found.is_good, found
    assert found.measures is not None and found.measures.top1_agreement > 0.95
    assert all(check.passed for check in found.checks) and "built-in" in found.sample
