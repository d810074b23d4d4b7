"""An adapter alone as a GGUF answers in llama.cpp as it does in PEFT, or the reason is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from studio.errors import ExportError, ModelError, Stopped
from studio.export.lora_gguf import lora_gguf_bytes, why_no_lora_gguf, write_lora_gguf
from studio.export.origin import Origin, find_origin
from studio.export.verify.answers import ask_gguf_each
from studio.recipe import Model
from studio.settings import Settings
from tests.chat.conftest import make_adapter, make_ia3
from tests.tiny import make_tiny_model

QUESTIONS = [[{"role": "user", "content": text}] for text in ("What is the capital?", "Pizza!")]


@pytest.fixture(scope="module")
def mixed_adapter(convertible_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An rsLoRA on every linear layer, with other ranks and alphas at some."""
    return make_adapter(
        convertible_model, tmp_path_factory.mktemp("lora") / "mixed", seed=5, use_rslora=True,
        lora_alpha=2, rank_pattern={"q_proj": 8}, alpha_pattern={"layers.1.mlp.down_proj": 1})


@pytest.fixture(scope="module")
def mixed_gguf(mixed_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mixed_adapter` in f32; written once, since that takes seconds."""
    folder = tmp_path_factory.mktemp("lora-gguf")
    made = write_lora_gguf(find_origin(mixed_adapter), folder / "mixed.gguf", "f32",
                           Settings(home=folder, offline=True))
    return made.path


def test_llama_cpp_answers_with_the_adapter_as_peft_does(
    exact_gguf: Path, convertible_model: Path, mixed_adapter: Path, mixed_gguf: Path
) -> None:
    theirs = ask_gguf_each(exact_gguf, QUESTIONS, 12, lora=mixed_gguf)
    base = ask_gguf_each(exact_gguf, QUESTIONS, 12)
    assert theirs == _answers_of_peft(convertible_model, mixed_adapter)
    assert theirs[0] != base[0] and theirs[1] != base[1]


def _answers_of_peft(base: Path, adapter: Path) -> list[str]:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    texts = []
    for question in QUESTIONS:
        tokens = tokenizer.apply_chat_template(question, add_generation_prompt=True,
                                               return_tensors="pt", return_dict=True)
        written = model.generate(**tokens, max_new_tokens=12, do_sample=False)
        texts.append(tokenizer.decode(written[0, tokens["input_ids"].shape[1]:],
                                      skip_special_tokens=True))
    return texts


def test_the_size_is_foretold_and_half_of_it_in_16_bits(
    mixed_adapter: Path, mixed_gguf: Path
) -> None:
    origin = find_origin(mixed_adapter)
    assert mixed_gguf.stat().st_size == pytest.approx(lora_gguf_bytes(origin, "f32"), rel=0.05)
    assert lora_gguf_bytes(origin, "f16") < 0.7 * lora_gguf_bytes(origin, "f32")


def test_nothing_in_the_file_names_a_folder_of_this_pc(
    mixed_gguf: Path, convertible_model: Path
) -> None:
    held = mixed_gguf.read_bytes()
    assert str(convertible_model.parent).encode() not in held
    report = json.loads(mixed_gguf.with_name("mixed.gguf.json").read_text(encoding="utf-8"))
    assert report["kind"] == "GGUF LoRA" and report["base"] == convertible_model.name
    assert report["bytes"] == mixed_gguf.stat().st_size


@pytest.mark.slow
def test_the_transposed_layers_of_gpt_2_gain_what_peft_adds(
    settings: Settings, tmp_path: Path
) -> None:
    """Its attention's output is square, so only the settings tell how it is stored."""
    import torch
    from gguf import GGUFReader
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

    base = tmp_path / "gpt2"
    GPT2LMHeadModel(GPT2Config(vocab_size=300, n_positions=64, n_embd=32, n_layer=1, n_head=4)
                    ).save_pretrained(base)
    adapter = make_adapter(base, tmp_path / "adapter", seed=1, r=2, lora_alpha=6,
                           target_modules=["c_attn", "c_proj", "c_fc"])
    made = write_lora_gguf(find_origin(adapter), tmp_path / "gpt2.gguf", "f32", settings)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    tensors = {one.name: torch.tensor(one.data) for one in GGUFReader(made.path).tensors}
    block = model.base_model.model.transformer.h[0]
    for name, layer in (("attn_qkv", block.attn.c_attn), ("attn_output", block.attn.c_proj),
                        ("ffn_up", block.mlp.c_fc), ("ffn_down", block.mlp.c_proj)):
        a, b = (tensors[f"blk.0.{name}.weight.lora_{side}"] for side in "ab")
        added = layer.get_delta_weight("default").T  # llama.cpp has outputs first
        torch.testing.assert_close(3 * b @ a, added.detach())


def test_what_llama_cpp_cannot_load_alone_is_told_with_the_reason(
    tiny_model: Path, convertible_model: Path, settings: Settings, tmp_path: Path
) -> None:
    made: dict[str, dict[str, Any]] = {
        "DoRA": {"use_dora": True}, "whole modules": {"modules_to_save": ["lm_head"]},
    }
    for words, options in made.items():
        adapter = make_adapter(tiny_model, tmp_path / words, seed=1, **options)
        assert words in why_no_lora_gguf(find_origin(adapter))
        with pytest.raises(ExportError, match="cannot be loaded by llama") as caught:
            write_lora_gguf(find_origin(adapter), tmp_path / "x.gguf", "f32", settings)
        assert "Merge" in caught.value.hint
    ia3 = find_origin(make_ia3(tiny_model, tmp_path / "ia3"))
    assert "IA3" in why_no_lora_gguf(ia3)
    assert "every weight" in why_no_lora_gguf(Origin(
        "full", convertible_model, Model(source=str(convertible_model)), True))
    plain = find_origin(make_adapter(tiny_model, tmp_path / "plain", seed=1))
    assert why_no_lora_gguf(plain) == ""
    for output, outtype, words in (("x.bin", "f32", "file name"), ("x.gguf", "q4_k_m", "f32, f16")):
        with pytest.raises(ExportError) as caught:
            write_lora_gguf(plain, tmp_path / output, outtype, settings)
        assert words in f"{caught.value.message} {caught.value.hint}"
    assert not list(tmp_path.glob("*.gguf*"))


@pytest.mark.slow
def test_a_tied_head_and_a_base_of_another_kind_are_sentences(
    tiny_model: Path, convertible_model: Path, settings: Settings, tmp_path: Path
) -> None:
    head = find_origin(make_adapter(tiny_model, tmp_path / "head", seed=1,
                                    target_modules=["lm_head"]))
    with pytest.raises(ExportError, match="stores no weight of its own for lm_head"):
        write_lora_gguf(head, tmp_path / "x.gguf", "f32", settings)
    wider = make_tiny_model(tmp_path / "wider", hidden=128)
    plain = make_adapter(wider, tmp_path / "plain", seed=1)
    elsewhere = Origin("plain", plain, Model(source=str(tiny_model)), False)
    with pytest.raises(ExportError, match="other sizes in the base"):
        write_lora_gguf(elsewhere, tmp_path / "x.gguf", "f32", settings)
    strange = shutil.copytree(tiny_model, tmp_path / "strange")
    config = json.loads((strange / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = ["LlamaForSomethingElse"]
    (strange / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ExportError, match="does not know the architecture LlamaForSomething"):
        write_lora_gguf(Origin("plain", plain, Model(source=str(strange)), False),
                        tmp_path / "x.gguf", "f32", settings)
    assert not list(tmp_path.glob("*.gguf*"))


def test_stopped_it_leaves_nothing(mixed_adapter: Path, settings: Settings) -> None:
    with pytest.raises(Stopped):
        write_lora_gguf(find_origin(mixed_adapter), settings.exports / "x.gguf", "f32", settings,
                        stop=lambda: True)
    assert list(settings.exports.iterdir()) == []


def test_a_base_that_is_gone_is_told(
    mixed_adapter: Path, settings: Settings, tmp_path: Path
) -> None:
    gone = Origin("mixed", mixed_adapter, Model(source=str(tmp_path / "gone")), False)
    with pytest.raises(ModelError, match="gone"):
        write_lora_gguf(gone, tmp_path / "x.gguf", "f32", settings)
