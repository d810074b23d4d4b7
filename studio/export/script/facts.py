"""What a script is made of: the run's recipe as it was carried out, and how it was computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.device import Device, pick_device
from studio.errors import ExportError
from studio.export.script.rows import ROWS_OF, WrittenRows
from studio.export.shared_base import SharedBase
from studio.hardware.objectives import OBJECTIVES
from studio.hardware.precision import Precision, choose_precision
from studio.recipe import Recipe
from studio.recipe.method_words import method_words
from studio.runs import Run
from studio.training.choices import PACKED
from studio.training.environment import read_environment
from studio.training.recovery import effective_recipe
from studio.training.rewards import rewards_named
from studio.training.start_values import START_FILE

if TYPE_CHECKING:
    from studio.story import Story


@dataclass(frozen=True)
class Facts:
    """`recipe` is the one that the run ended with, `peft` PEFT's configuration, None where every
    weight is trained, `ends` the tokens at which an answer ends."""

    name: str
    recipe: Recipe
    base: SharedBase
    precision: Precision
    peft: Any
    rows: WrittenRows
    ends: tuple[int, ...]
    story: Story
    environment: dict[str, Any]

    @property
    def method(self) -> str:
        """training.method of the recipe."""
        return self.recipe.training.method

    @property
    def writes(self) -> bool:
        """Whether it learns from answers of its own."""
        return OBJECTIVES[self.recipe.training.method].writes

    @property
    def takes_apart(self) -> bool:
        """Whether the adapter's start was taken out of the base."""
        return self.recipe.adapter.takes_apart

    @property
    def copies_start(self) -> bool:
        """Whether answers are compared with a second copy of the model as it was before."""
        return self.method in ("dpo", "kto") and self.peft is None

    @property
    def stops_early(self) -> bool:
        """Whether it ends where the held-out loss no longer falls."""
        wanted = self.recipe.training
        return bool(wanted.early_stopping_patience and wanted.eval_steps
                    and self.rows.has_held_out)

    @property
    def packs(self) -> bool:
        """Whether examples are packed into full rows; not every model keeps them apart there."""
        return PACKED in self.story.plan.get("choices", [])

    @property
    def groups(self) -> bool:
        """Whether examples of similar length come together."""
        return bool(self.story.plan.get("grouped"))

    @property
    def checkpoints_activations(self) -> bool:
        """Whether activations are computed twice to save memory."""
        return bool(self.story.plan.get("checkpointing"))


def recipe_of(run: Run) -> Recipe:
    """The recipe as memory left it. Raises ExportError where no script can be written."""
    recipe = effective_recipe(run, run.recipe)
    method, adapter = recipe.training.method, recipe.adapter
    if method not in ROWS_OF:
        raise ExportError(
            f"No script is written for training.method {method}: "
            f"{method_words(method).label} needs parts of the studio beside TRL's trainer.",
            f"Scripts are written for {', '.join(ROWS_OF)}. The adapter itself needs no studio.")
    lost = adapter.takes_apart and not (run.path / START_FILE).is_file()
    if lost or (adapter.starts_from_base and not adapter.takes_apart) \
            or adapter.method == "adalora":
        what = f"adapter.init {adapter.init}" if adapter.starts_from_base else "AdaLoRA"
        raise ExportError(
            f"No script is written for {what}: the studio computes it otherwise than PEFT, so a "
            "plain script would train something else.",
            "The adapter itself needs no studio: export that.")
    judges = [one.text for one in rewards_named(recipe.reinforcement.rewards)
              if one.kind == "model"] if OBJECTIVES[method].writes else []
    if judges:
        raise ExportError(f"No script is written for the reward {judges[0]}: reward models are "
                          "loaded by the studio.", "Write it as python=file.py:function, or "
                          "export the adapter itself, which needs no studio.")
    return recipe


def precision_of(run: Run, recipe: Recipe) -> Precision:
    """In which number format the run was computed, on the device that it was computed on."""
    device, dtype = _device_of(run), run.story().plan.get("dtype")
    if recipe.model.dtype == "auto" and dtype and not recipe.adapter.trains_base:
        recipe = recipe.with_values({"model.dtype": dtype})
    return choose_precision(recipe, device)


def _device_of(run: Run) -> Device:
    """This PC's where it is of the same kind, else a usual one of that kind."""
    here, kind = pick_device(), read_environment(run.path).get("device", {}).get("kind")
    if kind in (None, here.kind):
        return here
    fast = {"cuda": "bfloat16", "mps": "float16"}.get(kind, "float32")
    return Device(kind, kind, fast, 0)  # type: ignore[arg-type]
