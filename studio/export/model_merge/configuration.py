"""The YAML that mergekit runs, made from a plan: shown before, kept beside the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from studio.export.model_merge.parts import Given
    from studio.export.model_merge.plan import MergePlan

CONFIG_FILE = "mergekit_config.yml"
"""As mergekit itself calls it."""


def configuration(plan: MergePlan, *, shared: bool = False) -> dict[str, Any]:
    """What mergekit's own `MergeConfiguration` reads; `shared` names no folder of this PC.

    The base is always named, since mergekit takes settings and tokenizer from any model otherwise.
    """
    method, mix = plan.method, plan.mix
    told: dict[str, Any] = {
        "merge_method": method.name, "base_model": _model(plan.base, shared),
        "models": [_entry(plan, one, shared) for one in plan.parts]}
    if method.turns:
        told["parameters"] = {"t": mix.t}
    elif method.name in ("linear", "ties"):
        told["parameters"] = {"normalize": True}
    told |= {"dtype": "float32", "out_dtype": plan.dtype_name}
    if plan.tokens != "copied":
        told["tokenizer"] = {"source": plan.tokens}
    return told


def _entry(plan: MergePlan, given: Given, shared: bool) -> dict[str, Any]:
    numbers = {"weight": given.weight} if plan.method.weighs else {}
    if plan.method.prunes and given.density is not None:
        numbers["density"] = given.density
    entry: dict[str, Any] = {"model": _model(given, shared)}
    return {**entry, "parameters": numbers} if numbers else entry


def _model(given: Given, shared: bool) -> Any:
    """In the long form where mergekit would read a sign in the name as something else: "+" as an
    adapter, "@" as a revision."""
    name = given.shared_reference if shared else given.reference
    return {"model": {"path": name}} if set(name) & set('+@"') else name


def yaml_text(plan: MergePlan, *, shared: bool = False) -> str:
    """The same as text, after the command that runs it."""
    seed = f" --random-seed {plan.mix.seed}" if plan.method.draws else ""
    text = yaml.safe_dump(configuration(plan, shared=shared), sort_keys=False,
                          allow_unicode=True, width=1000)
    return f"# mergekit-yaml {CONFIG_FILE} {plan.name}{seed}\n{text}"
