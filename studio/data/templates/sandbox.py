"""Compiles a chat template so that it can do nothing but write text, and not without end.

The environment is transformers' own hardened one, so what is rendered is what
`apply_chat_template` renders. Added to it: the turns of all loops are counted, and a product that
would fill the memory is refused. Output is bounded where it is joined, in `rendering.py`. A
template that doubles a text thirty times with `~` is not stopped here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment, Template

LOOP_TURNS = 2_000_000
"""Of all loops of one rendering together; about a second. Templates of models need some dozen a
conversation's turn."""
LARGEST_PRODUCT = 10_000_000
"""Characters or items that one multiplication may make."""
BUDGET_NAME = "studio_loop_budget"
"""The variable of a rendering that counts its loops."""

FAILURES = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, AssertionError,
            RecursionError, MemoryError, SyntaxError)
"""What Python raises in the expressions of a template, besides jinja2.TemplateError; SyntaxError
where Jinja's own code for it is nested too deep."""


class LoopBudget:
    """How many more turns the loops of one rendering may take."""

    def __init__(self, turns: int = LOOP_TURNS) -> None:
        self.left = turns

    def take(self, items: Any) -> Any:
        """The items of one loop, once they are paid for. Raises TemplateRuntimeError."""
        from jinja2 import TemplateRuntimeError

        if not isinstance(items, Sized) and isinstance(items, Iterable):
            items = list(islice(items, self.left + 1))
        self.left -= len(items) if isinstance(items, Sized) else 0
        if self.left < 0:
            raise TemplateRuntimeError(f"its loops take more than {LOOP_TURNS:,} turns")
        return items


@lru_cache(maxsize=64)
def compiled(template: str) -> Template:
    """The template, ready to render with `budget()` among its variables. Raises
    jinja2.TemplateSyntaxError."""
    from jinja2 import nodes

    environment = sandbox()
    tree = environment.parse(template)
    for loop in tree.find_all(nodes.For):
        loop.iter = _counted(loop.iter)
    code = environment.compile(tree)
    return environment.template_class.from_code(environment, code, dict(environment.globals))


def budget() -> dict[str, LoopBudget]:
    """The variable that a compiled template counts its loops with; a new one each rendering."""
    return {BUDGET_NAME: LoopBudget()}


def sandbox() -> Environment:
    """A new environment: transformers' own, with the bounded product."""
    # The name is private, but the environment has no other door; the tests hold it to
    # apply_chat_template.
    from transformers.utils.chat_template_utils import _compile_jinja_template

    # Past its cache, so that this environment is nobody else's.
    environment: Any = _compile_jinja_template.__wrapped__("").environment
    environment.intercepted_binops = frozenset({"*", "**"})
    environment.binop_table.update({"*": _product, "**": _power})
    environment.filters["studio_counted"] = _take
    return environment


def _counted(items: Any) -> Any:
    from jinja2 import nodes

    name = nodes.Name(BUDGET_NAME, "load", lineno=items.lineno)
    return nodes.Filter(items, "studio_counted", [name], [], None, None, lineno=items.lineno)


def _take(items: Any, left: LoopBudget) -> Any:
    return left.take(items)


def _product(left: Any, right: Any) -> Any:
    sized, times = (left, right) if isinstance(left, Sized) else (right, left)
    if isinstance(sized, Sized) and isinstance(times, int) and len(sized) * times > LARGEST_PRODUCT:
        raise OverflowError(f"a product would make more than {LARGEST_PRODUCT:,} characters")
    return left * right


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(exponent, int) and isinstance(base, int) and (
        base.bit_length() * exponent > LARGEST_PRODUCT
    ):
        raise OverflowError("a power would make a number that is too large")
    return base**exponent
