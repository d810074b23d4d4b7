"""Tiny configurations of many model families, for counting against PEFT itself."""

from __future__ import annotations

from typing import Any

_SMALL = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
              vocab_size=96, max_position_embeddings=64, bos_token_id=1, eos_token_id=2,
              pad_token_id=0)
_GROUPED = dict(_SMALL, num_key_value_heads=2)
_GPT2 = dict(n_embd=32, n_layer=2, n_head=4, vocab_size=96, n_positions=64, bos_token_id=1,
             eos_token_id=2)

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", dict(_GROUPED, tie_word_embeddings=False)),
    "llama_tied_with_biases": ("llama", dict(_GROUPED, tie_word_embeddings=True,
                                             attention_bias=True, mlp_bias=True)),
    "mistral": ("mistral", _GROUPED),
    "qwen2": ("qwen2", _GROUPED),
    "qwen3": ("qwen3", dict(_GROUPED, head_dim=8)),
    "gemma2": ("gemma2", dict(_GROUPED, head_dim=16)),
    "gemma3": ("gemma3_text", dict(_GROUPED, head_dim=16)),
    "gemma3_with_images": ("gemma3", dict(
        text_config=dict(_GROUPED, head_dim=16), mm_tokens_per_image=4,
        vision_config=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                           num_attention_heads=4, image_size=16, patch_size=4))),
    "phi3": ("phi3", _GROUPED),
    "gpt2": ("gpt2", _GPT2),
    "gpt_neox": ("gpt_neox", _SMALL),
    "falcon": ("falcon", dict(_SMALL, multi_query=True, bias=True)),
    "falcon_newer": ("falcon", dict(_SMALL, new_decoder_architecture=True, num_kv_heads=2)),
    "opt": ("opt", dict(_SMALL, ffn_dim=64, word_embed_proj_dim=32)),
    "opt_with_narrow_embeddings": ("opt", dict(_SMALL, ffn_dim=64, word_embed_proj_dim=16)),
    "bloom": ("bloom", dict(hidden_size=32, n_layer=2, n_head=4, vocab_size=96, bos_token_id=1,
                            eos_token_id=2)),
    "mixtral": ("mixtral", dict(_GROUPED, num_local_experts=4, num_experts_per_tok=2)),
    "qwen2_moe": ("qwen2_moe", dict(_GROUPED, moe_intermediate_size=16, num_experts=4,
                                    num_experts_per_tok=2, shared_expert_intermediate_size=24)),
    "qwen3_moe": ("qwen3_moe", dict(_GROUPED, head_dim=8, moe_intermediate_size=16,
                                    num_experts=4, num_experts_per_tok=2, mlp_only_layers=[1])),
    "olmoe": ("olmoe", dict(_GROUPED, num_experts=4, num_experts_per_tok=2)),
    "gpt_oss": ("gpt_oss", dict(_GROUPED, head_dim=8, num_local_experts=4,
                                num_experts_per_tok=2, layer_types=["full_attention"] * 2)),
    "deepseek_v3": ("deepseek_v3", dict(
        _GROUPED | {"num_key_value_heads": 4}, moe_intermediate_size=16, n_routed_experts=4,
        num_experts_per_tok=2, n_group=1, topk_group=1, first_k_dense_replace=1, q_lora_rank=8,
        kv_lora_rank=8, qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8)),
}
MIXTURES = ("mixtral", "qwen3_moe", "olmoe", "deepseek_v3")


def config_of(family: str, **changes: Any) -> Any:
    """A transformers config of the family."""
    from transformers import AutoConfig

    model_type, values = FAMILIES[family]
    return AutoConfig.for_model(model_type, **(values | changes))
