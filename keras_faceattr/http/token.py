"""The secret that a server asks of every request that changes something."""

from __future__ import annotations

import hmac
import secrets

TOKEN_BYTES = 16
"""128 bits: nobody guesses them over a network."""

SCHEME = "Bearer"


def new_token() -> str:
    """A random token that may stand in a URL."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def carries_token(authorization: bytes | None, token: str) -> bool:
    """Return whether an `Authorization` header holds the token; takes equally long however much of it is right."""
    scheme, _, given = (authorization or b"").partition(b" ")
    return scheme.lower() == SCHEME.lower().encode() and hmac.compare_digest(given.strip(), token.encode())
