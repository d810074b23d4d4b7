"""A PEFT adapter over a GGUF file is written for llama.cpp once, or refused with the reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from studio.adapters.folder import CONFIG_FILE
from studio.chat.gguf_adapters import (
    adapter_bytes,
    as_gguf_adapter,
    gguf_adapters_folder,
    require_possible,
)
from studio.errors import ModelError
from studio.progress import Step
from studio.settings import Settings
from tests.chat.conftest import make_adapter, make_ia3
from tests.export.conftest import convertible_model  # noqa: F401 - a fixture
from tests.ggufs import write_tiny_gguf


@pytest.fixture(scope="module")
def base(convertible_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """Of its own, since what it says of itself is changed."""
    return shutil.copytree(convertible_model, tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of another Llama, which is as wide and so takes adapters on square layers."""
    return write_tiny_gguf(tmp_path_factory.mktemp("ggufs") / "tiny.gguf")


def square(base: Path, folder: Path, **options: Any) -> Path:
    return make_adapter(base, folder, seed=5, target_modules=["q_proj", "o_proj"], **options)


def test_it_is_written_once_for_what_it_holds_and_swept_when_it_is_another(
    base: Path, gguf: Path, settings: Settings, tmp_path: Path
) -> None:
    adapter, folder = square(base, tmp_path / "adapter"), gguf_adapters_folder(settings)
    gone = folder / "of-one-that-is-gone"
    gone.mkdir(parents=True)
    (gone / "about.json").write_text(json.dumps({"adapter": str(tmp_path / "gone")}),
                                     encoding="utf-8")
    said: list[Step] = []

    def written() -> Path:
        return as_gguf_adapter(adapter, gguf, settings, "orders-1", progress=said.append)

    first = written()
    assert [step.what for step in said] == ["Writing orders-1 for llama.cpp"]
    assert first.stat().st_size == pytest.approx(adapter_bytes(adapter), rel=0.1)
    assert list(folder.iterdir()) == [first.parent]
    assert as_gguf_adapter(first, gguf, settings, "a file") == first
    (adapter / "README.md").write_text("not what is written", encoding="utf-8")
    assert written() == first and len(said) == 1

    # Another by now, and of a base that llama.cpp does not know: nothing is left, nor of before.
    for file, changed in ((adapter / CONFIG_FILE, {"lora_alpha": 3}),
                          (base / "config.json", {"architectures": ["LlamaForSomethingElse"]})):
        config = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps(config | changed), encoding="utf-8")
    with pytest.raises(ModelError, match=r"orders-1 cannot be written .* LlamaForSomethingElse"):
        written()
    assert len(said) == 2 and not list(folder.iterdir())


@pytest.mark.parametrize(("options", "words"), [
    ({"use_dora": True}, "adapter cannot answer over a GGUF file: it is a DoRA"),
    ({"modules_to_save": ["lm_head"]}, "whole modules of its own"),
])
def test_what_llama_cpp_does_not_compute_is_refused_with_the_reason(
    convertible_model: Path, gguf: Path, settings: Settings, tmp_path: Path,  # noqa: F811
    options: dict[str, Any], words: str
) -> None:
    adapter = square(convertible_model, tmp_path / "adapter", **options)
    with pytest.raises(ModelError, match=words) as caught:
        require_possible(adapter, gguf, settings, "adapter")
    assert "merge it on the Export tab" in caught.value.hint


def test_what_is_no_adapter_for_the_file_is_refused_with_the_reason(
    convertible_model: Path, gguf: Path, settings: Settings, tmp_path: Path  # noqa: F811
) -> None:
    def refused(path: Path) -> str:
        with pytest.raises(ModelError) as caught:
            require_possible(path, gguf, settings, "it")
        return f"{caught.value.message} {caught.value.hint}"

    fits = square(convertible_model, tmp_path / "fits")
    assert require_possible(fits, gguf, settings, "it").path == fits
    assert "is of the kind IA3" in refused(make_ia3(convertible_model, tmp_path / "ia3"))
    assert "trained every weight" in refused(convertible_model)
    wide = make_adapter(convertible_model, tmp_path / "wide", seed=1, target_modules=["down_proj"])
    assert ("does not fit tiny.gguf: model.layers.0.mlp.down_proj has 96 inputs and 64 outputs in "
            "the file, and 128 and 64 in the adapter.") in refused(wide)
    pickled = shutil.copytree(fits, tmp_path / "pickled")
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    assert "is a pickle" in refused(pickled)
    config = json.loads((fits / CONFIG_FILE).read_text(encoding="utf-8"))
    for changed, words in (
            ({"base_model_name_or_path": "somebody/else"}, "somebody/else, which is not on this"),
            ({"base_model_name_or_path": None}, "does not say which base"),
            ({"task_type": "SEQ_CLS"}, "a reward model"),
            ({"init_lora_weights": "pissa"}, "trained over a changed base")):
        (fits / CONFIG_FILE).write_text(json.dumps(config | changed), encoding="utf-8")
        assert words in refused(fits)
    assert not gguf_adapters_folder(settings).exists()
