"""What the line-up of the Chat tab shows at one moment: its lists, and what its columns are.

Nothing is loaded here: adapters are told by their small files. Wiring is in `chat_lineup.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.adapters.folder import known_adapter_folder
from studio.chat.session import BASE_COLUMN
from studio.chat.strength import why_no_strength
from studio.errors import RecipeError, StudioError
from studio.models.gguf_file import find_gguf, is_gguf
from studio.models.quantized import mixes_rows
from studio.recipe import Model, recipe_from_form
from studio.ui.adapter_shelf import first_unasked
from studio.ui.panels.chat_columns import (
    AS_TRAINED,
    BASE_VALUE,
    LOADINGS,
    MAX_COLUMNS,
    Labelled,
    Offer,
    Wish,
    all_offers,
    base_label,
    bases,
    columns_of,
    listed,
    model_of,
    no_columns,
    offers_of,
    picked,
)
from studio.ui.panels.chat_ggufs import GgufShelf, gguf_choice, gguf_facts, shelf_of
from studio.ui.panels.chat_lineup_view import (
    ColumnFacts,
    status_view,
    strength_rows,
)
from studio.ui.panels.chat_sharing_view import Sharing, sharing_view
from studio.ui.panels.chat_sliders import chosen_numbers, sliders_value
from studio.ui.panels.export_results import whole_models
from studio.ui.seen import Part, fresh_updates, stamp

if TYPE_CHECKING:
    from studio.chat.session import Column
    from studio.ui.studio import Studio

PARTS = ("base", "runs", "strengths", "status", "sharing", "arrived")
"""`arrived` is hidden: what is said of memory follows it, which takes too long for every look."""
IN_8_BITS = "an 8-bit base rounds a batch as a whole, so that an answer would depend on the others"
_HELD = {"none": "unquantised", "8bit": "8-bit", "4bit": "4-bit"}


def offers_now(studio: Studio) -> list[Offer]:
    """Every adapter there is."""
    return all_offers(studio.adapters.trained(), studio.adapters.blends())


def lineup_of(studio: Studio, values: dict[str, Any]) -> tuple[Model, list[Column]]:
    """The model to load and its columns. Raises StudioError for a choice that cannot be loaded."""
    wish = wish_of(values)
    if is_gguf(wish.base):
        return gguf_choice(shelf_of(studio.settings.exports), offers_now(studio), wish,
                           studio.settings)
    return columns_of(offers_now(studio), wish, form_model(values))


def wish_of(values: dict[str, Any]) -> Wish:
    """What the line-up's components hold."""
    return Wish(values["base"] or "", values["runs"] or [], chosen_numbers(values.get("strengths")),
                values.get("loading") or AS_TRAINED)


def form_model(values: dict[str, Any]) -> Model:
    """The form's base model; the plain starter while the form holds a mistake."""
    model = {key: value for key, value in values.items() if key.startswith("model.")}
    try:
        return recipe_from_form(model).model
    except RecipeError:
        return Model()


def opened(studio: Studio, values: dict[str, Any], kept: dict[str, Any]) -> list[Any]:
    """As `page`, for one that opens, and behind it how the base is held in memory: what the browser
    kept is chosen again, as far as it is still there."""
    chosen = {name: value for name, value in kept.items() if _can_be(name, value)}
    if not chosen.get("base"):
        return [*page(studio, values, {}), gr.skip()]
    columns = _listed(shelf_of(studio.settings.exports), chosen["base"], offers_now(studio))
    known = {value for _, value in columns}
    seen = {"of_base": chosen["base"] if known & set(chosen.get("runs", ())) else "",
            "left_alone": False}
    loading = chosen.get("loading", gr.skip())
    return [*page(studio, {**values, **chosen}, seen, shown=values), loading]


def _can_be(name: str, value: Any) -> bool:
    if name == "base":
        return isinstance(value, str)
    if name == "loading":
        return value in dict(LOADINGS).values()
    if name == "runs":
        return isinstance(value, list) and len(value) <= MAX_COLUMNS and all(
            isinstance(one, str) for one in value)
    return name == "strengths"


def page(studio: Studio, values: dict[str, Any], seen: dict[str, Any], *,
         shown: dict[str, Any] | None = None) -> list[Any]:
    """One update for each of `PARTS` and for what was seen; what the page has is skipped.

    `shown` is what its components hold where `values` are to be chosen instead.
    """
    shown = values if shown is None else shown
    trained, of_form = studio.adapters.trained(), form_model(values)
    offers = all_offers(trained, studio.adapters.blends())
    shelf = shelf_of(studio.settings.exports)
    base = _base_to_show(offers, of_form.source, values["base"] or "", seen)
    before, begin = values["runs"] or [], chosen_numbers(values.get("strengths"))
    columns = _listed(shelf, base, offers)
    there = {value for _, value in columns}
    chosen = _columns_to_show(offers, [value for value in before if value in there], base, seen)
    known = [*bases(trained, offers, of_form.source), *whole_models(studio.settings.exports),
             *shelf.bases]
    base_moved = _moved(base, shown["base"])
    runs_moved = _moved(chosen, shown["runs"] or [])
    wish = Wish(base, chosen, {}, wish_of(values).loading)
    facts, notes = (gguf_facts(shelf, offers, wish, studio.settings) if is_gguf(base)
                    else _look_at(offers, wish, of_form))
    notes = [*notes, *filter(None, [no_columns(trained, base)])]
    sharing = sharing_of(studio, values | {"base": base, "runs": chosen})
    parts: dict[str, Part] = {
        "base": ((known, base_moved), lambda: gr.Dropdown(
            choices=known, allow_custom_value=True, **base_moved)),
        "runs": ((columns, runs_moved), lambda: gr.Dropdown(
            choices=columns, multiselect=True, allow_custom_value=True, **runs_moved)),
        "strengths": (facts, lambda: sliders_value(strength_rows(facts), begin)),
        "status": ((facts, notes), lambda: status_view(facts, notes)),
        "sharing": (sharing.key, lambda: sharing_view(sharing)),
        "arrived": _part(_is_here(studio, offers, wish, of_form)),
        "of_base": (base, dict),
        "left_alone": (_is_left_alone(chosen, before, seen), dict),
    }
    return fresh_updates(parts, PARTS, seen, stamped=_stamped)


