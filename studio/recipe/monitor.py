"""What is watched while a run trains: samples, scores, forgetting, trackers. Fields only.

None of these changes what is learned; a test holds that.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from studio.recipe.base import Part, setting


class Monitor(Part):
    """What is watched while it trains; none of it changes what is learned."""

    sample_prompts: list[str] = setting(
        [], "Sample prompts", "One a line: answered by the model in training at the start, every "
        "so many steps, and at the end. \\n stands for a line break.", lines=True,
    )
    sample_records: int = setting(
        2, "Held-out prompts answered", "So many prompts of the held-out part are answered too.",
        rare=True, ge=0, le=100, step=1, top=10,
    )
    sample_steps: int = setting(
        0, "Answer every", "Optimizer steps between two rounds of answers. 0: at the start and at "
        "the end only.", ge=0, step=10, top=1000,
    )
    sample_tokens: int = setting(
        64, "Tokens per answer", "Longer answers are cut.", rare=True, ge=1, le=4096, step=16,
        top=512,
    )
    scorer: Literal["none", "exact_match", "similarity", "json_valid", "json_equal",
                    "contains", "regex", "python"] = setting(
        "none", "Score the answers", "At each evaluation held-out prompts are answered and the "
        "answers scored. python calls a function of your own.", rare=True,
    )
    scorer_value: str = setting(
        "", "Score by", "For contains: the text (empty: the expected answer). For regex: the "
        "pattern. For python: file.py:function, called with answer, expected, prompt.", rare=True,
    )
    score_records: int = setting(
        20, "Answers scored", "So many held-out prompts at each evaluation.", rare=True, ge=1,
        le=10_000, step=10, top=200,
    )
    forgetting: bool = setting(
        True, "Forgetting meter", "Measures the loss on general text before the training and at "
        "each evaluation, and warns when it rises.",
    )
    forgetting_source: str | None = setting(
        None, "General text", "A file or Hugging Face id to measure forgetting on. Empty: a small "
        "set that comes with the studio.", rare=True,
    )
    forgetting_threshold: float = setting(
        0.1, "Warn of forgetting from", "Rise of the loss on general text, as a share of the base "
        "model's.", rare=True, gt=0, le=10, step=0.05, top=1,
    )
    stop_on_divergence: bool = setting(
        False, "Stop when it diverges", "A loss that is no number always ends a run; this also "
        "ends one whose loss has risen far above where it was.", rare=True,
    )
    tensorboard: bool = setting(
        False, "TensorBoard", "Writes TensorBoard files into the run folder.", rare=True,
    )
    wandb: bool = setting(
        False, "Weights & Biases", "Sends the curves to Weights & Biases with the login of this "
        "PC.", rare=True,
    )
    trackio: bool = setting(
        False, "Trackio", "Keeps the curves in Trackio's database on this PC.", rare=True,
    )
    project: str = setting(
        "adapter-studio", "Project", "Name of the project in Weights & Biases and Trackio.",
        rare=True, min_length=1,
    )
    keep_awake: bool = setting(
        True, "Keep this PC awake", "No sleep during a run, where the system allows it.", rare=True,
    )

    @model_validator(mode="after")
    def _scorer_complete(self) -> Monitor:
        if self.scorer in ("regex", "python") and not self.scorer_value.strip():
            wanted = ("a pattern" if self.scorer == "regex" else
                      "file.py:function, a function of your own")
            raise ValueError(f"scorer is {self.scorer}, but scorer_value is empty: give {wanted}, "
                             "or set scorer to none")
        return self
