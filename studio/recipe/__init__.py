"""The Recipe: the only description of a run, and the only home of defaults, ranges and help.

Forms, the command line, YAML files, and exported scripts are made from these fields.
"""

from studio.recipe.adapter import Adapter
from studio.recipe.data import Data
from studio.recipe.fields import Recipe, parse_recipe
from studio.recipe.form import FormField, form_fields, form_from_recipe, recipe_from_form
from studio.recipe.model import Model
from studio.recipe.monitor import Monitor
from studio.recipe.preference import Preference
from studio.recipe.reinforcement import Reinforcement
from studio.recipe.speed import Speed
from studio.recipe.training import Training
from studio.recipe.used import is_used, used_in_form, used_keys
from studio.recipe.yaml_io import load_recipe, recipe_to_yaml, save_recipe

__all__ = [
    "Adapter",
    "Data",
    "FormField",
    "Model",
    "Monitor",
    "Preference",
    "Recipe",
    "Reinforcement",
    "Speed",
    "Training",
    "form_fields",
    "form_from_recipe",
    "is_used",
    "load_recipe",
    "parse_recipe",
    "recipe_from_form",
    "recipe_to_yaml",
    "save_recipe",
    "used_in_form",
    "used_keys",
]
