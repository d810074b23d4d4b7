"""Loading for real: number formats, quantization on the CPU, and what is refused."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from studio.device import Device, pick_device
from studio.errors import ModelError, SetupError
from studio.models import find_model, load_base, load_tokenizer
from studio.models.folder import ModelFolder
from studio.models.shape import meta_model
from studio.recipe import Model
from studio.settings import Settings
from tests.tiny import make_tiny_model

CPU = Device("cpu", "CPU", "float32", 8 * 10**9)


@pytest.fixture
def folder(tiny_model: Path, settings: Settings) -> ModelFolder:
    return find_model(str(tiny_model), settings)


def test_the_tokenizer_keeps_its_chat_template_and_has_a_pad_token(folder: ModelFolder) -> None:
    tokenizer = load_tokenizer(folder)
    text = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert text == "<|im_start|>user\nhi<|im_end|>\n"
    assert tokenizer.pad_token_id is not None


def test_a_model_without_tokenizer_is_said(tiny_model: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(tiny_model / name, tmp_path / name)
    with pytest.raises(ModelError, match="no tokenizer"):
        load_tokenizer(ModelFolder(tmp_path, "bare", str(tmp_path)))


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32"])
def test_the_recipes_number_format_is_the_models(folder: ModelFolder, name: str) -> None:
    base = load_base(Model(dtype=name), folder, CPU)  # type: ignore[arg-type]
    assert str(base.dtype) == f"torch.{name}"
    assert not base.training


@pytest.mark.parametrize(("quantization", "layer"), [("4bit", "Linear4bit"),
                                                     ("8bit", "Linear8bitLt")])
def test_a_quantised_base_answers_on_this_device(
    folder: ModelFolder, quantization: str, layer: str
) -> None:
    import torch

    device = pick_device()
    base = load_base(Model(quantization=quantization), folder, device)  # type: ignore[arg-type]
    assert type(base.get_submodule("model.layers.0.self_attn.q_proj")).__name__ == layer
    ids = torch.tensor([[3, 4, 5]], device=device.torch_name)
    assert torch.isfinite(base(ids).logits).all()


def test_4bit_is_nf4_with_double_quantization(folder: ModelFolder) -> None:
    base = load_base(Model(quantization="4bit", dtype="bfloat16"), folder, CPU)
    settings = base.config.quantization_config
    assert settings.bnb_4bit_quant_type == "nf4"
    assert settings.bnb_4bit_use_double_quant
    assert str(settings.bnb_4bit_compute_dtype) == "torch.bfloat16"


@pytest.mark.parametrize(("double", "each"), [(True, 0.5 + 1 / 64), (False, 0.5 + 4 / 64)])
def test_without_double_quantization_the_scales_stay_in_32_bits(
    folder: ModelFolder, double: bool, each: float
) -> None:
    base = load_base(Model(quantization="4bit", double_quantization=double), folder, CPU)
    weight = base.get_submodule("model.layers.0.mlp.down_proj").weight
    state = weight.quant_state
    held = weight.nbytes + state.absmax.nbytes
    assert held / state.shape.numel() == each
    assert (state.state2 is not None) == double


def test_quantization_on_an_apple_gpu_is_refused(folder: ModelFolder) -> None:
    apple = Device("mps", "Apple GPU", "float16", 8 * 10**9)
    with pytest.raises(SetupError, match="Apple GPU"):
        load_base(Model(quantization="4bit"), folder, apple)


def test_flash_attention_without_a_gpu_is_refused(folder: ModelFolder) -> None:
    with pytest.raises(SetupError, match="flash_attention_2"):
        load_base(Model(attention="flash_attention_2"), folder, CPU)


@pytest.mark.parametrize(("asked", "got"), [("auto", "sdpa"), ("eager", "eager"), ("sdpa", "sdpa")])
def test_attention_is_what_was_asked_for(folder: ModelFolder, asked: str, got: str) -> None:
    base = load_base(Model(attention=asked), folder, CPU)  # type: ignore[arg-type]
    assert base.config._attn_implementation == got


def test_weights_that_are_missing_are_not_made_up(tiny_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_model, tmp_path / "copy"))
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 of its weights, among them .*up_proj"):
        load_base(Model(), ModelFolder(folder, "copy", str(folder)), CPU)


def test_loading_prints_nothing(folder: ModelFolder, capfd: pytest.CaptureFixture[str]) -> None:
    load_base(Model(), folder, CPU)
    assert capfd.readouterr() == ("", "")


def test_a_model_has_one_number_format_also_while_others_are_being_counted(
    settings: Settings, tmp_path: Path
) -> None:
    """transformers sets torch's default format for the whole process while it makes a model."""
    import torch
    from transformers import AutoConfig

    # Many layers, so that making it takes as long as it does for a real one.
    folder = find_model(str(make_tiny_model(tmp_path / "deep", hidden=16, layers=48)), settings)
    config = AutoConfig.from_pretrained(folder.path, dtype="float32")
    config.num_hidden_layers = 2
    loaded = threading.Event()

    def count() -> None:
        while not loaded.is_set():
            meta_model(config)

    counting = threading.Thread(target=count)
    counting.start()
    try:
        formats = {parameter.dtype for _ in range(4)
                   for parameter in load_base(Model(dtype="bfloat16"), folder, CPU).parameters()}
    finally:
        loaded.set()
        counting.join()
    assert formats == {torch.bfloat16} and torch.get_default_dtype() == torch.float32


def test_the_head_of_several_prompts_is_multiplied_at_once(folder: ModelFolder) -> None:
    """A view with gaps would be multiplied row by row, with a copy of the head for each."""
    import torch

    seen: list[bool] = []
    base = load_base(Model(source=str(folder.path), dtype="bfloat16"), folder, CPU)
    base.get_output_embeddings().register_forward_pre_hook(
        lambda _head, given: seen.append(given[0].is_contiguous()))
    base.generate(input_ids=torch.ones(3, 5, dtype=torch.long), max_new_tokens=2, do_sample=False,
                  pad_token_id=0)
    assert seen == [True, True]
