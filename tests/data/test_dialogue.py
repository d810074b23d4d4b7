"""Texts that mark their speakers are read as turns, and others are left alone."""

from __future__ import annotations

import pytest

from studio.data.dialogue import read_dialogue, read_prompt, style_of


def said(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


QA = said(("user", "q"), ("assistant", "a"))
SQA = said(("system", "s"), ("user", "q"), ("assistant", "a"))


@pytest.mark.parametrize(("text", "turns"), [
    ("### Human: q### Assistant: a", QA),
    ("### Human: q\n### Assistant: a\n###", QA),
    ("### System:\ns\n\n### User:\nq\n\n### Assistant:\na", SQA),
    ("### Instruction:\nq\n\n### Input:\nc\n\n### Response:\na",
     said(("user", "q\n\nc"), ("assistant", "a"))),
    ("Below is a task.\n\n### Instruction:\nq\n\n### Response:\na</s>",
     said(("system", "Below is a task."), *((t["role"], t["content"]) for t in QA))),
    ("\n\nHuman: q\n\nAssistant: a", QA),
    ("Human: q\nAssistant: a\nHuman: q\nAssistant: a", QA * 2),
    ("User: q\nAssistant: a", QA),
    ("User: q\nAI: a", QA),
    ("USER: q ASSISTANT: a</s>USER: q ASSISTANT: a</s>", QA * 2),
    ("s USER: q ASSISTANT: a</s>", SQA),
    ("[INST] q [/INST] a", QA),
    ("<s>[INST] <<SYS>>\ns\n<</SYS>>\n\nq [/INST] a </s><s>[INST] q [/INST] a </s>", SQA + QA),
    ("<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
     "a<|im_end|>\n", SQA),
    ("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>"
     "<|start_header_id|>assistant<|end_header_id|>\n\na<|eot_id|>", QA),
    ("<bos><start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\na<end_of_turn>\n", QA),
    ("<|system|>\ns</s>\n<|user|>\nq</s>\n<|assistant|>\na</s>", SQA),
    ("<|user|>\nq<|end|>\n<|assistant|>\na<|end|>\n", QA),
])
def test_each_style_gives_its_turns_without_the_marks(text, turns):
    assert read_dialogue(text) == turns


def test_an_answer_may_quote_the_marks_of_another_style():
    text = "### Human: q### Assistant: write\nHuman: x\nAssistant: y\nUSER: z"
    assert read_dialogue(text) == said(
        ("user", "q"), ("assistant", "write\nHuman: x\nAssistant: y\nUSER: z"))


def test_marks_inside_a_line_are_words_where_a_style_writes_them_at_its_start():
    text = "Human: who is the Assistant: you?\nAssistant: a"
    assert read_dialogue(text) == said(("user", "who is the Assistant: you?"), ("assistant", "a"))


@pytest.mark.parametrize("text", [
    "", " ", "words", "Human beings are", "# Title\n\nText about USER: and nothing else",
    "Human: a question that nobody answers", "### Instructions for use: none", "[INST] open",
    "<|im_start|>user\nq<|im_end|>", "The User: said. Assistant: none", "<s>", "[1] [2]",
])
def test_a_text_without_a_question_and_an_answer_is_no_dialogue(text):
    assert style_of(text) is None
    assert read_dialogue(text) is None


@pytest.mark.parametrize("text", ["\n\nHuman: q\n\nAssistant:", "[INST] q [/INST]",
                                  "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n",
                                  "### Human: q### Assistant: "])
def test_a_prompt_that_stops_before_its_answer_is_read_as_turns(text):
    assert read_prompt(text) == QA[:1]


def test_a_prompt_in_plain_words_or_with_an_answer_is_not():
    assert read_prompt("Who is the assistant?") is None
    assert read_prompt("Human: q\nAssistant: a:") is None


@pytest.mark.parametrize("text", [
    " " * 1_000_000, "</s>" * 250_000, "### " * 250_000, "\n" * 1_000_000 + "Human:",
    "### Human: q" + " " * 1_000_000 + "### Assistant: a", "### Human:" * 50_000,
    "[INST]" * 100_000 + "[/INST]", "USER: " * 100_000 + "ASSISTANT: a",
])
def test_a_megabyte_of_one_mark_is_read_in_the_time_that_its_length_takes(text):
    style_of(text)
    read_dialogue(text)
