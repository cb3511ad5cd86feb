"""The server: files of the site alone, the headers of every answer, results from its own page, and short refusals."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from small_site import write_files

from keras_faceattr.demo.certificate import certificate_file
from keras_faceattr.demo.server import DemoServer
from keras_faceattr.errors import BenchmarkError, DemoError
from keras_faceattr.measure.browser.results import MAX_BYTES

TYPES = {
    "index.html": "text/html; charset=utf-8",
    "app/main.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "wasm/a.wasm": "application/wasm",
    "data/model.tflite": "application/octet-stream",
    "data/demo.json": "application/json",
    "manifest.webmanifest": "application/manifest+json",
    "icon.png": "image/png",
    "icon.svg": "image/svg+xml",
    "LICENSE": "text/plain; charset=utf-8",
}
ALWAYS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self)",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; "
        "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
JSON = {"Content-Type": "application/json"}


class Client:
    """Asks a server, a connection a request."""

    def __init__(self, server: DemoServer, received: list[bytes]) -> None:
        self.server, self.received = server, received

    def ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        connection.request(method, url, body, dict(headers or {}))
        answer = connection.getresponse()
        result = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return result

    def raw(self, text: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=20) as connection:
            connection.sendall(text)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


def serving(server: DemoServer, site: Path) -> Iterator[DemoServer]:
    thread = threading.Thread(target=server.serve, args=(site,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "secret.txt").write_text("private")
    site = write_files(folder / "site", {name: f"content of {name} " * 40 for name in TYPES} | {".hidden": "private"})
    (site / "link.txt").symlink_to(folder / "secret.txt")
    (site / "out").symlink_to(folder)
    return site


@pytest.fixture(scope="module")
def client(site: Path) -> Iterator[Client]:
    received: list[bytes] = []

    def receive(body: bytes) -> str:
        if body == b"{}":
            raise BenchmarkError("no result:\nfield missing")
        if body == b"[]":
            raise RuntimeError("private detail")
        received.append(body)
        return "a.json"

    for server in serving(DemoServer("127.0.0.1", 0, receive), site):
        yield Client(server, received)


@pytest.mark.parametrize("name", TYPES)
def test_a_file_comes_with_its_type_and_all_headers(client: Client, site: Path, name: str) -> None:
    status, headers, body = client.ask("GET", f"/{name}?v=1")
    assert (status, headers["Content-Type"]) == (200, TYPES[name])
    assert body == (site / name).read_bytes() and "Content-Encoding" not in headers
    assert headers.items() >= ALWAYS.items()


def test_the_root_is_the_page(client: Client, site: Path) -> None:
    assert client.ask("GET", "/")[2] == (site / "index.html").read_bytes()


def test_gzip_is_sent_to_whom_takes_it_and_to_nobody_else(client: Client, site: Path) -> None:
    for accepted, packed in (("br, gzip", True), ("gzip;q=0", False), ("br", False), ("*", True)):
        _, headers, body = client.ask("GET", "/wasm/a.wasm", {"Accept-Encoding": accepted})
        assert (headers.get("Content-Encoding") == "gzip") == packed
        assert (gzip.decompress(body) if packed else body) == (site / "wasm/a.wasm").read_bytes()
        assert headers["Vary"] == "Accept-Encoding" and int(headers["Content-Length"]) == len(body)


def test_a_photo_is_not_packed_again(client: Client) -> None:
    assert "Content-Encoding" not in client.ask("GET", "/icon.png", {"Accept-Encoding": "gzip"})[1]


def test_head_says_what_get_would_send(client: Client) -> None:
    wanted = {"Content-Length", "Content-Type", "ETag", "Content-Encoding"}
    _, got, _ = client.ask("GET", "/app/main.js", {"Accept-Encoding": "gzip"})
    status, headers, body = client.ask("HEAD", "/app/main.js", {"Accept-Encoding": "gzip"})
    assert (status, body) == (200, b"")
    assert {k: headers[k] for k in wanted} == {k: got[k] for k in wanted}


def test_an_unchanged_file_is_not_sent_again_and_a_changed_one_is(client: Client, site: Path) -> None:
    (site / "style.css").write_text("one")
    tag = client.ask("GET", "/style.css")[1]["ETag"]
    status, headers, body = client.ask("GET", "/style.css", {"If-None-Match": f'"x", {tag}'})
    assert (status, body) == (304, b"") and headers.items() >= ALWAYS.items()
    (site / "style.css").write_text("another")
    assert client.ask("GET", "/style.css", {"If-None-Match": tag})[::2] == (200, b"another")


@pytest.mark.parametrize(
    "url",
    ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "//etc/passwd", "/link.txt", "/out/secret.txt",
     "/.hidden", "/app", "/app/", "/none", "/index.html%00", "/app/../index.html", "/%ff%fe", "/app\\main.js"],
)  # fmt: skip
def test_nothing_but_the_sites_own_files_has_a_url(client: Client, url: str) -> None:
    status, headers, body = client.ask("GET", url)
    assert (status, body) == (404, b"404 Not Found\n")
    assert headers.items() >= ALWAYS.items()


def test_a_file_that_is_gone_is_not_found(client: Client, site: Path) -> None:
    (site / "icon.svg").rename(site / "icon.away")
    try:
        assert client.ask("GET", "/icon.svg")[0] == 404
    finally:
        (site / "icon.away").rename(site / "icon.svg")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "NONSENSE"])
def test_other_methods_are_refused(client: Client, method: str) -> None:
    status, headers, _ = client.ask(method, "/index.html", body=b"x")
    assert status == 405 and headers["Allow"] and headers.items() >= ALWAYS.items()


def test_a_result_from_the_page_is_taken(client: Client) -> None:
    own = f"http://127.0.0.1:{client.server.port}"
    for headers in ({**JSON, "Origin": own}, JSON, {"Content-Type": "application/json; charset=utf-8"}):
        client.received.clear()
        status, answered, body = client.ask("POST", "/results", headers, b'{"a": 1}')
        assert (status, json.loads(body), client.received) == (201, {"name": "a.json"}, [b'{"a": 1}'])
        assert answered.items() >= ALWAYS.items()


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({**JSON, "Origin": "http://evil.example"}, b'{"a": 1}', 403),
        ({**JSON, "Origin": "null"}, b'{"a": 1}', 403),
        ({**JSON, "Origin": "http://127.0.0.1:1"}, b'{"a": 1}', 403),
        ({"Content-Type": "text/plain"}, b'{"a": 1}', 415),
        ({}, b'{"a": 1}', 415),
        (JSON, b" " * (MAX_BYTES + 1), 413),
        ({**JSON, "Content-Length": "9" * 5000}, b"x", 413),
        ({**JSON, "Content-Length": "-1"}, b"", 411),
        ({**JSON, "Content-Length": "٣"}, b"", 411),
    ],
)
def test_a_result_from_elsewhere_of_another_kind_or_too_large_is_not(
    client: Client, headers: dict[str, str], body: bytes, status: int
) -> None:
    client.received.clear()
    head = "".join(f"{k}: {v}\r\n" for k, v in {"Content-Length": str(len(body)), **headers}.items())
    answer = client.raw(f"POST /results HTTP/1.1\r\nHost: 127.0.0.1:{client.server.port}\r\n{head}\r\n".encode() + body)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:100]
    assert not client.received


def test_the_largest_result_is_taken(client: Client) -> None:
    assert client.ask("POST", "/results", JSON, b" " * MAX_BYTES)[0] == 201


def test_what_is_no_result_gets_the_reason_in_one_line(client: Client) -> None:
    status, _, body = client.ask("POST", "/results", JSON, b"{}")
    assert (status, json.loads(body)) == (400, {"error": "no result: field missing"})


def test_a_mistake_of_ours_tells_nothing_to_the_network(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    status, _, body = client.ask("POST", "/results", JSON, b"[]")
    assert status == 500 and b"private" not in body
    assert client.ask("GET", "/")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_without_a_receiver_there_are_no_results(site: Path) -> None:
    for server in serving(DemoServer("127.0.0.1", 0), site):
        assert Client(server, []).ask("POST", "/results", JSON, b"{}")[0] == 405


def test_posting_elsewhere_is_refused(client: Client) -> None:
    assert client.ask("POST", "/index.html", JSON, b"{}")[0] == 405
    assert client.ask("POST", "/none", JSON, b"{}")[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example", "", "[", "a b"])
def test_a_name_from_another_name_server_is_refused(client: Client, host: str) -> None:
    assert client.ask("GET", "/", {"Host": host})[0] == 421
    assert client.ask("POST", "/results", {**JSON, "Host": host}, b'{"a": 1}')[0] == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "LOCALHOST", "127.0.0.1:9", "192.168.1.7", "[::1]:8"])
def test_addresses_and_localhost_are_ours(client: Client, host: str) -> None:
    assert client.ask("GET", "/", {"Host": host})[0] == 200


@pytest.mark.parametrize(
    "request_", [b"\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"a" * 70000]
)
def test_what_is_no_request_breaks_nothing(client: Client, request_: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    client.raw(request_)
    assert client.ask("GET", "/")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_a_connection_serves_several_requests(client: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", client.server.port, timeout=20)
    for _ in range(3):
        connection.request("GET", "/app/main.js")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read()
    connection.close()


def test_https_answers_with_the_certificate_of_these_addresses(site: Path, own_cache: Path) -> None:
    path = certificate_file(["127.0.0.1"])
    for server in serving(DemoServer("127.0.0.1", 0, None, path), site):
        # Who never ends the handshake must not keep others waiting.
        with socket.create_connection(("127.0.0.1", server.port)):
            trusting = ssl.create_default_context(cafile=str(path))
            for name in ("localhost", "127.0.0.1"):
                plain = socket.create_connection(("127.0.0.1", server.port), timeout=20)
                with trusting.wrap_socket(plain, server_hostname=name) as stream:
                    stream.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    assert stream.recv(4096).startswith(b"HTTP/1.1 200 OK")


def test_a_port_in_use_a_foreign_host_and_no_port_are_one_line() -> None:
    with DemoServer("127.0.0.1", 0) as server:
        with pytest.raises(DemoError, match=f"port {server.port} is in use"):
            DemoServer("127.0.0.1", server.port)
        for host in ("203.0.113.9", "::bad", "a" * 300):
            with pytest.raises(DemoError, match="is no address of this machine"):
                DemoServer(host, 0)
        with pytest.raises(DemoError, match="0 to 65535"):
            DemoServer("127.0.0.1", 70000)


def test_a_port_without_permission_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: DemoServer) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(DemoServer, "server_bind", refuse)
    with pytest.raises(DemoError, match="no permission for port 80"):
        DemoServer("127.0.0.1", 80)
