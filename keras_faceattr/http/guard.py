"""The gate in front of an app: only requests for this server, of a bounded size, and with the token where it counts."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keras_faceattr.http.token import SCHEME, carries_token

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Server": "keras-faceattr",
}
"""Headers of every answer; an app may send its own in their place."""

READING = frozenset({"GET", "HEAD"})
"""Methods that change nothing, and so need no token and have no body."""

CHUNK = 65536
"""Most bytes of an answer that wait for a slow client at once."""

BODY_S = 30
"""Seconds for a whole body to arrive."""

DRAIN_S = 2
"""Seconds for the rest of a refused body: closing a connection on unread bytes could lose the answer."""


@dataclass(frozen=True)
class Limits:
    """Limits on requests, and headers of answers.

    Attributes:
        host: name or address on which the server listens; requests for names of other machines are refused.
        token: required by every method that changes something; None refuses all of these methods.
        body_bytes: largest body.
        body_s: seconds for a whole body to arrive.
        headers: sent with every answer, in addition to `HEADERS` or in their place.
    """

    host: str
    token: str | None
    body_bytes: int
    body_s: float = BODY_S
    headers: Mapping[str, str] = field(default_factory=dict)


class Guard:
    """An ASGI app that answers refused requests itself and hands on the others with their body read whole.

    A body that is truncated, too long, too slow or of unknown length never reaches the app.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits = app, limits
        self.headers = {**HEADERS, **limits.headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"no connection of the type {scope['type']} is served")
        answer = _Answer(send, self.headers)
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers)
        if refusal:
            await self._drain(headers, receive)
            refusal.headers["Connection"] = "close"
            await refusal(scope, receive, answer)
            return
        try:
            async with asyncio.timeout(self.limits.body_s):
                body = await _whole_body(receive, self.limits.body_bytes)
        except TimeoutError:
            late = error(408, f"the body did not arrive within {self.limits.body_s:g} s")
            late.headers["Connection"] = "close"
            await late(scope, receive, answer)
            return
        if body is not None:
            await self.app(scope, _replay(body, receive), answer)

    def _refusal(self, method: str, headers: Headers) -> Response | None:
        """The answer to a request that is refused by its head alone."""
        if not is_own_host(headers.get("host", ""), self.limits.host):
            return error(421, "this server answers to its own addresses only")
        if "transfer-encoding" in headers:
            return error(411, "send the body with a Content-Length and without Transfer-Encoding")
        length = int(headers.get("content-length", "0"))
        if method in READING:
            return error(400, f"{method} takes no body") if length else None
        if self.limits.token is None:
            return error(405, f"{method} is not served here", Allow=", ".join(sorted(READING)))
        # A page from elsewhere cannot hide its origin.
        if headers.get("origin", f"//{headers['host']}").partition("//")[2] != headers["host"]:
            return error(403, "requests from pages of other sites are refused")
        if not carries_token(headers.get("authorization", "").encode("latin-1"), self.limits.token):
            return error(
                401,
                "the token is missing or wrong: open the address that the command printed, with all that follows #",
                **{"WWW-Authenticate": SCHEME},
            )
        if length > self.limits.body_bytes:
            return error(413, f"the body is larger than {self.limits.body_bytes} bytes")
        return None

    async def _drain(self, headers: Headers, receive: Receive) -> None:
        """Read a refused body away, if it is not much and the client is already sending it."""
        left = 4 * self.limits.body_bytes
        if "expect" in headers or int(headers.get("content-length", "0")) > left:
            return
        try:
            async with asyncio.timeout(DRAIN_S):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return
        except TimeoutError:
            return


class _Answer:
    """Sends an answer with all its headers, and in pieces, so that a slow client holds no more than one in memory."""

    def __init__(self, send: Send, headers: Mapping[str, str]) -> None:
        self.send, self.headers = send, headers

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            given = Headers(raw=message["headers"])
            more = [(k.lower().encode(), v.encode()) for k, v in self.headers.items() if k not in given]
            await self.send({**message, "headers": [*message["headers"], *more]})
            return
        body = message.get("body", b"")
        while len(body) > CHUNK:
            piece, body = body[:CHUNK], memoryview(body)[CHUNK:]
            await self.send({"type": "http.response.body", "body": bytes(piece), "more_body": True})
        await self.send({**message, "body": bytes(body)})


def error(status: int, text: str, **headers: str) -> Response:
    """A refusal: one line of JSON."""
    return _OneLine({"error": text}, status, headers)


class _OneLine(JSONResponse):
    def render(self, content: object) -> bytes:
        return super().render(content) + b"\n"


async def _whole_body(receive: Receive, most: int) -> bytes | None:
    """The body of a request, or None if its client has gone before the end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        # The length was checked before; this holds should the parser ever let more through.
        if len(body) > most:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives a body that has been read, then whatever comes."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def is_own_host(host: str, served: str) -> bool:
    """Return whether a `Host` header is an address, localhost, or a name of this machine.

    Another name that leads here belongs to somebody else's DNS, who could make their page read this server.
    """
    own = socket.gethostname().lower()
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name in ("localhost", served.lower(), own, f"{own}.local") or bool(ipaddress.ip_address(name))
    except ValueError:
        return False
