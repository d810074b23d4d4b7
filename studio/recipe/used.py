"""Which fields a recipe's choices make use of: what a form shows, and what it may leave out.

A field that is not used is kept as it is and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from studio.recipe.fields import Recipe
from studio.recipe.form import form_fields

_Rule = Callable[[Recipe], bool]


def _method(*names: str) -> _Rule:
    return lambda recipe: recipe.training.method in names


def _adapter(*names: str) -> _Rule:
    return lambda recipe: recipe.adapter.method in names


def _any(*rules: _Rule) -> _Rule:
    return lambda recipe: any(rule(recipe) for rule in rules)


def _all(*rules: _Rule) -> _Rule:
    return lambda recipe: all(rule(recipe) for rule in rules)


_LEARNS_ROWS = _method("sft", "pretrain")
_WRITES = _method("grpo", "rloo")
_ANSWERS = _method("sft", "pretrain", "dpo", "orpo", "kto", "grpo", "rloo")
"""Methods whose model writes text, so that it can be asked while it trains."""
_DROPS_OUT = _method("sft", "pretrain", "grpo", "rloo")
"""The others compare answers, where dropout would be noise: TRL switches it off for them."""
_INSIDE = _adapter("lora", "adalora", "vera", "ia3", "oft")
"""Adapters that sit on modules of the base."""
_LORA = _adapter("lora")

_RULES: dict[str, _Rule] = {
    "model.double_quantization": lambda recipe: recipe.model.quantization == "4bit",
    "data.loss_on": _method("sft"),
    "data.packing": _LEARNS_ROWS,
    "data.template": _method("sft", "dpo", "orpo", "kto", "reward", "grpo", "rloo"),
    "data.custom_template": lambda recipe: recipe.data.template == "custom",
    "data.eval_fraction": lambda recipe: recipe.data.held_out in ("fraction", "grouped"),
    "data.group_column": lambda recipe: recipe.data.held_out == "grouped",
    "data.eval_column": lambda recipe: recipe.data.held_out == "column",
    "data.eval_value": lambda recipe: recipe.data.held_out == "column",
    "data.eval_source": lambda recipe: recipe.data.held_out == "file",
    "adapter.rank": _adapter("lora", "adalora", "vera"),
    "adapter.alpha": _adapter("lora", "adalora"),
    "adapter.dropout": _all(_adapter("lora", "adalora", "vera", "oft"), _DROPS_OUT),
    "adapter.targets": _INSIDE,
    "adapter.bias": _adapter("lora", "adalora", "vera", "oft"),
    "adapter.init": _LORA,
    "adapter.use_rslora": _LORA,
    "adapter.use_dora": _LORA,
    "adapter.lora_plus_ratio": _LORA,
    "adapter.initial_rank": _adapter("adalora"),
    "adapter.block_size": _adapter("oft"),
    "adapter.virtual_tokens": _adapter("prompt_tuning", "prefix_tuning"),
    "adapter.prompt_text": _adapter("prompt_tuning"),
    "adapter.layers": _adapter("lora", "adalora", "vera", "oft"),
    "adapter.rank_pattern": _LORA,
    "adapter.alpha_pattern": _LORA,
    "adapter.modules_to_save": _INSIDE,
    "preference.loss": _method("dpo"),
    "preference.kto_loss": _method("kto"),
    "preference.beta": _method("dpo", "kto", "orpo"),
    "preference.label_smoothing": _all(_method("dpo"), lambda recipe: recipe.preference.loss in (
        "robust", "exo_pair", "aot", "aot_unpaired")),
    "preference.desirable_weight": _method("kto"),
    "preference.undesirable_weight": _method("kto"),
    "preference.center_rewards": _method("reward"),
    "reinforcement.loss": _method("grpo"),
    "reinforcement.scale_rewards": _method("grpo"),
    "speed.join_rows": _LEARNS_ROWS,
    "speed.skip_prompt_logits": _LEARNS_ROWS,
    "speed.group_by_length": lambda recipe: not _WRITES(recipe),
    "speed.reuse": lambda recipe: (
        recipe.model.quantization == "none" and recipe.training.method != "reward"
        and not recipe.adapter.changes_base),
    "monitor.sample_prompts": _ANSWERS,
    "monitor.sample_records": _ANSWERS,
    "monitor.sample_steps": _ANSWERS,
    "monitor.sample_tokens": _ANSWERS,
    "monitor.scorer": _ANSWERS,
    "monitor.scorer_value": _all(_ANSWERS, lambda recipe: recipe.monitor.scorer in (
        "contains", "regex", "python")),
    "monitor.score_records": _all(_ANSWERS, lambda recipe: recipe.monitor.scorer != "none"),
    "monitor.forgetting": _ANSWERS,
    "monitor.forgetting_source": _all(_ANSWERS, lambda recipe: recipe.monitor.forgetting),
    "monitor.forgetting_threshold": _all(_ANSWERS, lambda recipe: recipe.monitor.forgetting),
    "monitor.project": _any(lambda recipe: recipe.monitor.wandb,
                            lambda recipe: recipe.monitor.trackio),
}
_SECTION_RULES = {"reinforcement": _WRITES}


def is_used(key: str, recipe: Recipe) -> bool:
    """Whether the field with this dotted key makes a difference to `recipe`."""
    rule = _RULES.get(key) or _SECTION_RULES.get(key.partition(".")[0])
    return rule is None or rule(recipe)


def used_keys(recipe: Recipe) -> list[str]:
    """The keys of all fields that `recipe` makes use of, in order."""
    return [field.key for field in form_fields() if is_used(field.key, recipe)]


def used_in_form(values: Mapping[str, Any]) -> frozenset[str]:
    """The same for what a form holds by dotted key, also while some of it is not allowed: what is
    missing or empty counts as the default."""
    recipe = as_it_stands(values)
    return frozenset(field.key for field in form_fields() if is_used(field.key, recipe))


def as_it_stands(values: Mapping[str, Any]) -> Recipe:
    """A recipe with a form's values, unchecked: only to ask which fields it would use."""
    recipe = Recipe()
    sections: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        if value not in (None, ""):
            sections.setdefault(section, {})[name] = value
    return recipe.model_copy(update={
        section: getattr(recipe, section).model_copy(update=found)
        for section, found in sections.items()})
