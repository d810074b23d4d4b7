"""Which prompts are asked: the tokens that the model was taught, and text that a person reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.data.lab.look import open_whole
from studio.data.lab.whole import Whole
from studio.recipe import Data
from studio.settings import Settings
from studio.training.prompts import common_system, held_out_prompts, own_prompts
from tests.tiny import make_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer()


def _whole(settings: Settings, folder: Path, tokenizer: Any, records: list[dict[str, Any]],
           **values: Any) -> Whole:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    data = Data(**{"source": str(path), "eval_fraction": 0.5, "max_length": 128, **values})
    return open_whole(data, settings, tokenizer)


def _turns(*texts: str, system: str = "") -> dict[str, Any]:
    roles = ("user", "assistant")
    turns = [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]
    return {"messages": [{"role": "system", "content": system}, *turns] if system else turns}


def test_the_last_answer_of_a_conversation_is_asked_for(
    settings: Settings, tmp_path: Path, tokenizer: Any
) -> None:
    records = [_turns("Hello", "Hi", f"What is {n}?", f"It is {n}.") for n in range(4)]
    for loss_on in ("responses", "all", "last_response"):
        whole = _whole(settings, tmp_path, tokenizer, records, loss_on=loss_on)
        [prompt] = held_out_prompts(1, whole, tokenizer)
        number = prompt.shown.rsplit(" ", 1)[1].rstrip("?")
        assert prompt.shown == f"user: Hello\nassistant: Hi\nuser: What is {number}?"
        assert prompt.expected == f"It is {number}."
        assert tokenizer.decode(prompt.ids) == (
            "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHi<|im_end|>\n"
            f"<|im_start|>user\nWhat is {number}?<|im_end|>\n<|im_start|>assistant\n")
        assert list(prompt.expected_ids) == tokenizer.encode(f"It is {number}.<|im_end|>")
        assert prompt.expected_tokens == len(prompt.expected_ids)
        assert [turn["content"] for turn in prompt.turns] == ["Hello", "Hi", f"What is {number}?"]


def test_an_answer_that_training_never_sees_is_not_asked_for(
    settings: Settings, tmp_path: Path, tokenizer: Any
) -> None:
    records = [_turns(f"A {n}", "Hi", "far " * 60, "too late") for n in range(4)]
    whole = _whole(settings, tmp_path, tokenizer, records, max_length=32)
    [prompt] = held_out_prompts(1, whole, tokenizer)
    assert prompt.expected == "Hi" and prompt.shown.startswith("A ")


def test_prompts_that_repeat_each_other_are_asked_once(
    settings: Settings, tmp_path: Path, tokenizer: Any
) -> None:
    records = [_turns("same", "answer")] * 8
    whole = _whole(settings, tmp_path, tokenizer, records)
    assert len(held_out_prompts(3, whole, tokenizer)) == 1
    assert held_out_prompts(0, whole, tokenizer) == []


def test_a_persons_prompts_get_the_system_turn_that_all_records_have(
    settings: Settings, tmp_path: Path, tokenizer: Any
) -> None:
    records = [_turns(f"{n}?", str(n), system="Be brief.") for n in range(6)]
    whole = _whole(settings, tmp_path, tokenizer, records)
    [prompt] = own_prompts(["Hello\nyou", "  ", "Hello\nyou"], whole, tokenizer)
    assert (prompt.shown, prompt.expected) == ("Hello\nyou", None)
    assert tokenizer.decode(prompt.ids) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello\nyou<|im_end|>\n"
        "<|im_start|>assistant\n")
    assert held_out_prompts(1, whole, tokenizer)[0].shown.endswith("?")
    mixed = [*records[:3], _turns("a", "b", system="Be long.")] * 3
    assert common_system(_whole(settings, tmp_path, tokenizer, mixed, eval_fraction=0.0)) == []


def test_texts_without_turns_are_continued(
    settings: Settings, tmp_path: Path, tokenizer: Any
) -> None:
    records = [{"text": f"The capital of France is Paris, said number {n}."} for n in range(4)]
    whole = _whole(settings, tmp_path, tokenizer, records, format="text")
    [prompt] = held_out_prompts(1, whole, tokenizer)
    assert prompt.expected is not None and len(prompt.ids) > 3
    assert (tokenizer.decode(prompt.ids) + prompt.expected) in [one["text"] for one in records]
    [own] = own_prompts(["The capital"], whole, tokenizer)
    assert tokenizer.decode(own.ids) == "The capital"
