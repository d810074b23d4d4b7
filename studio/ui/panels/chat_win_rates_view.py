"""What the votes of blind tests say, as tables: how often each column wins, and who beats whom.

Pure. The numbers come from `studio.chat.win_rates`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from studio.chat.votes import Contestant, Vote
from studio.chat.win_rates import Duel, WinRate, contestants_of, duels, win_rates
from studio.ui import markup
from studio.ui.words import counted

ENOUGH = 0.5
"""Who wins more than this share of the decided votes against another is the better one."""


def win_rates_view(votes: Sequence[Vote]) -> str:
    """Both tables, or how to get there."""
    if not votes:
        return markup.empty("No votes yet", "Every vote is kept and counted here.")
    names = names_of(votes)
    rates = "".join(_rate_row(one, names) for one in win_rates(votes))
    head = "".join(f'<th class="right">{title}</th>' for title in (
        "Best", "Not best", "Ties", "All bad"))
    return (
        f'<p class="quiet" data-votes="{len(votes)}">{counted(len(votes), "vote")}. The line shows '
        "where the true share of wins lies with 95 % confidence (Wilson interval); the mark on it "
        "is what guessing would win.</p>"
        f'<div class="compare-box"><table class="plain rates"><thead><tr><th>Column</th>{head}'
        f'<th class="right">Share of wins</th><th class="interval-head"></th></tr></thead>'
        f"<tbody>{rates}</tbody></table></div>{_duels(duels(votes), names)}")


def names_of(votes: Sequence[Vote]) -> dict[Contestant, str]:
    """What each contestant is called; where two share a name, what tells them apart is added."""
    found = contestants_of(votes)
    given = Counter(one.name for one in found)
    return {one: one.name if given[one.name] == 1 else f"{one.name} ({_apart(one, found)})"
            for one in found}


def _apart(one: Contestant, found: Sequence[Contestant]) -> str:
    others = [other for other in found if other.name == one.name and other != one]
    if all(other.strength != one.strength for other in others):
        return f"strength {one.strength:g}"
    if all(other.model != one.model for other in others):
        return one.model
    return f"weights {one.fingerprint[:6]}" if one.fingerprint else one.model


def _rate_row(one: WinRate, names: dict[Contestant, str]) -> str:
    counts = "".join(f'<td class="right">{count:,}</td>'
                     for count in (one.wins, one.losses, one.ties, one.all_bad))
    name = names[one.contestant]
    return (f'<tr data-contestant="{escape(name)}" data-wins="{one.wins}">'
            f'<th scope="row">{escape(name)}</th>{counts}'
            f'<td class="right">{_percent(one.rate)}</td>'
            f"<td>{_interval(one.interval, one.rate, one.chance)}</td></tr>")


def _duels(found: Sequence[Duel], names: dict[Contestant, str]) -> str:
    if not found:
        return ""
    rows = "".join(_duel_row(one, names) for one in found)
    return ('<h4>Two at a time</h4><div class="compare-box"><table class="plain rates"><thead><tr>'
            '<th>Pair</th><th class="right">Won</th><th class="right">Ties</th>'
            '<th class="right">Share</th><th class="interval-head"></th><th>What it says</th></tr>'
            f"</thead><tbody>{rows}</tbody></table></div>")


def _duel_row(one: Duel, names: dict[Contestant, str]) -> str:
    first, second = names[one.one], names[one.other]
    return (f'<tr><th scope="row">{escape(first)} against {escape(second)}</th>'
            f'<td class="right">{one.wins:,} : {one.losses:,}</td>'
            f'<td class="right">{one.ties:,}</td><td class="right">{_percent(one.rate)}</td>'
            f"<td>{_interval(one.interval, one.rate, ENOUGH)}</td>"
            f"<td>{escape(duel_words(one, first, second))}</td></tr>")


def duel_words(one: Duel, first: str, second: str) -> str:
    """What a duel lets one say."""
    low, high = one.interval
    if low > ENOUGH:
        return f"{first} is better"
    if high < ENOUGH:
        return f"{second} is better"
    return "Open: more votes are needed"


def _interval(interval: tuple[float, float], rate: float | None, mark: float | None) -> str:
    if rate is None:
        return ""
    low, high = interval
    chance = f'<span class="interval-mark" style="left:{100 * mark:.1f}%"></span>' if mark else ""
    said = f"{100 * low:.0f} to {100 * high:.0f} %"
    return (f'<div class="interval-cell"><div class="interval" title="{said}">'
            f'<span class="interval-line" style="left:{100 * low:.1f}%;'
            f'width:{100 * (high - low):.1f}%"></span>{chance}'
            f'<span class="interval-dot" style="left:{100 * rate:.1f}%"></span></div>'
            f'<span class="quiet">{said}</span></div>')


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.0f} %"
