"""How a recipe trains: the method, how long, how fast, and how carefully. Fields only."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator

from studio.recipe.base import Part, setting

Method = Literal["sft", "pretrain", "dpo", "kto", "orpo", "reward", "grpo", "rloo"]


class Training(Part):
    """How long, how fast, and how carefully."""

    method: Method = setting(
        "sft", "Training method",
        "sft: imitate answers. pretrain: go on reading plain text. dpo, orpo: prefer one of two "
        "answers. kto: answers judged good or bad. reward: a model that judges answers. grpo, "
        "rloo: the model answers itself and is rewarded.",
    )
    epochs: float = setting(1.0, "Epochs", "Passes over the data.", gt=0, le=1000, step=0.5, top=10)
    max_steps: int = setting(
        0, "Maximum steps", "Ends the run after so many optimizer steps. 0: as the epochs say.",
        ge=0, step=10, top=2000,
    )
    batch_size: int = setting(
        4, "Micro-batch", "Examples computed at once. The first to lower when memory is short.",
        ge=1, le=4096, step=1, top=64,
    )
    gradient_accumulation: int = setting(
        4, "Gradient accumulation",
        "Micro-batches per optimizer step; micro-batch times this is the effective batch.",
        ge=1, le=4096, step=1, top=64,
    )
    learning_rate: float | None = setting(
        None, "Learning rate",
        "Size of each step. Empty takes what is usual for the method and the adapter: 2e-4 for "
        "LoRA on answers, 2e-5 for all weights, 5e-6 for dpo, 1e-5 for grpo.",
        gt=0, le=1,
    )
    scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup"] = setting(
        "cosine", "Schedule", "How the learning rate falls over the run."
    )
    warmup_ratio: float = setting(
        0.03, "Warm-up", "Share of the steps in which the learning rate rises from zero.",
        ge=0, lt=1, step=0.01, top=0.3,
    )
    weight_decay: float = setting(0.0, "Weight decay", "Pull of the weights towards zero.",
                                  rare=True, ge=0, le=1, step=0.01, top=0.3)
    optimizer: Literal["adamw_torch", "adamw_8bit", "paged_adamw_8bit", "adafactor"] = setting(
        "adamw_torch", "Optimizer",
        "The 8-bit ones (bitsandbytes) need a quarter of the optimizer memory; paged ones "
        "survive short peaks.", rare=True,
    )
    max_grad_norm: float = setting(
        1.0, "Gradient clipping", "Longer gradients are cut to this norm. 0: never.", rare=True,
        ge=0, le=1000, step=0.1, top=10,
    )
    gradient_checkpointing: bool | Literal["auto"] = setting(
        "auto", "Gradient checkpointing",
        "Saves memory by computing activations twice. auto: only when memory asks for it.",
    )
    logging_steps: int = setting(1, "Log every", "Optimizer steps between two points of the plot.",
                                 rare=True, ge=1, step=1, top=100)
    eval_steps: int = setting(
        0, "Evaluate every", "Optimizer steps between evaluations. 0: at the end only.",
        rare=True, ge=0, step=10, top=1000,
    )
    save_steps: int = setting(
        100, "Checkpoint every", "Optimizer steps between checkpoints. 0: at the end only.",
        rare=True, ge=0, step=10, top=1000,
    )
    save_total_limit: int = setting(2, "Checkpoints kept", "Older ones are deleted.", rare=True,
                                    ge=1, le=1000, step=1, top=20)
    early_stopping_patience: int = setting(
        0, "Early stopping", "Ends the run after so many evaluations without a better held-out "
        "loss. 0: never.", rare=True, ge=0, step=1, top=20,
    )
    early_stopping_min_change: float = setting(
        0.0, "Counts as better", "How much lower the held-out loss must be to count as better.",
        rare=True, ge=0, le=10, step=0.001, top=0.1,
    )
    keep: Literal["last", "best"] = setting(
        "last", "Keep", "Which weights are the result: of the last step, or of the evaluation with "
        "the lowest held-out loss.", rare=True,
    )
    out_of_memory: Literal["stop", "adapt", "shorten"] = setting(
        "adapt", "When memory runs out",
        "adapt: goes on with a smaller micro-batch and the same effective batch, then with "
        "gradient checkpointing. shorten: after these also with shorter examples. stop: the run "
        "fails.",
        rare=True,
    )
    seed: int = setting(42, "Training seed", "Decides adapter start values and dropout.", rare=True,
                        ge=0, le=2**32 - 1)

    @field_validator("max_steps", mode="before")
    @classmethod
    def _no_limit_spellings(cls, value: Any) -> Any:
        return 0 if value in (None, -1) else value

    @property
    def effective_batch_size(self) -> int:
        """Examples per optimizer step."""
        return self.batch_size * self.gradient_accumulation
