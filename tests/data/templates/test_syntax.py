"""A person's own template is told what is wrong with it before anything is rendered."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.data.templates import check_syntax, template_for
from studio.data.templates.named import FOLDER
from studio.errors import DataError
from studio.recipe import Data
from tests.data.templates.tokenizers import metaspace


@pytest.mark.parametrize(("text", "words"), [
    ("{% for m in messages %}\n  {{ mesage['content'] }}\n{% endfor %}",
     ["uses mesage, which nothing sets", "line 2, column 6", "Did you mean messages?"]),
    ("{% for m in messages %}{{ m }}{% endfor %}\n{% if add_generation_promt %}x{% endif %}",
     ["add_generation_promt", "line 2, column 7", "Did you mean add_generation_prompt?"]),
    ("{% for m in messages %}\n{% endif %}", ["not valid Jinja", "line 2, column 4"]),
    ("a\nb {{ messages | wrong }}", ["No filter named 'wrong'", "line 2, column 17"]),
    ("{{ messages[0]['content' }}", ["unexpected '}', expected ']'", "line 1"]),
    ("Hello!", ["never uses messages"]),
    ("{{ messages", ["not valid Jinja", "line 1"]),
])
def test_a_mistake_is_named_with_its_line(text, words):
    with pytest.raises(DataError) as error:
        check_syntax(text)
    for word in words:
        assert word in str(error.value)


def test_a_custom_template_is_looked_at_before_it_is_used():
    tokenizer = metaspace()
    own = "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"
    assert template_for(tokenizer, Data(template="custom", custom_template=own)) == own
    with pytest.raises(DataError, match="line 1"):
        template_for(tokenizer, Data(template="custom", custom_template="{% for %}"))


def test_switches_that_a_template_asks_for_itself_may_be_missing():
    check_syntax("{% if enable_thinking is defined and enable_thinking %}x{% endif %}{{ messages }}"
                 "{{ date_string | default('today') }}{% if not add_vision_id %}y{% endif %}"
                 "{% if messages %}{% set role = 'a' %}{% endif %}{{ role }}")


def test_templates_of_models_and_the_studios_own_are_valid():
    import trl

    theirs = (Path(trl.__file__).parent / "chat_templates").glob("*.jinja")
    files = [*theirs, *FOLDER.glob("*.jinja")]
    assert len(files) > 40
    for file in files:
        check_syntax(file.read_text(encoding="utf-8"))
