"""How the columns of the Chat tab write: system prompt, temperature and the like.

The same for every column, so that only the weights differ. What the numbers do to an answer is in
`studio/chat/sampling.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.chat.sampling import Sampling
from studio.chat.sampling_presets import PRESETS, sampling_preset
from studio.errors import StudioError
from studio.ui.kept import keep_script, kept_by_browser, read_kept, restore_script
from studio.ui.shared import DIRECT, QUIET, Shared

if TYPE_CHECKING:
    from gradio.components import Component

CHOOSING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
"""How tokens are chosen: what a preset sets."""
SAMPLING = (*CHOOSING, "max_new_tokens", "seed", "stop_strings")
ESCAPES = {r"\n": "\n", r"\t": "\t", "\\\\": "\\"}
"""What a line of the stop texts may hold that a line cannot, as it is written there."""
KEPT_AS = "studio-chat-sampling"
OWN = "own"
"""The preset of settings that are nobody else's."""


@dataclass(frozen=True)
class SamplingPart:
    """The components by the names under which handlers get them: `system` and `SAMPLING`."""

    inputs: dict[str, Component]
    preset: gr.Radio


def build() -> SamplingPart:
    """Lay it out, inside an accordion."""
    usual = Sampling()
    system = gr.Textbox(label="System prompt", lines=2, max_lines=8, elem_id="chat-system",
                        info="Empty: the one of the model's chat template, if it has one.")
    preset = gr.Radio(
        [*(one.name for one in PRESETS), OWN], value=preset_of(usual), label="Style",
        elem_id="chat-preset", info=preset_line(preset_of(usual)))
    parts = {**_build_sliders(usual), **_build_boxes(usual)}
    _wire(preset, {name: parts[name] for name in CHOOSING})
    return SamplingPart({"system": system, **{name: parts[name] for name in SAMPLING}}, preset)


def keep(part: SamplingPart, shared: Shared) -> None:
    """What is set stays in this browser."""
    kept, fields = kept_by_browser(), list(part.inputs.values())
    opened = shared.demo.load(lambda kept: kept, kept, kept, js=restore_script(KEPT_AS), **QUIET)
    opened.then(restored, kept, [part.preset, *fields], **QUIET)
    gr.on([field.change for field in fields], None, [kept, *fields], None,
          js=keep_script(KEPT_AS, list(part.inputs)), api_visibility="private")


def restored(kept: str) -> list[Any]:
    """One update for the preset, for the system prompt, and for each of `SAMPLING`."""
    found = kept_values(read_kept(kept))
    if not found:
        return [gr.skip()] * (2 + len(SAMPLING))
    name = preset_of(sampling_of(found))
    return [gr.Radio(value=name, info=preset_line(name)),
            *(found.get(name, gr.skip()) for name in ("system", *SAMPLING))]


def kept_values(kept: dict[str, Any]) -> dict[str, Any]:
    """What of it can be set; nothing where it does not go together."""
    found = {name: value for name, value in kept.items() if _can_be(name, value)}
    try:
        sampling_of(found)
    except StudioError:
        return {}
    return found


def _can_be(name: str, value: Any) -> bool:
    if name in ("system", "stop_strings"):
        return isinstance(value, str)
    return name in SAMPLING and isinstance(value, int | float) and not isinstance(value, bool)


def _build_sliders(usual: Sampling) -> dict[str, Component]:
    with gr.Row():
        temperature = gr.Slider(
            0, 2, usual.temperature, step=0.05, buttons=[], label="Temperature",
            elem_id="chat-temperature", info="0: always the likeliest token. Higher: more varied.")
        top_p = gr.Slider(
            0, 1, usual.top_p, step=0.01, buttons=[], label="Top-p", elem_id="chat-top-p",
            info="Draws from the likeliest tokens that make up this share.")
        top_k = gr.Slider(
            0, 200, usual.top_k, step=1, precision=0, buttons=[], label="Top-k",
            elem_id="chat-top-k", info="Draws from so many tokens at most. 0: no limit.")
    with gr.Row():
        min_p = gr.Slider(
            0, 1, usual.min_p, step=0.01, buttons=[], label="Min-p", elem_id="chat-min-p",
            info="Drops what is less likely than this share of the likeliest.")
        penalty = gr.Slider(
            1, 2, usual.repetition_penalty, step=0.05, buttons=[], label="Repetition penalty",
            elem_id="chat-repetition-penalty", info="Above 1 makes repeated tokens less likely.")
        longest = gr.Slider(
            1, 2048, usual.max_new_tokens, step=1, precision=0, buttons=[], label="Longest answer",
            elem_id="chat-max-new-tokens", info="In tokens, about three quarters of a word each.")
    return {"temperature": temperature, "top_p": top_p, "top_k": top_k, "min_p": min_p,
            "repetition_penalty": penalty, "max_new_tokens": longest}


def _build_boxes(usual: Sampling) -> dict[str, Component]:
    with gr.Row():
        seed = gr.Number(usual.seed, precision=0, minimum=0, label="Seed", elem_id="chat-seed",
                         info="The same for every column, so luck is the same.")
        stops = gr.Textbox(
            label="Stop at", lines=1, max_lines=6, scale=2, elem_id="chat-stop-strings",
            info="Texts that end an answer, one on each line; \\n is a line break, "
                 "\\\\ a backslash.")
    return {"seed": seed, "stop_strings": stops}


def _wire(preset: gr.Radio, choosing: dict[str, Component]) -> None:
    sliders = list(choosing.values())

    def set_all(name: str) -> list[Any]:
        return [gr.Radio(info=preset_line(name)), *preset_values(name)]

    def follow(**values: Any) -> gr.Radio:
        name = preset_of(sampling_of(values))
        return gr.Radio(value=name, info=preset_line(name))

    preset.input(set_all, preset, [preset, *sliders], **DIRECT)
    gr.on([slider.input for slider in sliders], follow, inputs_kwargs=choosing, outputs=preset,
          trigger_mode="always_last", **DIRECT)


def preset_of(sampling: Sampling) -> str:
    """The preset that chooses tokens as `sampling` does, or `OWN`."""
    return next((one.name for one in PRESETS if one.applied_to(sampling) == sampling), OWN)


def preset_line(name: str) -> str:
    """What to expect of a preset."""
    return "As set below." if name == OWN else sampling_preset(name).line


def preset_values(name: str) -> list[Any]:
    """One update for each of `CHOOSING`; `OWN` changes nothing."""
    if name == OWN:
        return [gr.skip()] * len(CHOOSING)
    preset = sampling_preset(name)
    return [getattr(preset, field) for field in CHOOSING]


def sampling_of(values: dict[str, Any]) -> Sampling:
    """What is set. Raises StudioError for a value that cannot be."""
    # An emptied number box is None: the usual value.
    given = {name: values[name] for name in SAMPLING if values.get(name) is not None}
    return Sampling(**{**given, "stop_strings": stop_strings(given.get("stop_strings", ""))})


def stop_strings(text: str) -> tuple[str, ...]:
    """One for each line that is not empty, with what is written as ESCAPES; spaces count."""
    lines = (re.sub(r"\\[nt\\]", lambda found: ESCAPES[found.group()], line)
             for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line))
