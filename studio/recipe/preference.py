"""How a recipe learns from preferences and judgements (dpo, kto, orpo, reward). Fields only."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from studio.recipe.base import Part, setting

DpoLoss = Literal["sigmoid", "sigmoid_norm", "hinge", "ipo", "robust", "exo_pair", "nca_pair",
                  "bco_pair", "sppo_hard", "aot", "aot_unpaired", "apo_zero", "apo_down",
                  "discopop", "sft"]


class Preference(Part):
    """Learning from preferences and judgements."""

    loss: DpoLoss = setting(
        "sigmoid", "Loss of DPO",
        "sigmoid is DPO itself. ipo: does not run away on clear-cut pairs. hinge, robust (some "
        "labels are wrong), apo_zero, apo_down and others are variants of it.",
    )
    kto_loss: Literal["kto", "apo_zero_unpaired"] = setting(
        "kto", "Loss of KTO", "kto is the usual one.", rare=True,
    )
    beta: float | None = setting(
        None, "Beta", "How strongly the model is held to where it started; of orpo, the weight of "
        "the preference. Empty takes the usual 0.1.", gt=0, le=100,
    )
    label_smoothing: float = setting(
        0.0, "Label smoothing", "Share of the preferences that are taken to be wrong; the losses "
        "robust and exo_pair need more than 0.", rare=True, ge=0, lt=0.5, step=0.01, top=0.4,
    )
    desirable_weight: float = setting(
        1.0, "Weight of good answers", "Of kto, where good and bad answers are not equally many.",
        rare=True, gt=0, le=100, step=0.1, top=10,
    )
    undesirable_weight: float = setting(
        1.0, "Weight of bad answers", "Of kto.", rare=True, gt=0, le=100, step=0.1, top=10,
    )
    center_rewards: float = setting(
        0.0, "Centre the rewards", "Of reward: pulls the mean judgement towards zero; 0.01 is "
        "usual, 0 leaves it.", rare=True, ge=0, le=1, step=0.01, top=0.1,
    )

    @model_validator(mode="after")
    def _smoothing_where_needed(self) -> Preference:
        if self.loss == "exo_pair" and self.label_smoothing == 0:
            raise ValueError("loss exo_pair needs label_smoothing above 0, 0.001 is usual")
        return self
