"""What the Serve part of the Chat tab shows: whether the endpoint is open, and how to use it. Pure.

The key never stands here: the page has a masked box for it, and examples leave a place for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from studio.ui import markup
from studio.ui.endpoint_desk import EndpointState
from studio.ui.words import counted

YOUR_KEY = "YOUR KEY"
QUESTION = "Two pizzas and a cola for Anna, please."
WORDS = {"off": "Off", "opening": "Opening", "on": "On", "closing": "Closing"}
LOOKS = {"opening": "loading", "on": "done", "closing": "loading"}


def status_view(now: EndpointState) -> str:
    """Whether it is open, what it has answered, and why it is not."""
    pill = (f'<span class="pill pill-{LOOKS.get(now.phase, "off")}">{WORDS[now.phase]}</span>')
    parts = [f'<div class="endpoint-status" data-phase="{now.phase}">{pill}'
             f'<span class="quiet">{escape(_sentence(now))}</span></div>']
    if now.step is not None:
        parts.append(markup.step_bar(now.step))
    if now.error:
        parts.append(markup.note(*now.error, "problem"))
    return "".join(parts)


def _sentence(now: EndpointState) -> str:
    if now.phase != "on":
        return {"off": "No other program can ask.", "opening": "One moment.",
                "closing": "Answers under way are ended."}[now.phase]
    if not now.answered + now.unanswered + now.at_work:
        return "Nobody has asked yet."
    told = [f"{counted(now.answered, 'request')} answered"]
    if now.at_work:
        told.append(f"{now.at_work} at work")
    if now.unanswered:
        told.append(f"{now.unanswered} refused or broken off")
    return f"{', '.join(told)}."


def usage_view(now: EndpointState) -> str:
    """Address, model names, and examples that can be copied; nothing while it is closed."""
    if now.phase != "on":
        return ""
    stays = ('<p class="quiet">They answer until this is switched off, whatever you choose above.'
             "</p>")
    names = "".join(f"<li><code>{escape(name)}</code></li>" for name in now.models)
    key = "" if now.key else '<p class="quiet">No key is asked for; where a program wants one, ' \
        "any text will do.</p>"
    return (
        f'<div class="endpoint"><div class="copied endpoint-url"><span>Address</span>'
        f"<code>{escape(now.url)}</code>{markup.COPY_BUTTON}</div>"
        f'<div class="endpoint-models"><span>Models</span><ul>{names}</ul></div>{stays}{key}'
        f"<h5>In Python</h5>{markup.copied(python_example(now))}"
        f"<h5>In a terminal</h5>{markup.copied(curl_example(now))}</div>"
    )


def python_example(now: EndpointState) -> str:
    """A few lines for OpenAI's own package, the last model asked."""
    key = YOUR_KEY if now.key else "any text"
    return (
        "from openai import OpenAI\n\n"
        f"client = OpenAI(base_url={json.dumps(now.url)}, api_key={json.dumps(key)})\n"
        "reply = client.chat.completions.create(\n"
        f"    model={json.dumps(_last(now.models), ensure_ascii=False)},\n"
        f'    messages=[{{"role": "user", "content": {json.dumps(QUESTION)}}}],\n'
        ")\n"
        "print(reply.choices[0].message.content)"
    )


def curl_example(now: EndpointState) -> str:
    """One line for curl, quoted so that Windows and others understand it."""
    body = json.dumps({"model": _last(now.models),
                       "messages": [{"role": "user", "content": QUESTION}]})
    quoted = body.replace("\\", "\\\\").replace('"', '\\"')
    key = f' -H "Authorization: Bearer {YOUR_KEY}"' if now.key else ""
    return (f'curl {now.url}/chat/completions -H "Content-Type: application/json"{key} '
            f'-d "{quoted}"')


def _last(models: Sequence[str]) -> str:
    return models[-1] if models else ""
