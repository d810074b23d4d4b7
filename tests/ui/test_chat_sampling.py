"""How the columns of the Chat tab write: presets, and what the boxes and sliders mean."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
import pytest

from studio.chat.sampling import Sampling
from studio.chat.sampling_presets import PRESETS
from studio.errors import StudioError
from studio.ui.panels import chat_sampling
from studio.ui.panels.chat_sampling import (
    CHOOSING,
    OWN,
    SAMPLING,
    preset_of,
    preset_values,
    restored,
    sampling_of,
    stop_strings,
)


def values(**changed: Any) -> dict[str, Any]:
    usual = {name: getattr(Sampling(), name) for name in SAMPLING}
    return {**usual, "stop_strings": "", "system": "Be kind.", **changed}


def test_what_is_set_is_what_the_columns_write_by() -> None:
    found = sampling_of(values(temperature=1.5, min_p=0.1, top_k=0, stop_strings="END\n\n\\n\\n"))
    assert found == Sampling(temperature=1.5, min_p=0.1, top_k=0, stop_strings=("END", "\n\n"))


def test_an_empty_number_stands_for_the_usual_one() -> None:
    assert sampling_of(values(seed=None, max_new_tokens=None)) == Sampling()


@pytest.mark.parametrize(("written", "meant"), [
    ("", ()), ("\n\n", ()), ("###", ("###",)), ("a\nb\na", ("a", "b")), (" a ", (" a ",)),
    (r"\n", ("\n",)), (r"a\tb\\n", ("a\tb\\n",)), (r"\end", (r"\end",)),
])
def test_texts_to_stop_at_are_lines(written: str, meant: tuple[str, ...]) -> None:
    assert stop_strings(written) == meant


def test_too_many_texts_to_stop_at_are_a_sentence() -> None:
    with pytest.raises(StudioError, match="at most 16"):
        sampling_of(values(stop_strings="\n".join("abcdefghijklmnopq")))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda one: one.name)
def test_a_preset_sets_the_sliders_and_is_known_by_them(preset: Any) -> None:
    set_to = dict(zip(CHOOSING, preset_values(preset.name), strict=True))
    assert preset_of(sampling_of(values(**set_to, seed=7))) == preset.name
    assert preset_of(sampling_of(values(**{**set_to, "temperature": 1.95}))) == OWN


def test_settings_of_ones_own_move_nothing() -> None:
    assert preset_values(OWN) == [gr.skip()] * len(CHOOSING)


def test_what_the_browser_kept_is_set_again_with_the_preset_that_it_is() -> None:
    set_to = dict(zip(CHOOSING, preset_values("precise"), strict=True))
    preset, system, *fields = restored(json.dumps(values(**set_to, stop_strings="END\n\\n")))
    assert preset.value == "precise" and system == "Be kind."
    found = dict(zip(SAMPLING, fields, strict=True))
    assert found["temperature"] == set_to["temperature"] and found["stop_strings"] == "END\n\\n"
    preset, system, *fields = restored('{"temperature": 1.95, "seed": null, "more": 1}')
    assert preset.value == OWN and fields[0] == 1.95
    assert system == gr.skip() and fields[1:] == [gr.skip()] * (len(SAMPLING) - 1)


@pytest.mark.parametrize("kept", [
    "", "{}", "[]", "{", "3", '{"temperature": "hot"}', '{"temperature": true}', '{"top_p": 7}',
    '{"seed": -1}', '{"system": 5}'])
def test_what_the_browser_cannot_have_kept_counts_for_nothing(kept: str) -> None:
    assert restored(kept) == [gr.skip()] * (2 + len(SAMPLING))


def test_the_sliders_reach_every_preset() -> None:
    with gr.Blocks():
        part = chat_sampling.build()
    for preset in PRESETS:
        for name in CHOOSING:
            slider = part.inputs[name]
            assert slider.minimum <= getattr(preset, name) <= slider.maximum, (preset.name, name)
    assert set(part.inputs) == {"system", *SAMPLING}
