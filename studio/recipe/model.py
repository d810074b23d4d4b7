"""The base model of a recipe: which one, and in which form it is loaded. Fields only."""

from __future__ import annotations

from typing import Literal

from studio.recipe.base import STARTER, Part, setting


class Model(Part):
    """The base model."""

    source: str = setting(
        STARTER, "Base model",
        "'starter', a Hugging Face id such as Qwen/Qwen3-0.6B, or a folder on this PC.",
        min_length=1,
    )
    revision: str | None = setting(
        None, "Revision", "Branch, tag or commit on the Hub. Empty takes the newest.", rare=True
    )
    quantization: Literal["none", "8bit", "4bit"] = setting(
        "none", "Quantization",
        "4bit (QLoRA, NF4) holds the frozen base in a quarter of the memory; 8bit in half.",
    )
    double_quantization: bool = setting(
        True, "Double quantization",
        "Of 4bit only: the scale of each block of weights is held in 8 bits too, which saves a "
        "twelfth of the base.", rare=True,
    )
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = setting(
        "auto", "Number format",
        "Of the base weights and the arithmetic. auto takes what this hardware is fast at.",
        rare=True,
    )
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = setting(
        "auto", "Attention", "Attention implementation. auto takes the fastest that is installed.",
        rare=True,
    )
    trust_remote_code: bool = setting(
        False, "Run the model's own code",
        "Lets Python code from the model's repository run on this PC. Only for authors you trust.",
        rare=True,
    )
