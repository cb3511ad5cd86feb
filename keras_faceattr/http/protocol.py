"""Limits that uvicorn and h11 leave open: how many connections there are, how long each takes, repeated lengths."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 64
"""Open at once, TLS handshakes included; a browser opens six. The next ones are closed as soon as they come."""

REFUSED_IN_TURN = 64
"""Connections that are closed before the server goes on with those that it has."""

HEAD_S = 10
"""Seconds from the start of a connection, or the end of an answer, until the head of a request is complete."""

STALLED_S = 30
"""Seconds in which a client takes no byte of an answer."""

REQUEST_S = 600
"""Seconds from a request's head until the last byte of its answer is taken."""

WATCH_S = 1.0
"""Seconds between two looks at a connection."""

HEAD_END = re.compile(rb"\r?\n\r?\n")
LENGTH = re.compile(rb"^content-length[ \t]*:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)


class Listener(socket.socket):
    """A listening socket that holds a limited number of connections open."""

    def __init__(self, listening: socket.socket, most: int = MOST_CONNECTIONS) -> None:
        super().__init__(listening.family, listening.type, listening.proto, fileno=listening.detach())
        self.most = most
        self.accepted: list[socket.socket] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection for which there is room; those before it are closed.

        Raises:
            BlockingIOError: none is waiting, or so many were closed that others should have their turn.
        """
        for _ in range(REFUSED_IN_TURN):
            connection, address = super().accept()
            self.accepted = [one for one in self.accepted if one.fileno() >= 0]
            if len(self.accepted) < self.most:
                self.accepted.append(connection)
                return connection, address
            connection.close()
        raise BlockingIOError


class StrictConnection(h11.Connection):
    """Refuses a request with more than one `Content-Length`; h11 merges those that agree."""

    def next_event(self) -> Any:
        if self.their_state is h11.IDLE:
            waiting = self.trailing_data[0]
            end = HEAD_END.search(waiting)
            lengths = LENGTH.findall(waiting, 0, end.start()) if end else []
            if len(lengths) > 1 or any(b"," in length for length in lengths):
                raise h11.RemoteProtocolError("more than one Content-Length")
        return super().next_event()


class WatchedProtocol(H11Protocol):
    """A connection that is aborted when its client stalls. uvicorn alone bounds only the pause after an answer."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.conn = StrictConnection(h11.SERVER)
        self.watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.phase: tuple[object, bool] = (None, False)
        self.buffered = 0
        self.phase_began = self.moved = self.loop.time()
        self.watch = self.loop.call_later(WATCH_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.watch:
            self.watch.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Compare the connection with what it was a moment ago."""
        now = self.loop.time()
        buffered = self.transport.get_write_buffer_size()
        answering = self.cycle is not None and not self.cycle.response_complete
        phase = (self.cycle, answering or buffered > 0)
        if phase != self.phase:
            self.phase, self.phase_began = phase, now
        if buffered != self.buffered or not buffered:
            self.buffered, self.moved = buffered, now
        allowed = REQUEST_S if phase[1] else HEAD_S
        if now - self.phase_began > allowed or now - self.moved > STALLED_S:
            self.transport.abort()
            return
        self.watch = self.loop.call_later(WATCH_S, self._look)
