"""Which bases and which adapters can be chatted with, and which columns a choice makes. Pure.

A base is named by its source. A run that trained every weight has no adapter: its result is a
model folder and is offered as a base of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from studio.adapters.kinds import describe
from studio.chat.column_names import adapter_name, column_name
from studio.chat.session import BASE_COLUMN, Column
from studio.chat.votes import LABELS
from studio.errors import ModelError
from studio.recipe import Adapter, Model
from studio.recipe.base import STARTER
from studio.ui.words import joined

if TYPE_CHECKING:
    from studio.adapters.blend import Blend
    from studio.ui.adapter_shelf import Trained

MAX_COLUMNS = len(LABELS)
"""A blind test has no letters for more."""
BASE_VALUE = "base:"
"""What the list sends for the base. No run and no blend can be called so."""
MOST_NAMED = 3
"""Of runs in a sentence."""
AS_TRAINED = "as trained"
LOADINGS = (("As it was trained", AS_TRAINED), ("16-bit", "16bit"), ("8-bit", "8bit"),
            ("4-bit", "4bit"))
"""(label, value) of the ways to hold the base in memory."""

Labelled = tuple[str, str]


@dataclass(frozen=True)
class Offer:
    """An adapter that can be a column: what the list sends and shows for it, the column's name,
    its folder, and the base and the settings that it was trained with."""

    value: str
    label: str
    name: str
    path: Path
    model: Model
    adapter: Adapter


@dataclass(frozen=True)
class Wish:
    """What a person chose: the base's source, the columns as the list sends them, how much each
    adapter counts, and how the base is held in memory."""

    base: str
    columns: Sequence[str] = ()
    strengths: Mapping[str, float] = field(default_factory=dict)
    loading: str = AS_TRAINED


def all_offers(trained: Sequence[Trained], blends: Sequence[Blend]) -> list[Offer]:
    """Every adapter of every base: runs, each before its checkpoints, then blends; newest first.
    """
    found = []
    for one in trained:
        if not one.is_whole_model:
            found += [_run_offer(one)] if one.is_finished else []
            found += [_checkpoint_offer(one, path) for path in reversed(one.checkpoints)]
    return found + [_blend_offer(blend) for blend in blends]


def offers_of(offers: Sequence[Offer], base: str) -> list[Offer]:
    """Those that were trained on `base`."""
    return [one for one in offers if one.model.source == base]


def listed(offers: Sequence[Offer], base: str) -> list[Labelled]:
    """The columns to choose from, as (label, value): the base, its adapters, then those that were
    trained on another base, which may fit as well."""
    others = [one for one in offers if one.model.source != base]
    return [(BASE_COLUMN, BASE_VALUE),
            *((one.label, one.value) for one in offers_of(offers, base)),
            *((f"{one.label}, of {base_label(one.model.source)}", one.value) for one in others)]


def bases(trained: Sequence[Trained], offers: Sequence[Offer], form_source: str) -> list[Labelled]:
    """The bases to choose from, as (label, source): the form's, those of adapters, the starter,
    and what runs that trained every weight made."""
    sources = [form_source, *(one.model.source for one in offers), STARTER]
    found = [(base_label(source), source) for source in dict.fromkeys(sources)]
    for one in trained:
        if one.is_whole_model:
            found += [(_whole_label(one), str(one.path))] if one.is_finished else []
            found += [(_whole_label(one, path), str(path)) for path in reversed(one.checkpoints)]
    return found


def no_columns(trained: Sequence[Trained], base: str) -> str:
    """Why what became of `base` with every weight trained is on no list of columns, and what to do;
    "" where there is nothing of the kind."""
    whole = [one for one in trained if one.is_whole_model and one.recipe.model.source == base]
    if not whole:
        return ""
    newest = whole[0]
    label = _whole_label(newest, *([] if newest.is_finished else newest.checkpoints[-1:]))
    names = joined([one.title or one.name for one in whole[:MOST_NAMED]])
    if len(whole) > MOST_NAMED:
        names += f" and {len(whole) - MOST_NAMED} more"
    if len(whole) == 1:
        return (f"The run {names} trained every weight, so it is a model of its own and cannot be "
                f"a column over this base. To ask it, choose {label} as the base model.")
    return (f"The runs {names} trained every weight, so they are models of their own and cannot be "
            f"columns over this base. To ask one, choose it as the base model, such as {label}.")


def _whole_label(one: Trained, checkpoint: Path | None = None) -> str:
    name = one.title or one.name
    return f"{name if checkpoint is None else adapter_name(name, checkpoint)} (all weights trained)"


def base_label(source: str) -> str:
    """A base as the list shows it; of a folder the last part is what tells it apart."""
    if source == STARTER:
        return "Starter model"
    return Path(source).name if Path(source).is_absolute() else source


def run_label(trained: Trained) -> str:
    """A run as the list shows it."""
    what = describe(trained.recipe.adapter)
    return f"{trained.title} ({trained.name}, {what})" if trained.title else (
        f"{trained.name} ({what})")


def blend_value(name: str) -> str:
    """What the list sends for the blend of that name."""
    return f"blend:{name}"


def picked(offers: Sequence[Offer], wish: Wish) -> list[Offer | None]:
    """The columns of a wish, None for the base. Where none is chosen the base answers alone.

    Raises ModelError for one that is no more, or too many. Whether it fits is not asked.
    """
    by_value = {one.value: one for one in offers}
    return [None if value == BASE_VALUE else offer_of(by_value, value)
            for value in chosen_values(wish)]


def chosen_values(wish: Wish) -> list[str]:
    """What the list sends for the columns of a wish, each once. Raises ModelError for too many."""
    values = list(dict.fromkeys(wish.columns)) or [BASE_VALUE]
    if len(values) > MAX_COLUMNS:
        raise ModelError(f"{len(values)} columns are chosen, but at most {MAX_COLUMNS} answer side "
                         "by side.", "Remove some of them.")
    return values


def offer_of(by_value: Mapping[str, Offer], value: str) -> Offer:
    """What the list sends as `value`. Raises ModelError for an adapter that is no more."""
    if value not in by_value:
        raise ModelError(f"There is no adapter {value!r} any more.", "Choose another one.")
    return by_value[value]


def columns_of(
    offers: Sequence[Offer], wish: Wish, form_model: Model
) -> tuple[Model, list[Column]]:
    """The model to load and its columns. Raises ModelError for a wish that cannot be."""
    chosen = picked(offers, wish)
    model = model_of(offers, chosen, wish, form_model)
    columns = []
    for one in chosen:
        strength = 1.0 if one is None else wish.strengths.get(one.value, 1.0)
        columns.append(Column(BASE_COLUMN) if one is None else
                       Column(column_name(one.name, strength), one.path, strength))
    return model, columns


def model_of(offers: Sequence[Offer], chosen: Sequence[Offer | None], wish: Wish,
             form_model: Model) -> Model:
    """The base as the first chosen adapter was trained on; else as the form says, or as for any
    adapter of it; a base that none of them names is loaded plainly. Raises ModelError."""
    adapters = [one for one in chosen if one is not None]
    source = wish.base.strip()
    if not source:
        raise ModelError("No base model is chosen.", "Choose one from the list, or type a Hugging "
                         "Face id or a folder of this PC.")
    known = [*(one.model for one in adapters), form_model, *(one.model for one in offers)]
    plain = next((model for model in known if model.source == source), Model(source=source))
    model = _held_as(plain, wish.loading)
    for one in adapters:
        if one.adapter.makes_up_for_rounding and model.quantization != "4bit":
            raise ModelError(
                f"{one.name} began at what rounding the base to 4 bits took (LoftQ), so it belongs "
                "to the 4-bit base, and this one is not.", "Load the base as 4-bit.")
    return model


def _held_as(model: Model, loading: str) -> Model:
    if loading == AS_TRAINED:
        return model
    if loading != "16bit":
        return model.model_copy(update={"quantization": loading})
    from studio.device import pick_device

    fast = pick_device().fast_dtype
    return model.model_copy(update={"quantization": "none",
                                    "dtype": "bfloat16" if fast == "float32" else fast})


def _run_offer(run: Trained) -> Offer:
    name = f"{run.name} (run)" if run.name == BASE_COLUMN else run.name
    return Offer(run.name, run_label(run), name, run.path, run.recipe.model, run.recipe.adapter)


def _checkpoint_offer(run: Trained, path: Path) -> Offer:
    label = f"{run.title} ({run.name})" if run.title else run.name
    return Offer(f"{run.name}/{path.name}", adapter_name(label, path),
                 adapter_name(run.name, path), path, run.recipe.model, run.recipe.adapter)


def _blend_offer(blend: Blend) -> Offer:
    assert blend.model is not None
    parents = joined([parent.name for parent in blend.parents])
    # What it sits on is that of its parents; every layer is the most that it can be.
    return Offer(blend_value(blend.name), f"{blend.name} (blend of {parents})",
                 f"{blend.name} (blend)", blend.path, blend.model,
                 Adapter(rank=max(1, min(blend.rank, 1024))))
