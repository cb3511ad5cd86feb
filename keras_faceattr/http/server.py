"""A uvicorn server in this process: it holds its port from the start, and leaves nothing behind when it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from keras_faceattr.http.address import bare_host, listen
from keras_faceattr.http.protocol import MOST_CONNECTIONS, Listener, WatchedProtocol

KEEP_ALIVE_S = 5
"""Seconds between two requests of a connection."""

GOODBYE_S = 3
"""Seconds for requests under way when the server is stopped."""


class HttpServer:
    """Listens from the start; connections wait until `serve` is called.

    Args:
        host: name or address of this machine.
        port: 0 chooses a free one.
        most_connections: how many are open at once.

    Raises:
        ServerError: the address or the port cannot be used.
    """

    def __init__(self, host: str, port: int, most_connections: int = MOST_CONNECTIONS) -> None:
        self.listener = Listener(listen(host, port), most_connections)
        self.host = bare_host(host)
        self.port = int(self.listener.getsockname()[1])
        self.stopping = False
        self.parent = os.getppid()

    def serve(self, app: ASGIApp, certificate: Path | None = None) -> None:
        """Serves until `stop`, the end of the parent process, or a signal, which is raised again afterwards.

        Args:
            certificate: PEM file of a key and its certificate; makes it https.
        """
        config = uvicorn.Config(
            app,
            http=WatchedProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            # What matters has lines of its own; tracebacks are nobody else's business.
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            # Nobody in front of this server may speak for a client.
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GOODBYE_S,
            ssl_certfile=certificate,
        )
        _Uvicorn(config, self).run(sockets=[self.listener])

    def stop(self) -> None:
        """Ends `serve` soon, from any thread."""
        self.stopping = True

    def close(self) -> None:
        """Give the port back."""
        self.listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def orphaned(self) -> bool:
        """True if the process that started this one has ended; under nohup that is meant."""
        return os.getppid() != self.parent and not _survives_hangup()


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, owner: HttpServer) -> None:
        super().__init__(config)
        self.owner = owner

    async def on_tick(self, counter: int) -> bool:
        if self.owner.stopping or self.owner.orphaned:
            self.should_exit = True
        return await super().on_tick(counter)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into a KeyboardInterrupt, so that what is stopped in any way cleans up.

    A SIGHUP that is ignored, as under nohup, stays ignored.
    """
    handlers = {signal.SIGTERM: _interrupt}
    if os.name == "posix" and not _survives_hangup():
        handlers[signal.SIGHUP] = _terminate
    before = {name: signal.signal(name, handler) for name, handler in handlers.items()}
    try:
        yield
    finally:
        for name, earlier in before.items():
            signal.signal(name, earlier)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _terminate(*_: object) -> None:
    # While it serves, uvicorn ends requests under way before it hands SIGTERM on; it knows nothing of SIGHUP.
    signal.raise_signal(signal.SIGTERM)


def _survives_hangup() -> bool:
    return hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
