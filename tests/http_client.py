"""A server in a thread, and a client that can also say what no client should."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_faceattr.http.server import HttpServer

TOKEN = "a-token-of-tests"
JSON = {"Content-Type": "application/json"}
SIGNED = {**JSON, "Authorization": f"Bearer {TOKEN}"}


class Client:
    """Asks a server; every request has a connection of its own."""

    def __init__(self, server: HttpServer) -> None:
        self.server, self.port = server, server.port

    def ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, url, body, dict(headers or {}))
        answer = connection.getresponse()
        # Starlette and uvicorn send names in lower case.
        result = answer.status, {name.title(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return result

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def raw(self, text: bytes, *, end: bool = False) -> bytes:
        """Sends bytes and returns the answer until the server hangs up; `end` closes our side first."""
        with self.connect() as connection:
            connection.sendall(text)
            if end:
                connection.shutdown(socket.SHUT_WR)
            try:
                return b"".join(iter(lambda: connection.recv(65536), b""))
            except ConnectionResetError:
                return b""

    def head(self, method: str, url: str, *lines: str) -> bytes:
        """The bytes of a request's head."""
        return "\r\n".join([f"{method} {url} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *lines, "", ""]).encode()


@contextmanager
def serving(app: Any, certificate: Path | None = None, port: int = 0, **options: Any) -> Iterator[Client]:
    """Serves an app on this machine."""
    with HttpServer("127.0.0.1", port, **options) as server:
        thread = threading.Thread(target=server.serve, args=(app, certificate), daemon=True)
        thread.start()
        try:
            yield Client(server)
        finally:
            server.stop()
            thread.join(20)
            assert not thread.is_alive()
