"""Rendering is transformers' own, with sentences for what goes wrong and an end to everything."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from studio.data.samples import RowFault
from studio.data.templates import render_turns, special_tokens_of, template_for
from studio.data.templates.named import NAMED
from studio.recipe import Data
from tests.data.templates.tokenizers import ANSWER, PLAIN, QUESTION, TALK, byte_level, metaspace

TOOLS = [{"type": "function", "function": {
    "name": "weather", "description": "Looks out of the window.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}},
                   "required": ["city"]}}}]
CALL = {"role": "assistant", "content": "", "reasoning_content": None, "tool_calls": [
    {"id": "a1b2c3d4e", "type": "function",
     "function": {"name": "weather", "arguments": {"city": "Köln"}}}]}
RESULT = {"role": "tool", "name": "weather", "tool_call_id": "a1b2c3d4e", "content": "Rain"}
REASONED = {"role": "assistant", "content": "Paris.", "reasoning_content": "It is in Europe."}
OLD_NAME = {"role": "assistant", "content": "Paris.", "thinking": "It is in Europe."}
TALKS = [(TALK, None), (PLAIN, None), ([QUESTION, CALL, RESULT, ANSWER], TOOLS),
         ([QUESTION, REASONED, *PLAIN[2:]], None), ([QUESTION, OLD_NAME], None)]
THEIRS = ["qwen2_5", "qwen3", "llama3_1", "gemma3", "phi3", "deepseekv3", "glm4moe", "cohere2",
          "gptoss", "lfm2", "nemotron_3_nano", "qwen3_5_think"]


def template_of_trl(name):
    import trl

    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text("utf-8")


def either(render):
    """The text, or that the template refused."""
    import jinja2

    try:
        return render()
    except (RowFault, jinja2.TemplateError, TypeError):
        return "refused"


@pytest.mark.parametrize("name", [*THEIRS, *NAMED])
def test_the_text_is_that_of_apply_chat_template(name):
    tokenizer = byte_level("<eos>", bos="<bos>")
    template = (template_of_trl(name) if name in THEIRS
                else template_for(tokenizer, Data(template=name)))
    compared = 0
    for turns, tools in TALKS:
        for asked in (False, True):
            theirs = either(partial(
                tokenizer.apply_chat_template, turns, tools=tools, chat_template=template,
                tokenize=False, add_generation_prompt=asked))
            ours = either(partial(
                render_turns, template, special_tokens_of(tokenizer), turns, tools=tools,
                answer_next=asked))
            assert ours == theirs
            compared += ours != "refused"
    assert compared >= 4


def test_rendering_loads_neither_torch_nor_a_model():
    code = ("import sys\nfrom studio.data.templates.rendering import render_turns\n"
            "render_turns('{{ messages }}', {}, [])\n"
            "print({'torch', 'transformers.models.auto'} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(("template", "words"), [
    ("{# a #}\n{{ mesage['content'] }}", ["'mesage' is undefined", "line 2: {{ mesage"]),
    ("{% for m in messages %}\n{{ m.content.text.value }}\n{% endfor %}",
     ["has no attribute 'text'", "line 2"]),
    ("\n\n{{ raise_exception('Roles must alternate') }}",
     ["refuses these turns: Roles must alternate", "line 3"]),
    ("{% for m in messages %}\n{% endif %}", ["not valid Jinja", "'endif'", "line 2"]),
    ("{{ messages[0]['content'] + 1 }}", ["concatenate", "line 1"]),
    ("{{ messages | wrong }}", ["No filter named 'wrong'", "line 1"]),
    ("{{ messages.append(1) }}", ["'append' of 'list' object is unsafe", "line 1"]),
    ("{{ ''.__class__.__mro__ }}", ["unsafe", "line 1"]),
    ("{% include 'other' %}", ["no loader", "line 1"]),
    ("{{ 1 / 0 }}", ["division by zero", "line 1"]),
    ("{% macro f() %}{{ f() }}{% endmacro %}\n{{ f() }}", ["calls itself without end"]),
    ("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
     ["loops take more than 2,000,000 turns", "line 1"]),
    ("\n{{ 'a' * 10 ** 10 }}", ["a product would make more than 10,000,000", "line 2"]),
    ("{{ 10 ** 10 ** 10 }}{{ 3 ** 99999999999 }}", ["a power would", "line 1"]),
    ("{% set a = 'a' * 9999999 %}{% for i in range(50) %}{{ a }}{% endfor %}",
     ["writes more than 200,000,000 characters"]),
])
def test_an_error_names_the_line_and_what_is_wrong(template, words):
    with pytest.raises(RowFault) as fault:
        render_turns(template, {}, PLAIN)
    assert fault.value.kind == "template"
    for word in words:
        assert word in fault.value.message
    assert "data.template" in fault.value.hint
    assert str(pickle.loads(pickle.dumps(fault.value))) == str(fault.value)


def test_counting_the_loops_changes_nothing_that_a_template_can_see():
    template = (
        "{% for m in messages if m.role != 'x' %}{{ loop.index }}/{{ loop.length }}"
        "{{ loop.last }}{{ loop.previtem is defined }} {% else %}none{% endfor %}"
        "{% for key, value in messages[0] | dictsort %}{{ key }}{% endfor %}"
        "{% for m in messages | selectattr('role', 'equalto', 'user') %}{{ loop.revindex }}"
        "{% endfor %}{% for i in nothing %}{% else %}-{% endfor %}{% for c in 'abc' %}{{ c }}"
        "{% if loop.index == 2 %}{% break %}{% endif %}{% endfor %}"
        "{% for n in [[1, [2]]] recursive %}{{ n if n is number else loop(n) }}{% endfor %}")
    tokenizer = metaspace()
    theirs = tokenizer.apply_chat_template(PLAIN, chat_template=template, tokenize=False)
    assert render_turns(template, {}, PLAIN) == theirs


def test_a_conversation_that_begins_with_the_answer_has_an_empty_prompt():
    tokenizer = metaspace()
    for name in NAMED:
        template = template_for(tokenizer, Data(template=name))
        prompt = render_turns(template, special_tokens_of(tokenizer), [], answer_next=True)
        assert render_turns(template, special_tokens_of(tokenizer), [ANSWER]).startswith(prompt)
