"""Where the token for the Hub comes from: the environment, the system's keyring, or hf's login.

The token itself is handed to the Hub's client and to nobody else: it is in no plan, file or log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from studio.extras import is_installed

if TYPE_CHECKING:
    from studio.settings import Settings

KEYRING_SERVICE, KEYRING_NAME = "adapter-studio", "hub"
HOW_TO = ("Make one with write access at https://huggingface.co/settings/tokens, then type hf auth "
          "login in a terminal, or set HF_TOKEN before the studio starts.")


@dataclass(frozen=True)
class HubToken:
    """`source` is where it was found, in words."""

    value: str = field(repr=False)
    source: str


def known_token(settings: Settings) -> HubToken | None:
    """The first that there is; None where there is none."""
    if settings.hub_token:
        return HubToken(settings.hub_token, "HF_TOKEN")
    stored = _from_keyring()
    if stored:
        return HubToken(stored, "the keyring")
    from huggingface_hub import get_token

    login = get_token()
    return HubToken(login, "the login of hf") if login else None


def _from_keyring() -> str | None:
    """Kept with `keyring set adapter-studio hub`; read only where that package is installed."""
    if not is_installed("keyring"):
        return None
    import keyring
    from keyring.errors import KeyringError

    try:
        found: str | None = keyring.get_password(KEYRING_SERVICE, KEYRING_NAME)
    except KeyringError:
        return None  # this system has none, or it is locked
    return found
