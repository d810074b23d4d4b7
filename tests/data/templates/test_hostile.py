"""No template, however wild, does more than be refused with a sentence."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from studio.data.samples import RowFault
from studio.data.templates import check_syntax, render_turns
from studio.data.templates.checks import check_template
from studio.errors import DataError
from studio.recipe import Data
from tests.data.templates.tokenizers import TALK, byte_level

PIECES = [
    "{{", "}}", "{%", "%}", "{#", "#}", "-%}", "{{ messages }}", "{% for m in messages %}",
    "{% endfor %}", "{% if m %}", "{% else %}", "{% endif %}", "{{ m.content }}", "{{ m['role'] }}",
    "{% set a = messages %}", "{{ a[0] ~ a }}", "{{ a.x.y }}", "{{ 1 / 0 }}", "{{ 'a' * 99 ** 9 }}",
    "{{ messages | sort }}", "{{ messages | join(1) }}", "{{ range(10 ** 9) | list }}",
    "{% macro f(x) %}", "{% endmacro %}", "{{ f(f) }}", "{{ caller() }}", "{{ super() }}",
    "{% call f() %}", "{% endcall %}", "{% block b %}", "{% endblock %}", "{% filter upper %}",
    "{% endfilter %}", "{% break %}", "{% generation %}", "{% endgeneration %}",
    "{{ namespace(1) }}",
    "{{ '%s %s' % 1 }}", "{{ '{0.__class__}'.format(1) }}", "{{ ''['\\ud800'] }}", "{{ [] < {} }}",
    "{{ raise_exception(1) }}", "{{ strftime_now(1) }}", "{{ none() }}", "{{ -'a' }}",
    "{% import 'a' as b %}", "{{ self }}", "{{ loop }}", "{{ dict(a=1).a.b }}",
    "{{ messages[::0] }}",
    "{% set messages = 1 %}", "{% set ns.a = 1 %}", "{{ 'a' | int(base=99) }}",
    "\n", "text", "\x00",
    "{{ messages | groupby('x') }}", "{{ messages | map('nothing') | list }}", "{{ (1).real }}",
    "{{ 'x' | format(1) }}", "{{ messages | slice(0) | list }}", "{{ messages | batch(0) | list }}",
]
WILD = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=8).map("".join)


@settings(max_examples=150, deadline=None)
@given(WILD)
def test_a_wild_template_is_rendered_or_refused(template):
    try:
        assert isinstance(render_turns(template, {"eos_token": "</s>"}, TALK), str)
    except RowFault as fault:
        assert fault.kind == "template" and "chat template" in fault.message
    try:
        check_syntax(template)
    except DataError as error:
        assert "chat template" in str(error)


TOKENIZER = byte_level("</s>", bos="<s>")


@settings(max_examples=40, deadline=None)
@given(WILD.filter(str.strip))
def test_a_wild_template_is_checked(template):
    for finding in check_template(TOKENIZER, Data(template="custom", custom_template=template)):
        assert finding.what and finding.level in ("problem", "warning", "info")


def test_a_template_nested_without_end_is_refused():
    for deep in ("{% for a in messages %}" * 60 + "{% endfor %}" * 60, "{{ " + "(" * 5000 + " }}",
                 "{{ " + "-" * 5000 + "1 }}", "{{ " + "[" * 3000 + "]" * 3000 + " }}"):
        try:
            render_turns(deep, {}, TALK)
        except RowFault as fault:
            assert "chat template" in fault.message
