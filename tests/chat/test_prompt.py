"""Earlier thoughts go to the model exactly where its chat template shows them; one that fails is
a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.chat.prompt import opening_of, prompt_ids
from studio.errors import ModelError
from tests.tiny import CHAT_TEMPLATE, make_tokenizer

HISTORY = [{"role": "user", "content": "One?"},
           {"role": "assistant", "content": "<think>\nI guess.\n</think>\n\nParis"},
           {"role": "user", "content": "Two?"}]
DROPS = (
    "{% for message in messages %}{% set is_last = loop.last %}"
    "<|im_start|>{{ message.role }}\n"
    "{% if message.reasoning_content is string %}"
    "{% set thought = message.reasoning_content %}{% set content = message.content %}"
    "{% else %}"
    "{% set thought = message.content.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set content = message.content.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{% if message.role == 'assistant' and is_last %}<think>\n{{ thought }}\n</think>\n\n"
    "{% endif %}{{ content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Like Qwen3's: the thought of a last answer is written, those of earlier ones are not."""
KEEPS = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.reasoning_content %}<think>{{ message.reasoning_content }}</think>{% endif %}"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)


def _read(template: str, history: list[dict[str, str]]) -> str:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    return str(tokenizer.decode(prompt_ids(history, tokenizer, "a")))


def _of_trl(name: str) -> str:
    """The template of a real family of models, as it comes with TRL."""
    import trl

    file = Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja"
    return file.read_text(encoding="utf-8")


def test_a_template_that_drops_earlier_thoughts_is_let() -> None:
    read = _read(DROPS, HISTORY)
    assert "guess" not in read and "<think>" not in read
    tokenizer = make_tokenizer()
    plain = tokenizer.apply_chat_template(HISTORY, chat_template=DROPS, tokenize=False,
                                          add_generation_prompt=True)
    assert read == plain


def test_a_template_that_keeps_thoughts_gets_them_in_its_own_form() -> None:
    assert "<think>I guess.</think>Paris" in _read(KEEPS, HISTORY)


def test_a_template_that_knows_no_thoughts_gets_the_text_as_it_was_written() -> None:
    assert HISTORY[1]["content"] in _read(CHAT_TEMPLATE, HISTORY)


def test_the_same_tags_in_a_persons_turn_are_text() -> None:
    asked = [{"role": "user", "content": "<think>mine</think>Two?"}]
    assert "<think>mine</think>Two?" in _read(_of_trl("qwen3"), asked)


@pytest.mark.parametrize(("template", "opening"), [(KEEPS, "<think>\n"), (DROPS, "")])
def test_a_thought_that_the_template_begins_is_known_before_the_answer(
    template: str, opening: str
) -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    assert opening_of(prompt_ids(HISTORY, tokenizer, "a"), tokenizer) == opening


def test_tags_that_are_tokens_are_dropped_all_the_same() -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = DROPS
    tokenizer.add_tokens(["<think>", "</think>"])
    plain = tokenizer.apply_chat_template(HISTORY, add_generation_prompt=True, return_dict=True)
    assert prompt_ids(HISTORY, tokenizer, "a") == list(plain["input_ids"])


@pytest.mark.parametrize(("name", "shown"), [
    ("deepseek_r1_distill", ""), ("glm4moe", ""), ("gptoss", ""), ("qwen3", ""),
    ("qwen3_5_think", ""), ("qwen3_8", "<think>\nI guess.\n</think>\n\nParis"),
    ("qwen2_5", HISTORY[1]["content"]),
])
def test_templates_of_real_models_show_a_thought_once_or_not_at_all(name: str, shown: str) -> None:
    read = _read(_of_trl(name), HISTORY)
    assert "Paris" in read and shown in read
    assert read.count("I guess.") == bool(shown)


@pytest.mark.parametrize(("template", "said"), [
    ("{{ raise_exception('No system prompt') }}", "refuses these turns: No system prompt"),
    ("\n{{ messages[0].content + 1 }}", "line 2"),
    ("{{ mesages[0].content }}", "'mesages' is undefined"),
    ("{% for one in range(9**5) %}{% for two in range(9**5) %}{% endfor %}{% endfor %}", "loop"),
    ("{% if %}", "is not valid Jinja"),
])
def test_a_template_that_fails_says_whose_and_where(template: str, said: str) -> None:
    with pytest.raises(ModelError, match="The conversation of a cannot be answered") as refused:
        _read(template, HISTORY[:1])
    assert said in refused.value.message
