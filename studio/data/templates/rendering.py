"""From turns to text through a chat template, with errors that name the template's line.

The text is equal to that of transformers' `apply_chat_template`, which passes the same variables.
Imports no model code, so that worker processes stay small. Which template is meant is decided in
`chosen.py`; where the answers stand in the text is `render.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from studio.data.samples import RowFault, Turn
from studio.data.templates.sandbox import FAILURES, budget, compiled

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LARGEST_TEXT = 200_000_000
"""Characters of one rendering: some times the longest line that is read."""
_HINT = "Correct the turns, or choose another data.template."


def special_tokens_of(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """What a template sees of the tokenizer: "bos_token", "eos_token" and so on, where known."""
    return dict(tokenizer.special_tokens_map)


def render_turns(
    template: str, special_tokens: Mapping[str, str], turns: Sequence[Turn], *,
    tools: list[dict[str, Any]] | None = None, answer_next: bool = False,
) -> str:
    """The text of the turns; with `answer_next` up to where the next answer begins.

    The turns are JSON-like values. Raises RowFault("template", ...) where the template refuses
    them, is wrong, or would write without end.
    """
    from jinja2 import TemplateError

    try:
        return _joined(compiled(template).generate(
            **special_tokens, **budget(), messages=_as_seen(turns), tools=tools, documents=None,
            add_generation_prompt=answer_next,
        ))
    except (TemplateError, *FAILURES) as error:
        raise _fault(error, template) from error


def _as_seen(turns: Sequence[Turn]) -> list[Turn]:
    """The turns as `apply_chat_template` passes them: parts that are None are not there, and
    reasoning is found under each of its names."""
    from transformers.utils.chat_template_utils import _alias_reasoning_fields

    present = [{key: value for key, value in turn.items() if value is not None} for turn in turns]
    return _alias_reasoning_fields(present)


def _joined(chunks: Any) -> str:
    from jinja2 import TemplateRuntimeError

    kept = []
    length = 0
    for chunk in chunks:
        kept.append(chunk)
        length += len(chunk)
        if length > LARGEST_TEXT:
            raise TemplateRuntimeError(f"it writes more than {LARGEST_TEXT:,} characters")
    return "".join(kept)


def _fault(error: Exception, template: str) -> RowFault:
    return RowFault("template", f"the chat template {explained(error, template)}.", _HINT)


def explained(error: Exception, template: str) -> str:
    """What a template did wrong and where: "refuses these turns: ... (line 3: {{ ... }})".

    Jinja's messages name the variable: "'mesage' is undefined".
    """
    from jinja2 import TemplateError, TemplateSyntaxError

    did, line = "cannot render these turns", _line_of(error)
    said = _without_dot(str(error) or type(error).__name__)
    if isinstance(error, TemplateSyntaxError):
        did, line = "is not valid Jinja", error.lineno
    elif type(error) is TemplateError:  # raise_exception: the template's own words
        did = "refuses these turns"
    elif isinstance(error, RecursionError):
        said = "it calls itself without end"
    place = "" if line is None else f" (line {line}{_shown(line, template, said)})"
    return f"{did}: {said}{place}"


def _without_dot(text: str) -> str:
    return text if text.endswith("...") else text.removesuffix(".")


def _line_of(error: BaseException) -> int | None:
    """The last line of the template that was being rendered; Jinja rewrites the traceback."""
    lines = [line for frame, line in walk_tb(error.__traceback__)
             if frame.f_code.co_filename in ("<template>", "<unknown>")]
    return lines[-1] if lines else None


def _shown(line: int, template: str, said: str) -> str:
    """The text of that line, where it is short enough to help and says something new."""
    lines = template.splitlines()
    text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    return f": {text}" if 0 < len(text) <= 100 and said not in text else ""
