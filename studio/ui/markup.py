"""Small pieces of page as escaped HTML: bars, tiles, notes, empty states. Pure functions.

Everything that comes from files, models, or people passes `html.escape` here; the classes are
styled by the theme's style sheets.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from studio.progress import Step


def heading(title: str, text: str = "") -> str:
    """The title of a card, with a quiet sentence below it."""
    more = f'<p class="quiet">{escape(text)}</p>' if text else ""
    return f"<h3>{escape(title)}</h3>{more}"


def tile(label: str, value: str, *, key: str = "") -> str:
    """A number with its name below. `key` lets a test or a script find it."""
    mark = f' data-key="{escape(key)}"' if key else ""
    return (f'<div class="tile"{mark}><div class="tile-value">{escape(value)}</div>'
            f'<div class="tile-label">{escape(label)}</div></div>')


def tiles(pairs: Iterable[tuple[str, str, str]]) -> str:
    """A row of tiles from (key, label, value)."""
    inner = "".join(tile(label, value, key=key) for key, label, value in pairs)
    return f'<div class="tiles">{inner}</div>'


def bar(fraction: float | None, label: str = "") -> str:
    """A progress bar; None moves without an end, since the end is unknown."""
    known = fraction is not None
    width = f"{100 * (fraction or 0):.1f}%" if known else "30%"
    kind = "bar-fill" if known else "bar-fill bar-waiting"
    now = f' aria-valuenow="{100 * (fraction or 0):.0f}"' if known else ""
    return (
        f'<div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100"{now} '
        f'aria-label="{escape(label or "progress")}">'
        f'<div class="{kind}" style="width:{width}"></div></div>'
    )


def step_bar(step: Step | None, waiting: str = "Starting") -> str:
    """A bar with its words: what, how far, of how much."""
    what = step.what if step else waiting
    fraction = step.fraction if step else None
    return (f'<div class="bar-line"><span>{escape(what)}</span>'
            f'<span class="quiet">{escape(how_far(step))}</span></div>{bar(fraction, what)}')


def how_far(step: Step | None) -> str:
    """"12 of 40 layers", "3.1 MB of 98.4 MB", or nothing where nothing is known."""
    if step is None:
        return ""
    from studio.files import readable_bytes

    if step.unit in ("B", "bytes"):
        done = readable_bytes(step.done)
        return done if not step.total else f"{done} of {readable_bytes(step.total)}"
    if not step.total:
        return f"{step.done:,.0f} {step.unit}".strip() if step.done else ""
    return f"{step.done:,.0f} of {step.total:,.0f} {step.unit}".strip()


def note(text: str, hint: str = "", level: str = "info") -> str:
    """A boxed sentence. `level` is info, good, warning, or problem."""
    more = f'<div class="note-hint">{escape(hint)}</div>' if hint else ""
    role = ' role="alert"' if level == "problem" else ""
    return f'<div class="note note-{level}"{role}><div>{escape(text)}</div>{more}</div>'


def sign_button(what: str, name: str, label: str, sign: str, *, title: str = "",
                is_off: bool = False) -> str:
    """A button of a row that is a single sign: does `what` to `name`, read out as `title`. Presses
    are told by a script of `presses.py`."""
    return (f'<button type="button" class="sign" data-what="{what}" data-name="{escape(name)}" '
            f'title="{label}" aria-label="{label}: {escape(title or name)}"'
            f'{" disabled" if is_off else ""}>{sign}</button>')


def empty(title: str, what_to_do: str) -> str:
    """What stands where nothing is yet, and how to change that."""
    return (f'<div class="empty"><div class="empty-title">{escape(title)}</div>'
            f'<div class="empty-text">{escape(what_to_do)}</div></div>')


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values in two columns."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
    return f'<dl class="facts">{rows}</dl>'


def preformatted(text: str) -> str:
    """Text as it stands, such as YAML or a command."""
    return f'<pre class="verbatim">{escape(text)}</pre>'


COPY_BUTTON = '<button type="button" class="copy">Copy</button>'


def copied(text: str) -> str:
    """The same with a button that copies it, by `presses.COPY_SCRIPT`."""
    return f'<div class="copied">{preformatted(text)}{COPY_BUTTON}</div>'


def readable_seconds(seconds: float | None) -> str:
    """75 -> '1 min 15 s'; an unknown time is a dash."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
