"""The named templates write what their models were trained with, and every answer can end."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.data.samples import RowFault
from studio.data.templates import (
    adds_bos,
    render_turns,
    special_tokens_of,
    stop_token_ids,
    template_for,
    template_names,
)
from studio.data.templates.chosen import end_of_answer
from studio.data.templates.named import FOLDER, NAMED, family_of
from studio.recipe import Data
from studio.recipe.data import TemplateName
from tests.data.templates.tokenizers import (
    ANSWER,
    PLAIN,
    QUESTION,
    SYSTEM,
    TALK,
    byte_level,
    metaspace,
)

# The text of each model's own tokenizer_config.json, but for what the files say they leave out:
# Phi's end-of-text behind the last turn. FastChat's Conversation for Vicuna.
PUBLISHED = {
    "llama2": (
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nWhat is the capital of France? [/INST] Paris. "
        "</s><s>[INST] And of Italy? [/INST] Rome. </s>"),
    "mistral": (
        "<s>[INST] Be brief.\n\nWhat is the capital of France? [/INST] Paris.</s>"
        "[INST] And of Italy? [/INST] Rome.</s>"),
    "zephyr": (
        "<s><|system|>\nBe brief.</s>\n<|user|>\nWhat is the capital of France?</s>\n"
        "<|assistant|>\nParis.</s>\n<|user|>\nAnd of Italy?</s>\n<|assistant|>\nRome.</s>\n"),
    "vicuna": (
        "<s>Be brief. USER: What is the capital of France? ASSISTANT: Paris.</s>"
        "USER: And of Italy? ASSISTANT: Rome.</s>"),
    "alpaca": (
        "<s>Be brief.\n\n### Instruction:\nWhat is the capital of France?\n\n### Response:\n"
        "Paris.</s>\n\n### Instruction:\nAnd of Italy?\n\n### Response:\nRome.</s>"),
    "human_assistant": (
        "<s>Be brief.\n\n### Human: What is the capital of France?\n### Assistant: Paris.</s>\n"
        "### Human: And of Italy?\n### Assistant: Rome.</s>\n"),
}
LLAMA3 = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
PHI = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
GEMMA = ("<start_of_turn>", "<end_of_turn>")


def written(tokenizer, name, turns, **asked):
    template = template_for(tokenizer, Data(template=name))
    return render_turns(template, special_tokens_of(tokenizer), turns, **asked)


def published(name):
    """A template as its authors publish it, which TRL keeps to know models by."""
    import trl

    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text("utf-8")


@pytest.mark.parametrize("name", PUBLISHED)
def test_templates_of_sentencepiece_models_write_the_published_text(name):
    assert written(metaspace(), name, TALK) == PUBLISHED[name]


def test_llama3_writes_the_published_text():
    tokenizer = byte_level("<|end_of_text|>", bos=LLAMA3[0], marks=LLAMA3[1:])
    for turns in (TALK, PLAIN, [{"role": "user", "content": "  spaces \n"}, ANSWER]):
        special = special_tokens_of(tokenizer)
        assert written(tokenizer, "llama3", turns) == render_turns(
            published("llama3"), special, turns)
    assert written(tokenizer, "llama3", PLAIN[:1], answer_next=True) == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
        "What is the capital of France?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")


def test_gemma_writes_the_published_text_and_puts_system_text_before_the_question():
    tokenizer = byte_level("<eos>", bos="<bos>", marks=GEMMA)
    special = special_tokens_of(tokenizer)
    assert written(tokenizer, "gemma", PLAIN) == render_turns(published("gemma"), special, PLAIN)
    assert written(tokenizer, "gemma", TALK) == render_turns(published("gemma3"), special, TALK)
    assert written(tokenizer, "gemma", TALK[:3]) == (
        "<bos><start_of_turn>user\nBe brief.\n\nWhat is the capital of France?<end_of_turn>\n"
        "<start_of_turn>model\nParis.<end_of_turn>\n")


def test_phi_writes_the_published_text_up_to_the_end_of_the_last_turn():
    tokenizer = byte_level("<|endoftext|>", marks=PHI)
    theirs = render_turns(published("phi3"), special_tokens_of(tokenizer), TALK)
    assert written(tokenizer, "phi", TALK) + "<|endoftext|>" == theirs


def test_chatml_writes_tools_calls_and_results_as_qwen_does():
    tokenizer = byte_level("<|im_end|>", marks=("<|im_start|>",))
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    called = {"role": "assistant", "content": "Let me look.", "tool_calls": [
        {"type": "function", "function": {"name": "weather", "arguments": {"city": "Köln"}}},
        {"name": "weather", "arguments": {"city": "Bonn"}}]}
    results = [{"role": "tool", "content": "9"}, {"role": "tool", "content": "12"}]
    turns = [SYSTEM, QUESTION, called, *results, ANSWER]
    theirs = render_turns(published("qwen2_5"), special_tokens_of(tokenizer), turns, tools=tools)
    assert written(tokenizer, "chatml", turns, tools=tools) == theirs
    assert "Köln" in theirs


def test_chatml_takes_calls_without_words_or_system_text_and_arguments_as_text():
    tokenizer = byte_level("<|im_end|>", marks=("<|im_start|>",))
    called = {"role": "assistant", "content": None, "tool_calls": [
        {"function": {"name": "weather", "arguments": '{"city": "Bonn"}'}}]}
    text = written(tokenizer, "chatml", [QUESTION, called], tools=[{"name": "weather"}])
    assert text.startswith("<|im_start|>system\n# Tools\n\n")
    assert text.endswith('<|im_start|>assistant\n<tool_call>\n{"name": "weather", "arguments": '
                         '{"city": "Bonn"}}\n</tool_call><|im_end|>\n')


def test_chatml_writes_reasoning_before_the_answer():
    thought = {"role": "assistant", "content": "Paris.", "reasoning_content": "It is in Europe."}
    tokenizer = byte_level("<|im_end|>", marks=("<|im_start|>",))
    assert written(tokenizer, "chatml", [QUESTION, thought]).endswith(
        "<|im_start|>assistant\n<think>\nIt is in Europe.\n</think>\n\nParis.<|im_end|>\n")


@pytest.mark.parametrize("name", sorted(set(NAMED) - {"chatml"}))
def test_templates_without_a_place_for_tools_say_so(name):
    tool = {"role": "tool", "content": "9"}
    for turns, tools in (([QUESTION, tool, ANSWER], None), (PLAIN, [{"name": "weather"}])):
        with pytest.raises(RowFault, match="no place for tools: choose the template chatml"):
            written(metaspace(), name, turns, tools=tools)


@pytest.mark.parametrize("make", [
    metaspace, lambda: byte_level("<eos>"), lambda: byte_level("<eos>", bos="<bos>"),
    lambda: byte_level("<|endoftext|>", bos="<s>", marks=(*PHI, *GEMMA, *LLAMA3, "<|im_end|>")),
])
@pytest.mark.parametrize("name", NAMED)
def test_every_template_fits_every_tokenizer(name, make):
    tokenizer = make()
    text = written(tokenizer, name, TALK)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    bos = tokenizer.bos_token_id
    once = 2 if name == "llama2" else 1
    assert ids.count(bos) == (once if adds_bos(tokenizer) else 0)
    assert (ids[0] == bos) == adds_bos(tokenizer)
    template = template_for(tokenizer, Data(template=name))
    tokenizer.chat_template = template
    assert end_of_answer(tokenizer, template) in stop_token_ids(tokenizer)
    for number in (2, 4):
        prompt = written(tokenizer, name, TALK[:number], answer_next=True)
        assert text.startswith(prompt)
        assert text[len(prompt):].lstrip().startswith(TALK[number]["content"])


@pytest.mark.parametrize("name", NAMED)
def test_system_text_that_no_question_follows_is_kept(name):
    tokenizer = metaspace()
    turns = [SYSTEM, ANSWER, {"role": "system", "content": "Be kind."}]
    text = written(tokenizer, name, turns[:2])
    assert "Be brief." in text
    assert text.startswith(written(tokenizer, name, turns[:1], answer_next=True))
    assert "Be kind." in written(tokenizer, name, turns, answer_next=True)


def test_a_model_with_a_template_keeps_it_and_one_without_is_offered_chatml():
    tokenizer = byte_level("<eos>", bos="<bos>", marks=GEMMA)
    assert template_for(tokenizer, Data()) == template_for(tokenizer, Data(template="chatml"))
    assert family_of(tokenizer) == "gemma"
    _, _, why = template_names(tokenizer)[0]
    assert "none, so ChatML" in why and "Gemma" in why
    tokenizer.chat_template = {"default": "own {{ messages }}", "tool_use": "other"}
    assert template_for(tokenizer, Data()) == "own {{ messages }}"
    assert "nearly always the best" in template_names(tokenizer)[0][2]


def test_every_choice_of_the_recipe_has_a_label_and_a_file():
    from typing import get_args

    names = [name for name, _, _ in template_names(None)]
    assert sorted(names) == sorted(get_args(TemplateName))
    assert sorted(file.stem for file in FOLDER.glob("*.jinja")) == sorted(NAMED)
    assert all(label and why for _, label, why in template_names(metaspace()))


def test_an_answer_ends_where_the_chosen_template_says_and_generation_stops_there():
    tokenizer = byte_level("<|end_of_text|>", bos=LLAMA3[0], marks=LLAMA3[1:])
    assert stop_token_ids(tokenizer) == [tokenizer.eos_token_id]
    tokenizer.chat_template = template_for(tokenizer, Data(template="llama3"))
    eot = tokenizer.convert_tokens_to_ids("<|eot_id|>")
    assert stop_token_ids(tokenizer) == [tokenizer.eos_token_id, eot]
