"""What a run learned, and how far that is from what another one learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from studio.progress import never
from studio.recipe import Recipe
from studio.runs import Run, create_run
from studio.settings import Settings
from studio.training.loop import train

PLAIN = {"speed.fused_layers": False, "speed.join_rows": False,
         "speed.skip_prompt_logits": False}
"""No speed-up at all."""


@dataclass(frozen=True)
class Learned:
    """The losses of all steps and on the held-out part, the weights that were saved, and the
    choices that the run told."""

    losses: list[float]
    evals: list[float]
    weights: dict[str, Any]
    choices: list[str]
    farthest: float
    """Adam moves no weight much farther."""

    def apart(self, other: Learned) -> float:
        """The mean distance of the weights by `farthest`, of the tensor that is farthest off."""
        assert self.weights.keys() == other.weights.keys()
        return max(float((weight - other.weights[name]).abs().mean()) / self.farthest
                   for name, weight in self.weights.items())

    def told(self, words: str) -> bool:
        """Whether a choice was told in these words."""
        return any(words in choice for choice in self.choices)


def learned(settings: Settings, recipe: Recipe) -> Learned:
    """What a run of `recipe` from beginning to end learns."""
    run = create_run(settings, recipe)
    assert train(recipe, run, never, settings=settings) == "done"
    return learned_in(run)


def learned_in(run: Run) -> Learned:
    """What the run learned, which is done."""
    from safetensors.torch import load_file

    training, story = run.recipe.training, run.story()
    name = "model" if run.recipe.adapter.trains_base else "adapter_model"
    assert training.learning_rate is not None and len(story.points) == training.max_steps
    return Learned([point.loss for point in story.points], [loss for _, loss in story.evals],
                   load_file(run.adapter_path / f"{name}.safetensors"), story.plan["choices"],
                   training.max_steps * training.learning_rate)
