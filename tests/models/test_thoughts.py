"""Thoughts are told apart from the answer, finished or not, and only where they begin a text."""

from __future__ import annotations

import pytest

from studio.models.thoughts import Thoughtful, opened_thought, split_thought


@pytest.mark.parametrize(("text", "thought", "answer"), [
    ("<think>\nTwo, I guess.\n</think>\n\nTwo.\n", "Two, I guess.", "Two.\n"),
    ("\n<thinking>a < b</thinking>Yes", "a < b", "Yes"),
    ("<think>\n\n</think>\n\nPlain", "", "Plain"),
    ("<think>in <thinking> in</think>out", "in <thinking> in", "out"),
    ("<think>one</think>The tag </think> ends it.", "one", "The tag </think> ends it."),
])
def test_a_thought_ends_at_its_own_tag(text: str, thought: str, answer: str) -> None:
    assert split_thought(text) == Thoughtful(thought, answer)


@pytest.mark.parametrize("text", ["", " plain ", "Write <think> first.", "<thinker>no</thinker>",
                                  "late </think> tag", "<THINK>no</THINK>"])
def test_a_text_without_a_leading_tag_is_all_answer(text: str) -> None:
    assert split_thought(text) == Thoughtful("", text)


def test_a_thought_that_never_ended_is_all_thought() -> None:
    whole = "<thinking>So</thinking> it is"
    assert split_thought(whole[:12]) == Thoughtful("So", "", is_thinking=True)
    assert split_thought("<think>") == Thoughtful("", "", is_thinking=True)


def test_a_prompt_that_begins_the_thought_is_noticed() -> None:
    assert opened_thought("<|im_start|>assistant\n<think>\n") == "<think>\n"
    assert opened_thought("<|im_start|>assistant\n<thinking>") == "<thinking>"
    assert opened_thought("<think>\n\n</think>\n\n") == opened_thought("assistant\n") == ""
