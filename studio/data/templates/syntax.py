"""Whether a person's own chat template can work at all, told before anything is rendered.

Finds what Jinja cannot read, and names that nothing sets, with line and column. What a template
does with turns is tried in `checks.py`.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from studio.data.templates.sandbox import BUDGET_NAME, FAILURES, compiled, sandbox
from studio.errors import DataError

if TYPE_CHECKING:
    from jinja2 import TemplateSyntaxError, nodes

VARIABLES = ("messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token",
             "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")
"""What `apply_chat_template` passes to a template."""
_HINT = "Correct data.custom_template, or choose another data.template."
_USABLE = "A template may use messages, tools, add_generation_prompt, bos_token and eos_token. "


@lru_cache(maxsize=64)
def check_syntax(text: str) -> None:
    """Raises DataError with line and, where it can be told, column: not valid Jinja, a variable
    that nothing sets and the template does not ask for, or no use of the messages."""
    from jinja2 import TemplateSyntaxError

    try:
        compiled(text)
    except TemplateSyntaxError as error:
        raise _not_jinja(error, text) from error
    except FAILURES as error:
        raise DataError(f"The chat template cannot be read: {error}.", _HINT) from error
    environment = sandbox()
    tree = environment.parse(text)
    known = {*VARIABLES, *environment.globals, BUDGET_NAME}
    used = _undeclared(tree)
    unknown = used - known - _set_somewhere(tree) - _asked_for(tree)
    uses = _uses(tree, unknown)
    if uses:
        raise _unknown_name(min(uses, key=lambda node: node.lineno), text)
    if "messages" not in used:
        raise DataError("The chat template never uses messages, so every example would be the "
                        "same.", "Write the turns: {% for message in messages %} ...")


def _undeclared(tree: nodes.Template) -> set[str]:
    from jinja2.meta import find_undeclared_variables

    return find_undeclared_variables(tree)


def _set_somewhere(tree: nodes.Template) -> set[str]:
    """Names that the template sets itself, be it in one branch only."""
    from jinja2 import nodes

    names = {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
    return names | {node.name for node in tree.find_all(nodes.Macro)}


def _asked_for(tree: nodes.Template) -> set[str]:
    """Names that the template asks whether they are there: by `is defined`, with a default, or as
    a condition of their own. Templates of models have such switches, which are simply off. A
    condition that is nearly one of `VARIABLES` is a slip."""
    from jinja2 import nodes

    asked: list[Any] = [node.node for node in tree.find_all(nodes.Test)]
    asked += [node.node for node in tree.find_all(nodes.Filter) if node.name in ("default", "d")]
    tests = [node.test for node in tree.find_all(nodes.If)]
    tests += [node.test for node in tree.find_all(nodes.CondExpr)]
    conditions = [part for test in tests for part in _operands(test)]
    switches = {node.name for node in conditions if isinstance(node, nodes.Name)
                and not get_close_matches(node.name, VARIABLES, n=1, cutoff=0.85)}
    return switches | {node.name for node in asked if isinstance(node, nodes.Name)}


def _operands(condition: Any) -> list[Any]:
    """What `and`, `or` and `not` join in a condition."""
    from jinja2 import nodes

    if isinstance(condition, nodes.And | nodes.Or):
        return _operands(condition.left) + _operands(condition.right)
    return _operands(condition.node) if isinstance(condition, nodes.Not) else [condition]


def _uses(tree: nodes.Template, names: set[str]) -> list[nodes.Name | nodes.NSRef]:
    from jinja2 import nodes

    found: list[nodes.Name | nodes.NSRef] = list(tree.find_all(nodes.Name))
    found += tree.find_all(nodes.NSRef)
    return [node for node in found if node.name in names]


def _unknown_name(node: nodes.Name | nodes.NSRef, text: str) -> DataError:
    near = get_close_matches(node.name, VARIABLES, n=1)
    question = f"Did you mean {near[0]}? " if near else ""
    place = _place(text, node.lineno, rf"\b{re.escape(node.name)}\b")
    return DataError(f"The chat template uses {node.name}, which nothing sets, in {place}.",
                     question + _USABLE + _HINT)


def _not_jinja(error: TemplateSyntaxError, text: str) -> DataError:
    said = (error.message or "it cannot be read").rstrip(".")
    token = re.search(r"(?:unexpected|unknown tag|named) '([^']+)'", said)
    place = _place(text, error.lineno, re.escape(token[1]) if token else "")
    return DataError(f"The chat template is not valid Jinja: {said}, in {place}.", _HINT)


def _place(text: str, line: int, pattern: str) -> str:
    """ "line 3, column 12: {{ ... }}"; the column where the pattern stands once in the line."""
    lines = text.splitlines()
    shown = lines[line - 1] if 0 < line <= len(lines) else ""
    found = list(re.finditer(pattern, shown)) if pattern else []
    column = f", column {found[0].start() + 1}" if len(found) == 1 else ""
    quoted = f" ({shown.strip()})" if 0 < len(shown.strip()) <= 100 else ""
    return f"line {line}{column}{quoted}"
