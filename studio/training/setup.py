"""What a trainer is made from: the model with its adapter, the rows, and how they are computed.

Brings the choices of `choices.py` together with what only the loaded model can tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.data.columns import labelled_share, longest, row_lengths
from studio.device import Device
from studio.hardware.precision import Precision
from studio.hardware.workload import Examples
from studio.recipe import Recipe
from studio.settings import Settings
from studio.training.choices import (
    choose_checkpointing,
    choose_grouping,
    choose_joined_rows,
    choose_scores,
)
from studio.training.layers import LIBRARIES_OWN, Layers, layers_of
from studio.training.rows import can_join_rows, pack
from studio.training.speed.fusing import Fusable
from studio.training.speed.liger import LEFT_BEHIND
from studio.training.steps import total_steps

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerBase

    from studio.data.prepare import Prepared
    from studio.models.folder import ModelFolder
    from studio.models.shape import ModelShape


@dataclass(frozen=True)
class Found:
    """What is known of the base model before it is loaded."""

    tokenizer: PreTrainedTokenizerBase
    folder: ModelFolder
    shape: ModelShape
    precision: Precision


@dataclass
class Base:
    """The loaded model with its adapter on it, and what was known before it was loaded."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    folder: ModelFolder
    shape: ModelShape
    precision: Precision
    free_bytes: int

    @property
    def found(self) -> Found:
        """What was known of it before it was loaded."""
        return Found(self.tokenizer, self.folder, self.shape, self.precision)


@dataclass(frozen=True)
class Setup:
    """Everything a trainer is made from besides the recipe."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    train: datasets.Dataset
    held_out: datasets.Dataset | None
    device: Device
    precision: Precision
    checkpointing: bool
    joined_rows: bool
    folder: ModelFolder | None = None
    """Where the base came from, for a method that needs it once more as it was."""
    settings: Settings | None = None
    """Where other runs lie, for a method that asks what one of them made."""
    layers: Layers = LIBRARIES_OWN
    """What is put on the model's layers."""
    skips_prompt_scores: bool = True
    """Whether the vocabulary's scores are computed only for tokens that are learned."""
    lengths: list[int] | None = None
    """The tokens of each row of `train`, where similar ones are to come together."""

    @property
    def fusable(self) -> Fusable:
        """The modules that are to be computed in one go."""
        return self.layers.fusable


def make_setup(
    recipe: Recipe, base: Base, data: Prepared, device: Device, settings: Settings, *,
    grouped_before: bool | None = None,
) -> tuple[Setup, list[str]]:
    """The setup, and one sentence for each choice that was made.

    `grouped_before`: whether the run began with examples of similar length together.
    """
    longest_tokens = longest(data.train)
    checkpointing, why_checkpointing = choose_checkpointing(
        recipe, base.shape, device, free_bytes=base.free_bytes,
        examples=Examples(longest_tokens, labelled_share(data.train)))
    joined, why_joined = choose_joined_rows(
        recipe, device, longest_tokens, str(base.model.config._attn_implementation))
    if joined and not can_join_rows(base.model):
        joined, why_joined = False, (
            "Examples are padded and never share a row: in this model they would see each other.")
    train = pack(data.train, recipe.data.max_length) if joined and recipe.data.packing \
        else data.train
    # Joined rows have no padding that an order could save, so nobody asks for their lengths.
    lengths = [] if joined else row_lengths(train)
    grouped, why_grouped = choose_grouping(recipe, lengths, joined=joined, before=grouped_before)
    layers, why_layers = layers_of(
        recipe, base.model, base.precision, device, steps=total_steps(recipe, len(train)),
        checkpointing=checkpointing)
    skips, why_skips = choose_scores(recipe)
    setup = Setup(base.model, base.tokenizer, train, data.eval, device, base.precision,
                  checkpointing, joined, base.folder, settings, layers, skips,
                  lengths if grouped else None)
    return setup, [base.precision.why, why_checkpointing, why_joined, *why_grouped, *why_layers,
                   *why_skips]


_PUT_ON = ("forward", "_original_forward", "_compiled_call_impl", *LEFT_BEHIND)
"""What a run writes into modules."""


@contextmanager
def forward_kept(model: Any) -> Iterator[None]:
    """After the block `model` computes as before it.

    A trainer puts functions of its own around the forward pass and leaves them there, fused layers
    are put on for it; a second trainer would put its own around those. Those of preferences switch
    dropout off, too.
    """
    from torch.nn import Dropout

    before = [(module, {name: vars(module)[name] for name in _PUT_ON if name in vars(module)})
              for module in model.modules()]
    dropouts = [(module, module.p) for module in model.modules() if isinstance(module, Dropout)]
    try:
        yield
    finally:
        for dropout, share in dropouts:
            dropout.p = share
        for module, own in before:
            for name in _PUT_ON:
                vars(module).pop(name, None)
            vars(module).update(own)
