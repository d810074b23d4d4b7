"""The Chat tab: the base and up to three runs answer the same prompt side by side.

Wiring and handlers. Which columns can be chosen is in `chat_columns.py`, the stream of answers
in `chat_answering.py`, how they look in `chat_board.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.errors import StudioError
from studio.recipe import Model
from studio.ui import markup
from studio.ui.guard import guarded
from studio.ui.panels import job_memory
from studio.ui.panels.chat_answering import Answering, Question
from studio.ui.panels.chat_board import COPY_SCRIPT, Conversation, board_view
from studio.ui.panels.chat_columns import (
    MAX_ADAPTERS,
    choices,
    columns_of,
    trained_runs,
)
from studio.ui.shared import PRIVATE, QUIET, Shared

if TYPE_CHECKING:
    from studio.ui.studio import Studio

SAMPLING = ("temperature", "top_p", "top_k", "repetition_penalty", "max_new_tokens", "seed")
MEMORY_FIELDS = ("model.quantization", "model.double_quantization", "model.dtype",
                 "model.attention")


def build(studio: Studio, shared: Shared) -> None:
    """Lay out the tab and wire it."""
    with gr.Group(elem_classes="card"):
        with gr.Row(equal_height=False):
            base = gr.Dropdown(
                [("Starter model", "starter")], value="starter", label="Base model", scale=2,
                info="Answers in the first column, without any adapter.", elem_id="chat-base",
            )
            runs = gr.Dropdown(
                [], value=[], multiselect=True, max_choices=MAX_ADAPTERS, scale=3,
                label="Adapters to compare", elem_id="chat-runs",
                info=f"Up to {MAX_ADAPTERS} runs that were trained on this base.",
            )
        room = gr.HTML(elem_id="chat-room", padding=False)
    with gr.Group(elem_classes="card"):
        board = gr.HTML(board_view(Conversation()), elem_id="chat-board", js_on_load=COPY_SCRIPT)
        prompt = gr.Textbox(
            label="Prompt", lines=1, max_lines=10, elem_id="chat-prompt", autofocus=False,
            placeholder="Write here. Enter sends, Shift + Enter begins a new line.",
        )
        with gr.Row():
            send = gr.Button("Send", variant="primary", scale=3, min_width=90,
                             elem_id="chat-send")
            stop = gr.Button("Stop", variant="stop", min_width=90, interactive=False,
                             elem_id="chat-stop")
            clear = gr.Button("Clear", min_width=90, elem_id="chat-clear")
            example = gr.Button("Starter example", min_width=130, elem_id="chat-example")
        with (gr.Accordion("System prompt and sampling", open=False, elem_id="chat-more"),
              gr.Column(elem_classes="stack")):
            system, sampling = _build_sampling()
            free = gr.Button("Unload the model", size="sm", elem_id="chat-unload")
    parts = {"base": base, "runs": runs, "room": room, "board": board, "prompt": prompt,
             "send": send, "stop": stop, "clear": clear, "system": system, "free": free,
             "example": example, **sampling}
    _wire_answers(studio, shared, parts)
    _wire_choices(studio, shared, parts)


def _build_sampling() -> tuple[gr.Textbox, dict[str, Any]]:
    from studio.chat.sampling import Sampling

    usual = Sampling()
    system = gr.Textbox(label="System prompt", lines=2, max_lines=8, elem_id="chat-system",
                        info="Empty: the one of the model's chat template, if it has one.")
    with gr.Row():
        temperature = gr.Slider(
            0, 2, usual.temperature, step=0.05, buttons=[], label="Temperature",
            elem_id="chat-temperature",
            info="0 always takes the likeliest token; higher is more varied.")
        top_p = gr.Slider(
            0, 1, usual.top_p, step=0.01, buttons=[], label="Top-p", elem_id="chat-top-p",
            info="Draws from the likeliest tokens that make up this share.")
        top_k = gr.Slider(
            0, 200, usual.top_k, step=1, precision=0, buttons=[], label="Top-k",
            elem_id="chat-top-k", info="Draws from so many tokens at most. 0: no limit.")
    with gr.Row():
        penalty = gr.Slider(
            1, 2, usual.repetition_penalty, step=0.05, buttons=[], label="Repetition penalty",
            elem_id="chat-repetition-penalty", info="Above 1 makes repeated tokens less likely.")
        longest = gr.Slider(
            1, 2048, usual.max_new_tokens, step=1, precision=0, buttons=[], label="Longest answer",
            elem_id="chat-max-new-tokens", info="In tokens.")
        seed = gr.Number(usual.seed, precision=0, minimum=0, label="Seed", elem_id="chat-seed",
                         info="The same for every column, so luck is the same.")
    return system, dict(zip(SAMPLING, (temperature, top_p, top_k, penalty, longest, seed),
                            strict=True))


def _wire_answers(studio: Studio, shared: Shared, parts: dict[str, Any]) -> None:
    talk = gr.State(Conversation())
    answering = Answering(studio.chat)
    shown = [parts["board"], talk, parts["prompt"], parts["send"], parts["stop"]]

    def send(**values: Any) -> Iterator[list[Any]]:
        question = question_of(studio, values)
        for now in answering.ask(question, values["talk"]):
            yield talk_view(now, is_over=False)

    def clear() -> list[Any]:
        answering.stop()
        return talk_view(Conversation(), is_over=True)

    def unload() -> None:
        studio.chat.close()
        gr.Info("The model is unloaded. The next prompt loads it again.")

    def with_whole_form() -> None:
        form = {"base": parts["base"], "runs": parts["runs"], "prompt": parts["prompt"],
                "system": parts["system"], "talk": talk,
                **{name: parts[name] for name in SAMPLING}, **_model_fields(shared)}
        ask = guarded(send)
        asked = [trigger(ask, inputs_kwargs=form, outputs=shown, **QUIET)
                 for trigger in (parts["send"].click, parts["prompt"].submit)]
        for event in asked:
            # Runs after a failure too, so that the page is never left without a Send button.
            event.then(lambda: buttons_view(is_over=True), None, [parts["send"], parts["stop"]],
                       **QUIET)
        parts["clear"].click(clear, None, shown, cancels=asked, **QUIET)

    shared.when_complete(with_whole_form)
    parts["example"].click(starter_prompt, None, parts["prompt"], **QUIET)
    parts["stop"].click(answering.stop, None, None, **QUIET)
    parts["free"].click(guarded(unload), None, None, **PRIVATE)


def starter_prompt() -> str:
    """One of the held-out prompts of the starter task, which no run has seen."""
    import json
    import random

    from studio.data.reading.sources import starter_files

    lines = starter_files()[1].read_text(encoding="utf-8").splitlines()
    return str(json.loads(random.choice(lines))["messages"][0]["content"])


def question_of(studio: Studio, values: dict[str, Any]) -> Question:
    """What the tab asks. Raises StudioError for a choice that cannot be loaded."""
    from studio.chat.sampling import Sampling

    trained = trained_runs(studio.shelf.runs())
    model, columns = columns_of(trained, values["base"], values["runs"] or [], _form_model(values))
    # An emptied number box is None: the usual value.
    given = {name: values[name] for name in SAMPLING if values[name] is not None}
    sampling = Sampling(**given)
    return Question(values["prompt"] or "", values["system"] or "", model, columns, sampling)


def talk_view(now: Conversation, *, is_over: bool) -> list[Any]:
    """Updates for board, state, prompt, Send, and Stop. A prompt that failed stays in its box."""
    failed = bool(now.exchanges) and now.exchanges[-1].error is not None
    if not now.exchanges:
        prompt: Any = gr.skip()
    else:
        prompt = now.exchanges[-1].prompt if failed else ""
    return [board_view(now), now, prompt, *buttons_view(is_over=is_over)]


def buttons_view(*, is_over: bool) -> list[Any]:
    """Send and Stop: one of them can be pressed."""
    return [gr.Button(interactive=is_over), gr.Button(interactive=not is_over)]


def _wire_choices(studio: Studio, shared: Shared, parts: dict[str, Any]) -> None:
    """Keep the lists up to date: on load, when runs change, and when the base changes."""
    seen = gr.State(None)
    shown = [parts["base"], parts["runs"], seen]

    def refresh(seen: Any, **values: Any) -> list[Any]:
        return choices_view(studio, values, seen)

    def with_whole_form() -> None:
        form = {"seen": seen, "base": parts["base"], "runs": parts["runs"],
                **_model_fields(shared)}
        shared.ticks.add(refresh, outputs=shown, named=form)
        shared.demo.load(refresh, inputs_kwargs=form, outputs=shown, **QUIET)
        parts["base"].input(refresh, inputs_kwargs=form, outputs=shown, **QUIET)
        moved = [shared.demo.load, parts["base"].change, parts["runs"].change,
                 *(field.change for key, field in _model_fields(shared).items()
                   if key in MEMORY_FIELDS)]
        gr.on(moved, lambda **values: room_view(studio, values), inputs_kwargs=form,
              outputs=parts["room"], trigger_mode="always_last", **QUIET)

    shared.when_complete(with_whole_form)


def choices_view(studio: Studio, values: dict[str, Any], seen: Any) -> list[Any]:
    """Updates for the two lists and what was seen; nothing where nothing has changed.

    A page on which no adapter is chosen takes the newest, once for each new run.
    """
    trained = trained_runs(studio.shelf.runs())
    found = choices(trained, _form_model(values).source, values["base"])
    bases = [value for _, value in found.bases]
    base = values["base"] if values["base"] in bases else bases[0]
    found = choices(trained, _form_model(values).source, base)
    key = (base, found)
    if key == seen:
        return [gr.skip()] * 3
    known = [value for _, value in found.adapters]
    chosen = [name for name in values["runs"] or [] if name in known] or known[:1]
    return [gr.Dropdown(choices=list(found.bases), value=base),
            gr.Dropdown(choices=list(found.adapters), value=chosen, multiselect=True), key]


def room_view(studio: Studio, values: dict[str, Any]) -> str:
    """The memory that the chosen base and adapters take; a choice that cannot be is said."""
    trained = trained_runs(studio.shelf.runs())
    names = values["runs"] or []
    try:
        model, columns = columns_of(trained, values["base"], names, _form_model(values))
    except StudioError as error:
        return markup.note(error.message, error.hint, "warning")
    adapters = [one.recipe.adapter for one in trained if one.name in names]
    return job_memory.chat_room(studio, model, len(columns), adapters)


def _model_fields(shared: Shared) -> dict[str, Any]:
    return {key: field for key, field in shared.form().items() if key.startswith("model.")}


def _form_model(values: dict[str, Any]) -> Model:
    """The form's base model; the plain starter while the form holds a mistake."""
    from studio.errors import RecipeError
    from studio.recipe import recipe_from_form

    model = {key: value for key, value in values.items() if key.startswith("model.")}
    try:
        return recipe_from_form(model).model
    except RecipeError:
        return Model()
