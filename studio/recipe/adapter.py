"""The adapter of a recipe: its kind, its size, and where it sits. Fields only.

What each kind is for and what it costs is in `studio/adapters/kinds.py`.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import field_validator

from studio.recipe.base import Part, require_each, setting

Kind = Literal["lora", "adalora", "vera", "ia3", "oft", "prompt_tuning", "prefix_tuning", "none"]


class Adapter(Part):
    """What is trained on top of the base."""

    method: Kind = setting(
        "lora", "Method",
        "lora trains small matrices beside the frozen base; the others trade size, memory and "
        "strength in their own ways; none trains every weight.",
    )
    rank: int = setting(
        16, "Rank", "Width of the adapter. More learns more and costs more memory.",
        ge=1, le=1024, step=1, top=256,
    )
    alpha: float = setting(
        32, "Alpha", "Strength: the update is scaled by alpha / rank. Twice the rank is usual.",
        gt=0, le=4096, step=1, top=512,
    )
    dropout: float = setting(
        0.0, "Dropout", "Share of adapter inputs dropped while training, against overfitting.",
        ge=0, lt=1, step=0.01, top=0.5,
    )
    targets: Literal["attention", "all-linear"] | list[str] = setting(
        "all-linear", "Target modules",
        "attention: query, key, value and output projections. all-linear: every linear layer "
        "but the head. Or names such as q_proj, v_proj.",
    )
    bias: Literal["none", "all", "lora_only"] = setting(
        "none", "Train biases", "Which bias terms are trained along.", rare=True
    )
    init: Literal["default", "gaussian", "pissa", "olora", "loftq"] = setting(
        "default", "Start values",
        "Of lora. default: starts as if there were no adapter. pissa, olora: from the strongest "
        "directions of the base's weights, learns faster. loftq: makes up for a 4-bit base.",
        rare=True,
    )
    use_rslora: bool = setting(
        False, "Rank-stabilised (rsLoRA)", "Scales by alpha / sqrt(rank): steadier at high rank.",
        rare=True,
    )
    use_dora: bool = setting(
        False, "Weight-decomposed (DoRA)", "Learns size and direction apart: better at low rank, "
        "slower.", rare=True,
    )
    lora_plus_ratio: float = setting(
        0.0, "LoRA+ ratio", "So many times the learning rate for the second matrix; 16 is usual "
        "and learns faster. 0: the same for both.", rare=True, ge=0, le=256, step=1, top=32,
    )
    initial_rank: int = setting(
        0, "Rank at the start", "Of adalora, which begins wider and ends at the rank on average. "
        "0: half as much again as the rank.", ge=0, le=1024, step=1, top=256,
    )
    block_size: int = setting(
        32, "Block size", "Of oft: side of the blocks that are rotated. Larger learns more and "
        "costs more; it must divide the inputs of every layer.", ge=1, le=4096, step=8, top=256,
    )
    virtual_tokens: int = setting(
        20, "Virtual tokens", "Of prompt and prefix tuning: learned tokens before every text. They "
        "take room in the context.", ge=1, le=1000, step=1, top=100,
    )
    prompt_text: str = setting(
        "", "Start from a text", "Of prompt tuning: the learned tokens start as this text. Empty: "
        "as random words of the vocabulary.", rare=True, lines=True, max_length=10_000,
    )
    layers: str = setting(
        "", "Layers", "Only these layers get an adapter, counted from 0: 8-15, 20. Empty: all.",
        rare=True,
    )
    rank_pattern: dict[str, int] = setting(
        {}, "Ranks of single modules", "One a line, a module's name or the end of its path, and "
        "its rank: down_proj: 32.", rare=True,
    )
    alpha_pattern: dict[str, float] = setting(
        {}, "Alphas of single modules", "One a line: down_proj: 64.", rare=True,
    )
    modules_to_save: list[str] = setting(
        [], "Modules trained in full", "Such as embed_tokens, lm_head, when new tokens are taught.",
        rare=True,
    )

    @field_validator("targets")
    @classmethod
    def _targets_named(cls, value: Any) -> Any:
        if isinstance(value, list) and not [name for name in value if name.strip()]:
            raise ValueError("name at least one module, or use attention or all-linear")
        return value

    @field_validator("rank_pattern")
    @classmethod
    def _ranks_allowed(cls, value: dict[str, int]) -> dict[str, int]:
        return require_each(value, lambda rank: 1 <= rank <= 1024,
                            "{name} has the rank {value}; a rank is from 1 to 1024")

    @field_validator("alpha_pattern")
    @classmethod
    def _alphas_positive(cls, value: dict[str, float]) -> dict[str, float]:
        return require_each(value, lambda alpha: 0 < alpha <= 4096, (
            "{name} has the alpha {value:g}; an alpha lies above 0 and is at most 4096"))

    @field_validator("layers")
    @classmethod
    def _layers_readable(cls, value: str) -> str:
        layer_numbers(value)
        return value

    @property
    def trains_base(self) -> bool:
        """Whether every weight of the base is trained and there is no adapter."""
        return self.method == "none"

    @property
    def starts_from_base(self) -> bool:
        """Whether it starts from the base's weights, so that the base with the adapter off is not
        what the model was at the start."""
        return self.method == "lora" and self.init in ("pissa", "olora", "loftq")

    @property
    def takes_apart(self) -> bool:
        """Whether its start is taken out of the base's weights; loftq leaves them alone."""
        return self.starts_from_base and self.init != "loftq"

    @property
    def makes_up_for_rounding(self) -> bool:
        """Whether it begins at what rounding the base to 4 bits took (LoftQ), so that it belongs
        to the rounded weights."""
        return self.method == "lora" and self.init == "loftq"

    @property
    def changes_base(self) -> bool:
        """Whether the weights of the base in memory are no longer its own once training begins."""
        has_biases = self.method in ("lora", "adalora", "vera", "oft")
        return self.trains_base or self.takes_apart or (has_biases and self.bias != "none")

    @property
    def layer_numbers(self) -> tuple[int, ...] | None:
        """The layers that get an adapter, counted from 0, in order; None for all."""
        return layer_numbers(self.layers)


def layer_numbers(text: str) -> tuple[int, ...] | None:
    """The numbers of "8-15, 20", in order and each once; None for an empty text.

    Raises ValueError for what is no number or range.
    """
    if not text.strip():
        return None
    found: set[int] = set()
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d{1,4})\s*(?:-\s*(\d{1,4})\s*)?", part)
        if ends is None:
            raise ValueError(f"{part.strip()!r} is no layer: write numbers and ranges such as "
                             "8-15, 20")
        first, last = int(ends[1]), int(ends[2] or ends[1])
        if last < first:
            raise ValueError(f"{part.strip()} runs backwards: write {last}-{first}")
        found.update(range(first, last + 1))
    return tuple(sorted(found))
