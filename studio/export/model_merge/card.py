"""The model card of a merge: what it is made of, how, and the YAML. No path of this PC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from studio.export.model_card import USE_MERGED, table
from studio.export.model_merge.configuration import CONFIG_FILE, yaml_text
from studio.export.origin import Origin
from studio.export.shared_base import SharedBase, shared_base
from studio.export.whole_model import where_it_came_from
from studio.recipe import Model

if TYPE_CHECKING:
    from studio.export.model_merge.parts import Given
    from studio.export.model_merge.plan import MergePlan
    from studio.settings import Settings


def shared_parts(plan: MergePlan, settings: Settings) -> list[SharedBase]:
    """Every model as a stranger finds it, in the order of `plan.everyone`."""
    return [_shared(given, settings) for given in plan.everyone]


def _shared(given: Given, settings: Settings) -> SharedBase:
    folder = given.folder
    assert folder is not None
    origin = Origin(given.name, folder, Model(source=given.source), is_full_model=True)
    return shared_base(origin, settings)


def merge_card(plan: MergePlan, shared: Sequence[SharedBase], notes: Iterable[str],
               versions: dict[str, str]) -> str:
    """The whole text, with the front matter that the Hub reads."""
    known = "\n".join(f"- {note}" for note in notes)
    made = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts = [
        f"---\n{_front_matter(shared)}\n---",
        f"# {plan.name}\n\nA merge of {len(plan.parts)} models by {plan.method.label}. "
        f"{plan.method.summary}",
        "## How to use it\n\n" + USE_MERGED.format(where=f"./{plan.name}"),
        f"## Made of\n\n{_made_of(plan, shared)}",
        "## How it was made\n\nThis is what mergekit was given; it lies beside the weights as "
        f"`{CONFIG_FILE}`.\n\n```yaml\n{yaml_text(plan, shared=True).rstrip()}\n```",
        f"## Licence\n\n{_licences(shared)}",
        f"## To know\n\n{known}" if known else "",
        f"## Made with\n\n{made}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(shared: Sequence[SharedBase]) -> str:
    from huggingface_hub import ModelCardData

    ids = list(dict.fromkeys(one.hub_id for one in shared if one.hub_id))
    licences = {one.license for one in shared}
    values: dict[str, Any] = {
        "base_model": ids or None, "library_name": "transformers",
        "license": licences.pop() if len(licences) == 1 else None,
        "pipeline_tag": "text-generation", "tags": ["adapter-studio", "mergekit", "merge"]}
    if ids:
        values["base_model_relation"] = "merge"
    return ModelCardData(**values).to_yaml().strip()


def _made_of(plan: MergePlan, shared: Sequence[SharedBase]) -> str:
    rows = []
    for given, one in zip(plan.everyone, shared, strict=True):
        is_base = given not in plan.parts
        note = "".join(f" ({text})" for text in (one.note, _origin_words(given)) if text)
        called = f"`{given.name}`, from {one.link}" if given.name != one.name else one.link
        rows.append((called + note, "base" if is_base else _share(plan, given)))
    return table(("Model", "How much"), rows)


def _origin_words(given: Given) -> str:
    """What an export of the studio was made of."""
    told = where_it_came_from(given.folder) if given.folder is not None else {}
    return f"{told['adapter']} on {told['base']}" if {"adapter", "base"} <= told.keys() else ""


def _share(plan: MergePlan, given: Given) -> str:
    if plan.method.turns:
        return "the first" if given is plan.parts[0] else f"towards it by {plan.mix.t:g}"
    density = f", {given.density:.0%} of its changes kept" if given.density is not None else ""
    return f"weight {given.weight:g}{density}"


def _licences(shared: Sequence[SharedBase]) -> str:
    told = ", ".join(f"{one.link}: {f'`{one.license}`' if one.license else 'not recorded here'}"
                     for one in dict.fromkeys(shared))
    return f"A merge is bound by the licence of each model in it. {told}."