def _part(value: bool) -> Part:
    return value, lambda: value


def _is_here(studio: Studio, offers: Sequence[Offer], wish: Wish, of_form: Model) -> bool:
    """Whether the base is on this PC: it may come while it is chosen, or go."""
    from studio.models.source import is_on_this_pc

    try:
        if is_gguf(wish.base):
            return find_gguf(wish.base, studio.settings).is_file()
        model = model_of(offers, picked(offers, wish), wish, of_form)
        return is_on_this_pc(model, studio.settings)
    except StudioError:
        return False


def _stamped(key: Any) -> Any:
    """What is read back of what was seen stays readable."""
    return key if isinstance(key, str | bool) else stamp(key)


def _moved(value: Any, before: Any) -> dict[str, Any]:
    """A choice is set only where it has to change: meanwhile the person may have gone on."""
    return {} if value == before else {"value": value}


def _base_to_show(offers: Sequence[Offer], source: str, base: str, seen: dict[str, Any]) -> str:
    """At first that of the newest adapter, or the form's; then what the person chose."""
    if seen:
        return base
    return offers[0].model.source if offers else source


def _listed(shelf: GgufShelf, base: str, offers: Sequence[Offer]) -> list[Labelled]:
    """The columns to choose from over this base."""
    return shelf.columns(offers, base) if is_gguf(base) else listed(offers, base)


def _columns_to_show(offers: Sequence[Offer], kept: list[str], base: str,
                     seen: dict[str, Any]) -> list[str]:
    """What is chosen and still there (`kept`). On another base, and where it had no adapter so
    far, the base and its newest adapter."""
    if seen.get("of_base") != base or (seen.get("left_alone") and kept == [BASE_VALUE]):
        newest = first_unasked(offers_of(offers, base))
        return [BASE_VALUE, *([newest.value] if newest else [])]
    return kept


def _is_left_alone(chosen: list[str], before: list[str], seen: dict[str, Any]) -> bool:
    """Whether the base is alone because of the program, and not because the person wants it."""
    return chosen == [BASE_VALUE] and (chosen != before or bool(seen.get("left_alone", True)))


def sharing_of(studio: Studio, values: dict[str, Any]) -> Sharing:
    """Who else is at work, and whether the chosen columns fit beside it; a choice that cannot be
    is left to `room_view`."""
    others = studio.chat.others
    if not others:
        return Sharing()
    try:
        model, columns = lineup_of(studio, values)
    except StudioError:
        return Sharing(others[0]) if others[0].need is None else Sharing()
    return Sharing(others[0], studio.chat.beside_others(model, columns))


def _look_at(offers: Sequence[Offer], wish: Wish, of_form: Model
             ) -> tuple[list[ColumnFacts], list[str]]:
    """What is known of the columns before anything is loaded, and what else is to be said. A wish
    that cannot be has no facts: `room_view` says why."""
    try:
        chosen = picked(offers, wish)
        model = model_of(offers, chosen, wish, of_form)
        facts = [_facts(one, model) for one in chosen]
    except StudioError:
        return [], []
    return facts, [note for one in chosen if one is not None for note in _notes(one, model)]


def _facts(offer: Offer | None, model: Model) -> ColumnFacts:
    rounds_together = IN_8_BITS if mixes_rows(model) else ""
    if offer is None:
        return ColumnFacts(BASE_VALUE, BASE_COLUMN, True, why_alone=rounds_together)
    folder = known_adapter_folder(offer.path)
    return ColumnFacts(offer.value, offer.name, False, why_no_strength(folder),
                       rounds_together or folder.why_alone)


def _notes(offer: Offer, model: Model) -> list[str]:
    """In what the base that answers is another than the one that the adapter was trained on."""
    trained, notes = offer.model, []
    if trained.source != model.source:
        return [f"{offer.name} was trained on {base_label(trained.source)}, and answers on "
                f"{base_label(model.source)} here."]
    if trained.quantization != model.quantization:
        notes.append(f"{offer.name} was trained on the {_HELD[trained.quantization]} base, and "
                     f"answers on the {_HELD[model.quantization]} one here.")
    if trained.revision != model.revision:
        notes.append(f"{offer.name} was trained on the revision {trained.revision or 'newest'} of "
                     f"the base, and answers on {model.revision or 'the newest'} here.")
    return notes
