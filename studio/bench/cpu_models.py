"""Small random models of several families, as folders that the studio loads like any other.

Sized so that weights and activations are hundreds of megabytes: in a smaller model an error in
either would hide behind the memory of the libraries. They learn nothing; only sizes matter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_VOCABULARY = 8192
_PLAIN: dict[str, Any] = dict(
    hidden_size=512, intermediate_size=1408, num_hidden_layers=8, num_attention_heads=8,
    vocab_size=_VOCABULARY, max_position_embeddings=2048, bos_token_id=1, eos_token_id=1,
    pad_token_id=0)
_GROUPED = dict(_PLAIN, num_key_value_heads=2)

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": dict(_GROUPED, model_type="llama", tie_word_embeddings=False),
    "qwen3": dict(_GROUPED, model_type="qwen3", head_dim=64, tie_word_embeddings=True),
    "gemma2": dict(_GROUPED, model_type="gemma2", head_dim=64, vocab_size=4 * _VOCABULARY,
                   sliding_window=256),
    "gemma3": dict(_GROUPED, model_type="gemma3_text", head_dim=64, vocab_size=4 * _VOCABULARY,
                   sliding_window=256),
    "phi3": dict(_PLAIN, model_type="phi3", num_key_value_heads=8),
    "gpt2": dict(model_type="gpt2", n_embd=512, n_layer=8, n_head=8, vocab_size=_VOCABULARY,
                 n_positions=2048, bos_token_id=1, eos_token_id=1, pad_token_id=0),
    "gpt_neox": dict(_PLAIN, model_type="gpt_neox", intermediate_size=2048),
    "opt": dict(_PLAIN, model_type="opt", ffn_dim=2048, word_embed_proj_dim=512),
    "bloom": dict(model_type="bloom", hidden_size=512, n_layer=8, n_head=8,
                  vocab_size=_VOCABULARY, bos_token_id=1, eos_token_id=1, pad_token_id=0),
    "mixtral": dict(_GROUPED, model_type="mixtral", num_local_experts=4, num_experts_per_tok=2,
                    intermediate_size=704),
    "qwen3_moe": dict(_GROUPED, model_type="qwen3_moe", head_dim=64, num_experts=8,
                      num_experts_per_tok=2, moe_intermediate_size=352),
}


def make_model(family: str, folder: Path) -> Path:
    """Write config, random float32 weights and a tokenizer to `folder`."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    values = dict(FAMILIES[family])
    torch.manual_seed(0)
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


def word(number: int) -> str:
    """One of the words that are a token, chosen by any number."""
    return f"w{number % (_VOCABULARY - 2)}"


def _tokenizer() -> Any:
    """Every word is one token, so that a text has exactly as many tokens as words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "<end>", *(word(number) for number in range(_VOCABULARY - 2))]
    known = {name: number for number, name in enumerate(names)}
    words = Tokenizer(models.WordLevel(known, unk_token=word(0)))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>",
                                   unk_token=word(0))
