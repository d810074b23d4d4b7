"""A Recipe: its parts, and the checks that need several of them.

Each part's fields are in a file of its own: name, default, allowed range, label and help, each
written once. Reading YAML is in `yaml_io.py`, turning mistakes into sentences in `report.py`,
describing fields to a form in `form.py`, which fields a recipe's choices make use of in `used.py`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from studio.errors import RecipeError
from studio.recipe.adapter import Adapter
from studio.recipe.base import Part
from studio.recipe.data import Data
from studio.recipe.learning_rate import usual_learning_rate
from studio.recipe.model import Model
from studio.recipe.monitor import Monitor
from studio.recipe.preference import Preference
from studio.recipe.reinforcement import Reinforcement
from studio.recipe.report import recipe_error
from studio.recipe.speed import Speed
from studio.recipe.taught import taught_data
from studio.recipe.training import Training


class Recipe(Part):
    """One run, wholly described. Frozen: change it with `with_values`."""

    model: Annotated[Model, Field(title="Model")] = Model()
    data: Annotated[Data, Field(title="Data")] = Data()
    adapter: Annotated[Adapter, Field(title="Adapter")] = Adapter()
    training: Annotated[Training, Field(title="Training")] = Training()
    preference: Annotated[Preference, Field(title="Preferences")] = Preference()
    reinforcement: Annotated[Reinforcement, Field(title="Rewarded answers")] = Reinforcement()
    speed: Annotated[Speed, Field(title="Speed")] = Speed()
    monitor: Annotated[Monitor, Field(title="Monitor")] = Monitor()

    @property
    def learning_rate(self) -> float:
        """The recipe's, or what is usual for its method and adapter."""
        return self.training.learning_rate or self.usual_learning_rate

    @property
    def usual_learning_rate(self) -> float:
        """What most guides begin with for the recipe's method and adapter."""
        return usual_learning_rate(self.training.method, self.adapter.method)

    @property
    def taught_data(self) -> Data:
        """The data as the training method takes them: what every look at them begins with."""
        return taught_data(self.data, self.training.method)

    @model_validator(mode="after")
    def _combinations(self) -> Recipe:
        if self.adapter.trains_base and self.model.quantization != "none":
            raise ValueError(
                f"model.quantization is {self.model.quantization}, but adapter.method none trains "
                "every weight, and quantised weights cannot be trained: use adapter.method lora, "
                "or model.quantization none"
            )
        if self.training.eval_steps and not self.data.holds_out:
            raise ValueError(
                f"training.eval_steps is {self.training.eval_steps}, but data.eval_fraction 0 "
                "keeps nothing to evaluate on: set data.eval_fraction above 0, or "
                "training.eval_steps 0"
            )
        self._require_evaluations()
        return self

    def _require_evaluations(self) -> None:
        """What decides by the held-out loss needs one, and early stopping more than one."""
        wanted = self.training
        if wanted.early_stopping_patience and not wanted.eval_steps:
            raise ValueError(
                f"training.early_stopping_patience is {wanted.early_stopping_patience}, but "
                "training.eval_steps 0 evaluates at the end only: set training.eval_steps above 0, "
                "or training.early_stopping_patience 0"
            )
        if wanted.keep == "best" and not self.data.holds_out:
            raise ValueError(
                "training.keep is best, but data.eval_fraction 0 keeps nothing to evaluate on: set "
                "data.eval_fraction above 0, or training.keep last"
            )

    def with_values(self, values: dict[str, Any]) -> Recipe:
        """A new recipe with dotted keys replaced: `{"adapter.rank": 8}`.

        Raises RecipeError naming every unknown key and value that is not allowed.
        """
        tree = self.model_dump(mode="json")
        for dotted, value in values.items():
            section, _, name = dotted.partition(".")
            if isinstance(tree.get(section), dict) and name:
                tree[section][name] = value
            else:
                tree[dotted] = value
        return parse_recipe(tree)


def parse_recipe(tree: Any) -> Recipe:
    """A recipe from plain data (what YAML or a form gives). Raises RecipeError."""
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise RecipeError(
            f"A recipe is a map with the keys {', '.join(Recipe.model_fields)}, "
            f"but this is a {type(tree).__name__}.",
            "Start from a recipe.yaml that a run has left in its folder.",
        )
    groups = {name: {} if tree.get(name, 0) is None else value for name, value in tree.items()}
    try:
        return Recipe.model_validate(groups)
    except ValidationError as error:
        raise recipe_error(error, Recipe) from None
