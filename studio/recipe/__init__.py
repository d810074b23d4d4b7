"""The Recipe: the only description of a run, and the only home of defaults, ranges and help.

Forms, the command line, YAML files, and exported scripts are made from these fields.
"""

from studio.recipe.fields import Adapter, Data, Model, Recipe, Training, parse_recipe
from studio.recipe.form import FormField, form_fields, form_from_recipe, recipe_from_form
from studio.recipe.monitor import Monitor
from studio.recipe.yaml_io import load_recipe, recipe_to_yaml, save_recipe

__all__ = [
    "Adapter",
    "Data",
    "FormField",
    "Model",
    "Monitor",
    "Recipe",
    "Training",
    "form_fields",
    "form_from_recipe",
    "load_recipe",
    "parse_recipe",
    "recipe_from_form",
    "recipe_to_yaml",
    "save_recipe",
]
