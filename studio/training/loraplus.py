"""LoRA+ (arXiv:2402.12354): the second matrix of each adapter learns faster than the first.

PEFT groups the parameters; which optimizer, and its settings, are the recipe's as ever.
"""

from __future__ import annotations

from typing import Any


def loraplus_optimizer(trainer: Any, ratio: float) -> Any:
    """The trainer's own optimizer over PEFT's groups; B learns at `ratio` times the rate of A."""
    from peft.optimizers import create_loraplus_optimizer

    kind, options = trainer.get_optimizer_cls_and_kwargs(trainer.args, trainer.model)
    rate = options.pop("lr")
    return create_loraplus_optimizer(
        trainer.model, kind, lr=rate, loraplus_lr_ratio=ratio,
        # PEFT's own is a rate so small that adapted embeddings would learn nothing.
        loraplus_lr_embedding=rate, loraplus_weight_decay=trainer.args.weight_decay, **options)
