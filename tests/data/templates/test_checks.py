"""What is wrong with a chat template is told before a run, and nothing is said of a sound one."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.data.samples import Conversation, Judged, PlainText, Preference, PromptOnly
from studio.data.templates.checks import check_template
from studio.data.templates.extras import extras_of
from studio.data.templates.named import NAMED
from studio.recipe import Data
from tests.data.templates.tokenizers import ANSWER, PLAIN, QUESTION, TALK, byte_level, metaspace

SOUND = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ eos_token }}"
    "\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def chatty():
    return byte_level("<|im_end|>", bos="<s>", marks=("<|im_start|>",))


def found(template, *, tokenizer=None, extras=("system",), **data):
    """key without its beginning -> finding, for a person's own template."""
    data = Data(template="custom", custom_template=template, **data)
    findings = check_template(tokenizer or chatty(), data, extras=extras)
    assert all(one.title and one.what and one.count == 1 for one in findings)
    return {one.key.removeprefix("template_"): one for one in findings}


def changed(old, new):
    assert old in SOUND
    return SOUND.replace(old, new)


def test_a_sound_template_has_no_findings():
    assert found(SOUND) == {}


@pytest.mark.parametrize(("template", "key", "level", "words"), [
    (changed("{{ bos_token }}", "<s>{{ bos_token }}"), "double_bos", "problem", "<s> twice"),
    (changed("{{ bos_token }}", ""), "no_bos", "warning", "does not write it"),
    (changed("{{ eos_token }}", ""), "no_end", "problem", "never learns to stop"),
    (changed("{{ eos_token }}", "{% if loop.last %}{{ eos_token }}{% endif %}"),
     "no_end_between", "warning", "behind the earlier ones it does not"),
    (changed("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"),
     "system_dropped", "problem", "never taught"),
    (changed("{% for m in messages %}", "{% for m in messages %}{% if m.role == 'system' %}"
             "{{ raise_exception('No system text') }}{% endif %}"),
     "system_refused", "problem", "No system text"),
    (changed("{% for m in messages %}", "{% for m in messages[-2:] %}"),
     "content_lost", "problem", "turns 1, 2"),
    (changed("{{ m.content }}", "{{ m.text }}"), "content_lost", "problem", "turns 1, 2, 3, 4"),
    (changed("{{ m.content }}", "{{ m.content | trim }}"), "trims", "info", "indent"),
    (changed("{{ m.role }}", "{{ m.role }} {{ loop.revindex }}"), "not_maskable", "problem",
     "renders turn 2 differently"),
    (changed("{% if add_generation_prompt %}", "{% if false %}"), "prompt_short", "warning",
     "<|im_start|>assistant"),
    (changed("<|im_start|>assistant\n", "<|im_start|>assistant\n<think>"), "prompt_differs",
     "warning", "not how the taught text begins"),
    (SOUND + "{{ strftime_now('%Y') }}", "dated", "info", "tomorrow"),
    ("{{ messages[0].content.upper(1) }}", "refuses", "problem", "line 1"),
    ("{{ mesages }}", "invalid", "problem", "mesages, which nothing sets"),
    (SOUND + "{% if messages | length > 3 %}{{ raise_exception('Too long') }}{% endif %}",
     "one_answer", "warning", "Too long"),
])
def test_each_mistake_is_found(template, key, level, words):
    findings = found(template)
    assert findings[key].level == level
    assert words in findings[key].what


def test_only_what_the_data_has_is_said_to_be_lost():
    drops = changed("{% for m in messages %}", "{% for m in messages if m.role != 'system' %}")
    assert found(drops, extras=()) == {}
    unknown = found(drops, extras=None)
    assert unknown["system_dropped"].level == "warning"
    assert unknown["tools_dropped"].level == unknown["reasoning_dropped"].level == "info"
    known = found(drops, extras=("tools", "reasoning"))
    assert known["tools_dropped"].level == known["reasoning_dropped"].level == "problem"
    assert "the calls" in known["tools_dropped"].what
    assert "the results" not in known["tools_dropped"].what


def test_learning_from_everything_needs_no_mask():
    numbered = changed("{{ m.role }}", "{{ m.role }} {{ loop.revindex }}")
    assert "not_maskable" not in found(numbered, loss_on="all")


def test_reasoning_that_only_the_last_answer_keeps_is_told():
    keeps = changed("{{ m.content }}", "{% if loop.last %}{{ m.reasoning_content or '' }}"
                    "{% endif %}{{ m.content }}")
    assert found(keeps, extras=("reasoning",))["earlier_reasoning_dropped"].level == "info"


def test_text_that_tokens_change_is_told():
    lost = found("{{ bos_token }}{% for m in messages %}{{ m.role }} {{ m.content }}{{ eos_token }}"
                 "{% endfor %}{% if add_generation_prompt %}assistant {% endif %}",
                 tokenizer=metaspace(collapses=True))
    assert lost["changed_by_tokens"].level == "problem"
    assert "line breaks" in lost["changed_by_tokens"].what
    assert "letters" not in lost["changed_by_tokens"].what


@pytest.mark.parametrize("make", [chatty, metaspace])
@pytest.mark.parametrize("name", NAMED)
def test_the_studios_own_templates_have_no_problems(name, make):
    findings = check_template(make(), Data(template=name), extras=("system",))
    keys = {one.key for one in findings}
    assert keys <= {"template_marks_spelled", "template_trims"}
    assert ("template_trims" in keys) == (name in ("llama2", "llama3", "gemma"))


def test_a_base_model_is_offered_chatml_and_told_what_its_tokens_are_of():
    gemma = byte_level("<eos>", bos="<bos>", marks=("<start_of_turn>", "<end_of_turn>"))
    findings = {one.key: one for one in check_template(gemma, Data(), extras=())}
    assert "ChatML" in findings["template_missing"].what
    assert "data.template gemma" in findings["template_missing"].hint
    assert findings["template_marks_spelled"].level == "info"
    assert check_template(gemma, Data(template="gemma"), extras=("tools",))[0].level == "problem"


def test_a_template_for_pictures_that_writes_no_text_is_a_problem():
    import trl

    template = (Path(trl.__file__).parent / "chat_templates" / "smolvlm.jinja").read_text("utf-8")
    tokenizer = chatty()
    tokenizer.chat_template = template
    first = check_template(tokenizer, Data(), extras=())[0]
    assert (first.key, first.level) == ("template_content_lost", "problem")


def test_one_token_that_begins_and_ends_texts_still_ends_an_answer():
    tokenizer = byte_level("<|endoftext|>", bos="<|endoftext|>")
    for name in ("alpaca", "mistral", "llama2", "vicuna"):
        keys = {one.key for one in check_template(tokenizer, Data(template=name), extras=())}
        assert keys <= {"template_trims"}


def test_the_starter_has_no_problems(starter_model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(starter_model)
    assert check_template(tokenizer, Data(), extras=("system",)) == []


def test_extras_of_every_kind_of_sample():
    thought = {**ANSWER, "thinking": "Hm."}
    called = {"role": "assistant", "content": "", "tool_calls": [{"name": "a"}]}
    assert extras_of(PlainText("a")) == extras_of(Conversation(PLAIN)) == set()
    assert extras_of(Conversation(TALK)) == {"system"}
    assert extras_of(Conversation(PLAIN, tools=[{"name": "a"}])) == {"tools"}
    assert extras_of(Preference([QUESTION], [ANSWER], [called])) == {"tools"}
    assert extras_of(Judged(TALK[:2], [thought], True)) == {"system", "reasoning"}
    assert extras_of(PromptOnly(TALK[:2])) == {"system"}
