"""Which speed-ups a recipe allows; none changes what is learned beyond rounding. Fields only.

auto takes a speed-up where it is safe and pays back; what was chosen and why is told by the run.
"""

from __future__ import annotations

from typing import Literal

from studio.recipe.base import Part, setting

Switch = bool | Literal["auto"]


class Speed(Part):
    """How it is computed; what is learned stays the same."""

    join_rows: Switch = setting(
        "auto", "No padding", "Lays the examples of a micro-batch end to end in one row.",
        rare=True,
    )
    skip_prompt_logits: Switch = setting(
        "auto", "Skip the prompt's logits", "Computes the vocabulary's scores only for tokens that "
        "are learned.", rare=True,
    )
    fused_layers: Switch = setting(
        "auto", "Fused layers", "Computes an adapter with its layer in one go, with less memory "
        "kept; on NVIDIA GPUs Liger's kernels where installed.", rare=True,
    )
    compile: Switch = setting(
        "auto", "Compile", "Lets torch compile the layers: slow at first, then faster. auto: where "
        "it pays back within the run.", rare=True,
    )
    group_by_length: Switch = setting(
        "auto", "Group by length", "Puts examples of similar length into a micro-batch, where "
        "padding cannot be avoided. Changes their order.", rare=True,
    )
    reuse: bool = setting(
        True, "Keep the model between runs", "A base model that the next run can use stays in "
        "memory for a while after a run, so that it starts at once.", rare=True,
    )
