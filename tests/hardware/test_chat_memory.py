"""The memory of a chat: the cache to the byte, the whole against a process that really chats."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from studio.device import Device
from studio.hardware.chat_memory import cache_bytes, estimate_chat
from studio.models.shape import model_shape, shape_of_model
from studio.recipe import Adapter, Model
from studio.settings import Settings
from tests.adapters.families import FAMILIES, config_of
from tests.hardware.shapes import shape_of

CPU = Device("cpu", "CPU", "float32", 16 * 10**9)
CARD = Device("cuda", "Card", "bfloat16", 24 * 10**9)
ROWS, PROMPT, ANSWER = 3, 9, 3
WINDOWED = ("mistral", "mixtral", "gemma2", "gemma3", "gemma3_with_images", "phi3")


def held_bytes(cache: Any) -> int:
    return sum(tensor.untyped_storage().nbytes() for layer in cache.layers
               for tensor in (layer.keys, layer.values))


def compare_with_a_real_cache(family: str, **changes: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM, DynamicCache

    config = config_of(family)
    for name, value in changes.items():
        setattr(config.get_text_config(decoder=True), name, value)
    model = AutoModelForCausalLM.from_config(config).eval()
    shape = shape_of_model(model)
    cache = DynamicCache(config=config.get_text_config(decoder=True))
    with torch.inference_mode():
        model(input_ids=torch.zeros(ROWS, PROMPT, dtype=torch.long), past_key_values=cache)
        assert held_bytes(cache) == cache_bytes(shape, ROWS, PROMPT, 4)
        for _ in range(ANSWER):
            model(input_ids=torch.zeros(ROWS, 1, dtype=torch.long), past_key_values=cache)
    assert held_bytes(cache) == cache_bytes(shape, ROWS, PROMPT, 4, answer_tokens=ANSWER)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_cache_is_transformers_own_to_the_byte(family: str) -> None:
    compare_with_a_real_cache(family)


@pytest.mark.parametrize("family", WINDOWED)
def test_a_sliding_window_forgets_as_in_transformers(family: str) -> None:
    compare_with_a_real_cache(family, sliding_window=5)


def parts(columns: int, tokens: int, device: Device = CARD, **model: Any) -> dict[str, int]:
    found = estimate_chat(Model.model_validate(model), shape_of("meta-llama/Meta-Llama-3-8B"),
                          device, columns=columns, adapters=[Adapter()] * (columns - 1),
                          context_tokens=tokens)
    return {piece.name: piece.bytes for piece in found.parts}


def test_one_base_serves_all_columns_and_every_column_has_its_own_cache() -> None:
    one, four = parts(1, 4096), parts(4, 4096)
    assert one["weights"] == four["weights"] == 8_030_261_248 * 2
    assert one["cache"] == 32 * 2 * 8 * 128 * 2 * 4096
    assert four["cache"] == 4 * one["cache"]
    assert four["adapter"] == 3 * 41_943_040 * 4


def test_quantization_shrinks_the_weights_and_not_the_cache() -> None:
    whole = parts(2, 4096)
    double = parts(2, 4096, quantization="4bit")
    single = parts(2, 4096, quantization="4bit", double_quantization=False)
    assert double["weights"] < single["weights"] < 0.4 * whole["weights"]
    assert double["cache"] == whole["cache"]


def test_every_number_tells_its_figures() -> None:
    found = estimate_chat(Model(), shape_of("starter"), CPU, columns=2, adapters=[Adapter()],
                          context_tokens=1000)
    formulas = {piece.name: piece.formula for piece in found.parts}
    assert "2 columns x 1,000 tokens x 4 bytes x (30 layers x 384" in formulas["cache"]
    assert "134.5 million parameters at 4 bytes" in formulas["weights"]
    assert found.low_bytes < found.total_bytes < found.high_bytes
    assert any("1,000 tokens" in line for line in found.assumptions)
    told = found.to_dict(10**10, 10**11)
    assert told["fits"] and told["total_bytes"] == sum(told["parts"].values())
    assert not found.to_dict(10**8, 0)["fits"]


@pytest.mark.skipif(sys.platform != "linux", reason="the constants were measured on Linux")
def test_a_process_that_chats_holds_what_was_estimated(
    starter_model: Path, starter_adapter: Path, settings: Settings
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.hardware.measured_job", "chat", str(settings.home),
         str(starter_model), str(starter_adapter), "-"],
        capture_output=True, text=True, encoding="utf-8", check=True)
    peak, tokens = map(int, done.stdout.split()[-2:])
    shape = model_shape(str(starter_model), settings)
    found = estimate_chat(Model(dtype="bfloat16"), shape, CPU, columns=2, adapters=[Adapter()],
                          context_tokens=tokens)
    assert found.total_bytes == pytest.approx(peak, rel=0.15)
