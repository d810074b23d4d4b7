"""A tiny model that llama.cpp's converter knows too: its tokenizer is a SentencePiece one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.progress import Step
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.loop import train
from tests.chat.conftest import make_adapter
from tests.tiny import SENTENCES
from tests.training.conftest import tiny_recipe, write_orders

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n"
    "{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)


@pytest.fixture(scope="session")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter on the tiny model."""
    return make_adapter(tiny_model, tmp_path_factory.mktemp("export") / "adapter", seed=4)


@pytest.fixture(scope="session")
def convertible_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a random Llama whose tokenizer is a SentencePiece model file."""
    return make_convertible(tmp_path_factory.mktemp("models") / "tiny-spm", hidden=64)


@pytest.fixture(scope="session")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with rows of 256 and 512 weights, which the blocks of k-quants divide."""
    return make_convertible(tmp_path_factory.mktemp("models") / "wide", hidden=256)


def make_convertible(folder: Path, *, hidden: int) -> Path:
    """Two layers of `hidden` columns in float32, and a tokenizer that llama.cpp knows."""
    import sentencepiece
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20), model_prefix=str(folder / "tokenizer"),
        model_type="bpe", vocab_size=340, byte_fallback=True, character_coverage=1.0,
        hard_vocab_limit=False, minloglevel=2,
    )
    (folder / "tokenizer.vocab").unlink()
    vocabulary = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model")).vocab_size()
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=2 * hidden,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        initializer_range=0.3,
    ))
    # Control and single-byte tokens come first; with no weight for them it speaks in letters.
    model.lm_head.weight.data[:259] = 0
    model.save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>",
        "unk_token": "<unk>", "add_bos_token": True, "add_eos_token": False, "legacy": True,
        "chat_template": TEMPLATE,
    }), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def trained_run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of eight steps on the tiny model, with a held-out part; read only."""
    folder = tmp_path_factory.mktemp("trained")
    settings = Settings(home=folder / "home", offline=True)
    recipe = tiny_recipe(tiny_model, write_orders(folder / "orders.jsonl"),
                         data__eval_fraction=0.2, training__eval_steps=4)
    run = create_run(settings, recipe, "orders-1")
    train(recipe, run, lambda: False, settings=settings)
    return run


@pytest.fixture(scope="session")
def progress_of_exact() -> list[Step]:
    """What the conversion of `exact_gguf` reported."""
    return []


@pytest.fixture(scope="session")
def exact_gguf(convertible_model: Path, tmp_path_factory: pytest.TempPathFactory,
               progress_of_exact: list[Step]) -> Path:
    """The convertible model in f32, alone in its folder; converted once, since that takes long."""
    from studio.export.gguf import write_gguf

    folder = tmp_path_factory.mktemp("gguf")
    return write_gguf(convertible_model, folder / "tiny-f32.gguf", "f32", Settings(home=folder),
                      progress=progress_of_exact.append).path
