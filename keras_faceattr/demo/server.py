"""Serves a built site on the local network: files that were there when it started, and nothing else."""

from __future__ import annotations

import errno
import ipaddress
import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from keras_faceattr.demo.contents import TEXT, TYPES, Contents
from keras_faceattr.errors import DemoError, FaceAttrError
from keras_faceattr.measure.browser.results import MAX_BYTES

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

HEADERS = {
    # Both together isolate the page, which threads need.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self)",
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}
"""Of every answer."""

RESULTS = "/results"

SILENT_S = 30
"""A client that says nothing for so long is let go."""

Receive = Callable[[bytes], str]
"""Takes the body of a result and gives the name under which it was kept; raises FaceAttrError for what is no result."""


class DemoServer(ThreadingHTTPServer):
    """Holds its port from the start and answers once `serve` knows the site.

    Args:
        host: address or name of this machine, 0.0.0.0 for all its addresses.
        port: 0 chooses a free one.
        receive: for results; without it there are none.
        certificate: PEM file with certificate and key, for https.

    Raises:
        DemoError: the port or the address cannot be had.
    """

    daemon_threads = True
    # Two servers on one port would share the visitors.
    allow_reuse_port = False

    def __init__(self, host: str, port: int, receive: Receive | None = None, certificate: Path | None = None) -> None:
        self.host, self.receive = host, receive
        self.contents: Contents
        self.receiving = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError, UnicodeError) as error:
            raise DemoError(_refusal(host, port, error)) from None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            # The handshake is the request's, so that a client who never ends it keeps nobody else waiting.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def port(self) -> int:
        """The port that it has."""
        return int(self.server_address[1])

    def server_bind(self) -> None:
        """Without asking a name server what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.port

    def serve(self, site: Path) -> None:
        """Serves a built site until `shutdown` or Ctrl-C."""
        self.contents = Contents(site)
        threading.Thread(target=self.contents.warm, daemon=True).start()
        self.serve_forever(poll_interval=0.2)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news; a mistake of ours is one line."""
        error = sys.exception()
        if not isinstance(error, OSError):
            print(f"request failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def _refusal(host: str, port: int, error: Exception) -> str:
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return f"port {port} is in use: choose another one with --port, or 0 for any that is free"
    if code in (errno.EACCES, errno.EPERM):
        return f"no permission for port {port}: choose one from 1024 on with --port"
    if isinstance(error, OverflowError):
        return f"--port {port} is not in 0 to 65535"
    return f"--host {host} is no address of this machine: 0.0.0.0 stands for all of them, 127.0.0.1 for itself alone"


class Handler(BaseHTTPRequestHandler):
    """One client's requests."""

    server: DemoServer
    protocol_version = "HTTP/1.1"
    timeout = SILENT_S

    def version_string(self) -> str:
        """Without Python's version, which is nobody's business."""
        return "keras-faceattr"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what matters has lines of its own."""

    def do_GET(self) -> None:
        """Sends a file."""
        if self._refused_host() or self._refused_body():
            return
        url = unquote(self.path.partition("?")[0].partition("#")[0], errors="replace")
        if url == RESULTS:
            self._say(HTTPStatus.METHOD_NOT_ALLOWED, Allow="POST")
            return
        path = self.server.contents.paths.get(url)
        try:
            content = self.server.contents.get(path) if path else None
        except OSError:
            content = None
        if path is None or content is None:
            self._say(HTTPStatus.NOT_FOUND)
            return
        if content.tag in self.headers.get("If-None-Match", ""):
            self._send(HTTPStatus.NOT_MODIFIED, None, {"ETag": content.tag})
            return
        headers = {"Content-Type": TYPES.get(path.suffix, "application/octet-stream"), "ETag": content.tag}
        body = content.plain
        if content.packed is not None and _takes_gzip(self.headers.get("Accept-Encoding", "")):
            body, headers["Content-Encoding"] = content.packed, "gzip"
        self._send(HTTPStatus.OK, body, headers)

    def do_HEAD(self) -> None:
        """Sends what comes before a file."""
        self.do_GET()

    def do_POST(self) -> None:
        """Takes a result."""
        if self._refused_host():
            return
        if self.path != RESULTS or self.server.receive is None:
            known = self.path in self.server.contents.paths or self.path == RESULTS
            self._say(HTTPStatus.METHOD_NOT_ALLOWED if known else HTTPStatus.NOT_FOUND, Allow="GET, HEAD")
            return
        # A page from elsewhere cannot hide its origin.
        if self.headers.get("Origin", f"//{self.headers['Host']}").partition("//")[2] != self.headers["Host"]:
            self._say(HTTPStatus.FORBIDDEN)
            return
        if self.headers.get_content_type() != "application/json":
            self._say(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
            return
        length = self._length()
        if length is None:
            self._say(HTTPStatus.LENGTH_REQUIRED)
        elif length > MAX_BYTES:
            self._say(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            self._take(self.rfile.read(length))

    def _take(self, body: bytes) -> None:
        assert self.server.receive is not None
        with self.server.receiving:
            try:
                name = self.server.receive(body)
            except FaceAttrError as error:
                self._json(HTTPStatus.BAD_REQUEST, {"error": " ".join(str(error).split())})
                return
            except Exception:
                self._json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "the result cannot be taken"})
                raise
        self._json(HTTPStatus.CREATED, {"name": name})

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses: an unknown method, a request that is none."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._say(status, Allow="GET, HEAD")

    def _refused_host(self) -> bool:
        """A name that somebody else's name server gives to this machine would open it to their page."""
        if _is_ours(self.headers.get("Host", ""), self.server.host):
            return False
        self._say(HTTPStatus.MISDIRECTED_REQUEST)
        return True

    def _refused_body(self) -> bool:
        if not self._length() and "Transfer-Encoding" not in self.headers:
            return False
        self._say(HTTPStatus.BAD_REQUEST)
        return True

    def _say(self, status: HTTPStatus, **headers: str) -> None:
        """A refusal; what is left of the request is read no further."""
        self._drop_body()
        self.close_connection = True
        text = f"{status.value} {status.phrase}\n".encode()
        allow = headers if status == HTTPStatus.METHOD_NOT_ALLOWED else {}
        self._send(status, text, {"Content-Type": TEXT, "Connection": "close", **allow})

    def _drop_body(self) -> None:
        """Reads a small body away: closing on unread bytes could cost the client our answer."""
        self.rfile.read(min(self._length() or 0, 4 * MAX_BYTES))

    def _length(self) -> int | None:
        """Of the body; None where the request does not say it."""
        text = self.headers.get("Content-Length", "") if hasattr(self, "headers") else ""
        return int(text[:18]) if text.isascii() and text.isdigit() else None

    def _json(self, status: HTTPStatus, value: dict[str, str]) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": TYPES[".json"]})

    def _send(self, status: HTTPStatus, body: bytes | None, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, **headers}.items():
            self.send_header(name, value)
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body is not None and self.command != "HEAD":
            self.wfile.write(body)


def _takes_gzip(accepted: str) -> bool:
    """By an Accept-Encoding header."""
    for entry in accepted.lower().split(","):
        name, _, quality = entry.partition(";")
        if name.strip() in ("gzip", "*"):
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _is_ours(host: str, served: str) -> bool:
    """Whether a Host header is an address, localhost, or a name of this machine."""
    own = socket.gethostname().lower()
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name in ("localhost", served.lower(), own, f"{own}.local") or bool(ipaddress.ip_address(name))
    except ValueError:
        return False
