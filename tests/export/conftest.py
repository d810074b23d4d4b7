"""A tiny model that llama.cpp's converter knows too: its tokenizer is a SentencePiece one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.chat.conftest import make_adapter
from tests.tiny import SENTENCES

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
    import sentencepiece
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "tiny-spm"
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
        vocab_size=vocabulary, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
        bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=0.3,
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
