"""What the Dataset tab shows: pure functions from a Look or a Record to escaped HTML."""

from __future__ import annotations

import json
from html import escape

from studio.ui import markup
from studio.ui.data_desk import Look, Record

PROBLEMS_SHOWN = 50
FORMAT_WORDS = {
    "alpaca": "Alpaca: instruction, input, output", "messages": "Chat: messages with roles",
    "sharegpt": "ShareGPT: conversations", "prompt_completion": "Prompt and completion",
    "text": "Plain text", "preference": "Preferences: chosen and rejected",
    "kto": "Answers judged good or bad", "prompts": "Prompts without answers",
}
INVISIBLE = {"\n": "↵\n", "\t": "→\t"}


def found_view(look: Look | None) -> str:
    """Format with the reason, counts, lengths, and what is wrong."""
    if look is None:
        return markup.empty("Nothing read yet", "Choose data on the left.")
    found = look.inspection
    name = FORMAT_WORDS.get(found.format or "", "Not recognised")
    head = (
        f'<div class="found" data-format="{escape(found.format or "")}" data-rows="{found.rows}">'
        f'<div class="found-format">{escape(name)}</div>'
        f'<div class="quiet">{escape(found.why)}</div></div>'
    )
    return head + _numbers(look) + _problems(look)


def _numbers(look: Look) -> str:
    found, numbers = look.inspection, look.inspection.statistics
    pairs = [
        ("rows", "records", f"{found.rows:,}"),
        ("examples", "usable examples", f"{numbers.examples:,}"),
    ]
    if numbers.tokens_total is not None and numbers.tokens_median is not None:
        pairs += [
            ("tokens", "tokens in all", f"{numbers.tokens_total:,}"),
            ("median", "tokens, median", f"{numbers.tokens_median:,.0f}"),
            ("longest", "tokens, longest", f"{numbers.tokens_max:,}"),
            ("truncated", "cut off", f"{numbers.truncated:,}"),
        ]
        share = 100 * (numbers.loss_tokens or 0) / max(numbers.tokens_total, 1)
        pairs.append(("learned", "of it learned", f"{share:.0f} %"))
    return markup.tiles(pairs)


def _problems(look: Look) -> str:
    problems = look.inspection.problems
    hint = ""
    if look.tokenizer is None:
        hint = markup.note("Lengths and the rendered text need the base model's tokenizer.",
                           "Get the model on the Hardware tab; it is not on this PC yet.")
    if not problems:
        return hint or markup.note("No problems found.", level="good")
    rows = "".join(
        f"<tr><td>{escape(problem.where)}</td><td>{escape(problem.what)}"
        f'<div class="quiet">{escape(problem.hint)}</div></td></tr>'
        for problem in problems[:PROBLEMS_SHOWN]
    )
    more = len(problems) - PROBLEMS_SHOWN
    rest = f'<div class="quiet">and {more:,} more</div>' if more > 0 else ""
    count = "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"
    return (
        f'{hint}<details class="problems" open data-count="{len(problems)}">'
        f'<summary>{count}</summary><div class="problem-list"><table class="plain"><tbody>{rows}'
        f"</tbody></table>{rest}</div></details>"
    )


def raw_view(record: Record | None) -> str:
    """The record as it stands in the file."""
    if record is None:
        return markup.empty("No record", "Nothing in the source can be read.")
    text = json.dumps(record.row, indent=2, ensure_ascii=False, default=str)
    return f'<pre class="record" data-place="{escape(record.place)}">{escape(text)}</pre>'


def rendered_view(record: Record | None) -> str:
    """The record as the model sees it: one span per token, learned ones coloured."""
    if record is None:
        return markup.empty("Nothing to render", "Choose data with readable records.")
    if record.problem is not None:
        return markup.note(record.problem.message, record.problem.hint, "warning")
    if record.example is None:
        return markup.empty(
            "Not rendered", "This needs a recognised format, and the base model on this PC: "
            "get it on the Hardware tab.")
    example = record.example
    tokens = "".join(_token(text, learned, record.special_tokens)
                     for text, learned in example.pieces if text)
    cut = (f'<span class="token-cut" title="Behind the maximum length: never seen">'
           f"{escape(example.cut_text)}</span>" if example.truncated else "")
    return f'<pre class="rendered">{tokens}{cut}</pre>{_key(record)}'


def _token(text: str, learned: bool, special: frozenset[str]) -> str:
    shown = escape(text)
    for character, sign in INVISIBLE.items():
        shown = shown.replace(character, sign)
    kinds = "token" + (" token-learned" if learned else "")
    kinds += " token-special" if text in special else ""
    return f'<span class="{kinds}">{shown}</span>'


def _key(record: Record) -> str:
    example = record.example
    assert example is not None
    tokens = len(example.input_ids) + example.cut_tokens
    cut = (f'<span><b class="token-cut">cut off</b> {example.cut_tokens:,} tokens</span>'
           if example.truncated else "")
    return (
        f'<div class="key"><span><b class="token-learned">learned</b> '
        f"{example.loss_tokens:,} of {tokens:,} tokens</span>"
        f'<span><b class="token-special">&lt;|special|&gt;</b> control tokens</span>{cut}</div>'
    )
