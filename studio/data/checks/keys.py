"""Strings that open something: access tokens and private keys, by the forms their makers give.

The forms are those of detect-secrets, of which only such are used that cannot be mistaken (no
entropy, no "password = ..."), and a few of model providers. Its patterns are slow, so they are
tried only where a text holds the beginning of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

_MAKERS = {  # module and class in detect_secrets.plugins -> what every such key holds
    ("aws", "AWSKeyDetector"): ("AKIA", "ASIA"),
    ("azure_storage_key", "AzureStorageKeyDetector"): ("AccountKey=",),
    ("github_token", "GitHubTokenDetector"): ("ghp_", "gho_", "ghs_"),
    ("gitlab_token", "GitLabTokenDetector"): ("glpat-",),
    ("pypi_token", "PypiTokenDetector"): ("pypi-AgE",),
    ("sendgrid", "SendGridDetector"): ("SG.",),
    ("slack", "SlackDetector"): ("xox", "hooks.slack.com"),
    ("stripe", "StripeDetector"): ("k_live_",),
}
_OWN = {  # each begins where no word goes on, so that no text makes the search quadratic
    "hf_": re.compile(r"(?<![\w-])hf_[A-Za-z0-9]{30,}"),
    "sk-": re.compile(r"(?<![\w-])sk-(?:(?:proj|ant|svcacct|or)-[\w-]{20,}|"
                      r"(?=[A-Za-z]*\d)[A-Za-z0-9]{24,})"),
    "eyJ": re.compile(  # JSON Web Token, RFC 7519: header, claims, signature
        r"(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{4,}\.[\w-]+"),
    "AIza": re.compile(r"(?<![\w-])AIza[0-9A-Za-z_-]{35}"),
    "PRIVATE KEY": re.compile(
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[^-]*-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"),
    "github_pat_": re.compile(r"(?<![\w-])github_pat_\w{22,}"),
    ":_authToken=": re.compile(r":_authToken=\s{0,9}(?:npm_\w{20,}|[A-Fa-f0-9-]{36})"),
}
_HINTS = tuple({*_OWN, *(hint for hints in _MAKERS.values() for hint in hints)})


def find_keys(text: str) -> list[tuple[int, int]]:
    """(start, end) of every key in the text, in order, without overlaps."""
    hints = [hint for hint in _HINTS if hint in text]
    if not hints:
        return []
    spans = sorted({span for hint in hints for pattern in _patterns(hint)
                    for span in _spans(pattern, text)})
    return _longest_first(spans)


def _spans(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    for found in pattern.finditer(text):
        before = text[found.start() - 1: found.start()]
        inside_a_word = before.isalnum() or (before in "_-" and before and found[0][0].isalnum())
        if not inside_a_word:
            yield found.span()


def _longest_first(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    kept: list[tuple[int, int]] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


@cache
def _patterns(hint: str) -> tuple[re.Pattern[str], ...]:
    """The patterns to try where this hint stands in the text."""
    import importlib

    found: list[re.Pattern[str]] = [_OWN[hint]] if hint in _OWN else []
    for (module, name), hints in _MAKERS.items():
        if hint in hints:
            plugin = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)
            found += plugin.denylist
    return tuple(found)
