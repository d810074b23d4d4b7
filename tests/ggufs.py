"""Writes tiny GGUF files without a converter: a random Llama, and a LoRA over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}{% if 'rude' in message['content'] %}"
    "{{ raise_exception('be polite') }}{% endif %}{{ message['role'] }}: "
    "{{ message['content'] }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}")
WIDTH, INNER, LAYERS, HEADS, CONTEXT = 64, 96, 2, 2, 256


def write_tiny_gguf(file: Path) -> Path:
    """A Llama whose tokens are bytes and letters. Its template refuses rude words."""
    from gguf import GGUFWriter, TokenType

    writer = GGUFWriter(file, "llama")
    writer.add_type("model")
    _add_shape(writer)
    letters = [chr(one) for one in range(ord("a"), ord("z") + 1)]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{one:02X}>" for one in range(256)), "▁", *letters]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(number) for number in range(len(tokens))])
    writer.add_token_types([TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL,
                            *[TokenType.BYTE] * 256, *[TokenType.NORMAL] * 27])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)
    shapes = {"token_embd": (len(tokens), WIDTH), "output": (len(tokens), WIDTH)}
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in _matrices().items()}
    for name, shape in shapes.items():
        weight = _random(shape, seed=len(name) + shape[0])
        if name == "output":
            weight[:259] = 0  # it speaks in letters
        writer.add_tensor(f"{name}.weight", weight)
    for name in ("output_norm", *(f"blk.{layer}.{part}_norm" for layer in range(LAYERS)
                                  for part in ("attn", "ffn"))):
        writer.add_tensor(f"{name}.weight", _random((1, WIDTH), seed=1)[0] * 0 + 1)
    return _written(writer, file)


def write_tiny_lora(file: Path) -> Path:
    """Of rank 2, on every matrix of `write_tiny_gguf`."""
    from gguf import GGUFWriter

    writer = GGUFWriter(file, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 2.0)
    for layer in range(LAYERS):
        for name, (outputs, inputs) in _matrices().items():
            for part, shape in (("a", (2, inputs)), ("b", (outputs, 2))):
                writer.add_tensor(f"blk.{layer}.{name}.weight.lora_{part}",
                                  _random(shape, seed=len(name) + len(part) + shape[0]))
    return _written(writer, file)


def _add_shape(writer: Any) -> None:
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv([1] * LAYERS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)


def _matrices() -> dict[str, tuple[int, int]]:
    """(outputs, inputs) by their names in a layer."""
    half = WIDTH // HEADS
    return {"attn_q": (WIDTH, WIDTH), "attn_k": (half, WIDTH), "attn_v": (half, WIDTH),
            "attn_output": (WIDTH, WIDTH), "ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH),
            "ffn_down": (WIDTH, INNER)}


def _random(shape: tuple[int, ...], *, seed: int) -> Any:
    import numpy

    return numpy.random.default_rng(seed).normal(0, 0.3, shape).astype(numpy.float32)


def _written(writer: Any, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
