"""The demo's app: files of the site alone, compressed and cached, and results from its own page."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_client import JSON, SIGNED, TOKEN, Client, serving
from small_site import write_files

from keras_faceattr.demo import server as demo_server
from keras_faceattr.demo.contents import Contents
from keras_faceattr.demo.server import demo_app
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
    "Server": "keras-faceattr",
    "Vary": "Accept-Encoding",
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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "secret.txt").write_text("private")
    site = write_files(folder / "site", {name: f"content of {name} " * 40 for name in TYPES} | {".hidden": "private"})
    (site / "link.txt").symlink_to(folder / "secret.txt")
    (site / "out").symlink_to(folder)
    return site


@pytest.fixture(scope="module")
def received() -> list[bytes]:
    return []


@pytest.fixture(scope="module")
def client(site: Path, received: list[bytes]) -> Iterator[Client]:
    def receive(body: bytes) -> str:
        if body == b"{}":
            raise BenchmarkError("no result:\nfield missing")
        if body == b"[]":
            raise RuntimeError("private detail")
        received.append(body)
        return "a.json"

    with serving(demo_app(site, "127.0.0.1", TOKEN, receive)) as client:
        yield client


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
        assert int(headers["Content-Length"]) == len(body)


def test_a_photo_is_not_packed_again(client: Client) -> None:
    assert "Content-Encoding" not in client.ask("GET", "/icon.png", {"Accept-Encoding": "gzip"})[1]


def test_head_says_what_get_would_send(client: Client) -> None:
    wanted = {"Content-Length", "Content-Type", "Etag", "Content-Encoding"}
    _, got, _ = client.ask("GET", "/app/main.js", {"Accept-Encoding": "gzip"})
    status, headers, body = client.ask("HEAD", "/app/main.js", {"Accept-Encoding": "gzip"})
    assert (status, body) == (200, b"")
    assert {k: headers[k] for k in wanted} == {k: got[k] for k in wanted}


def test_an_unchanged_file_is_not_sent_again_and_a_changed_one_is(client: Client, site: Path) -> None:
    (site / "style.css").write_text("one")
    tag = client.ask("GET", "/style.css")[1]["Etag"]
    for known in (f'"x", {tag}', tag.removeprefix("W/"), "*"):
        status, headers, body = client.ask("GET", "/style.css", {"If-None-Match": known})
        assert (status, body) == (304, b"") and headers.items() >= ALWAYS.items()
    assert client.ask("GET", "/style.css", {"If-None-Match": f'{tag[:-2]}"'})[0] == 200
    (site / "style.css").write_text("another")
    assert client.ask("GET", "/style.css", {"If-None-Match": tag})[::2] == (200, b"another")


@pytest.mark.parametrize(
    "url",
    ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "//etc/passwd", "/link.txt", "/out/secret.txt",
     "/.hidden", "/app", "/app/", "/none", "/index.html%00", "/app/../index.html", "/%ff%fe", "/app\\main.js"],
)  # fmt: skip
def test_nothing_but_the_sites_own_files_has_a_url(client: Client, url: str) -> None:
    status, headers, body = client.ask("GET", url)
    assert status == 404 and json.loads(body)["error"] and body.count(b"\n") == 1
    assert headers.items() >= ALWAYS.items()


def test_a_file_that_is_gone_is_not_found(client: Client, site: Path) -> None:
    (site / "icon.svg").rename(site / "icon.away")
    try:
        assert client.ask("GET", "/icon.svg")[0] == 404
    finally:
        (site / "icon.away").rename(site / "icon.svg")


def test_a_range_is_answered_with_the_whole(client: Client, site: Path) -> None:
    status, headers, body = client.ask("GET", "/icon.png", {"Range": "bytes=0-3"})
    assert (status, body) == (200, (site / "icon.png").read_bytes()) and "Accept-Ranges" not in headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "NONSENSE", "POST"])
def test_other_methods_are_refused(client: Client, method: str) -> None:
    assert client.ask(method, "/index.html", body=b"x")[0] == 401
    status, headers, _ = client.ask(method, "/index.html", SIGNED, b"x")
    assert status == 405 and headers["Allow"] and headers.items() >= ALWAYS.items()


def test_results_cannot_be_read(client: Client) -> None:
    assert client.ask("GET", "/results")[0] in (404, 405)


def test_a_result_with_the_token_is_taken(client: Client, received: list[bytes]) -> None:
    own = f"http://127.0.0.1:{client.port}"
    for headers in ({**SIGNED, "Origin": own}, SIGNED, {**SIGNED, "Content-Type": "application/json; charset=utf-8"}):
        received.clear()
        status, answered, body = client.ask("POST", "/results", headers, b'{"a": 1}')
        assert (status, json.loads(body), received) == (201, {"name": "a.json"}, [b'{"a": 1}'])
        assert answered.items() >= ALWAYS.items()


def test_a_result_without_the_token_from_elsewhere_or_of_another_type_is_not(
    client: Client, received: list[bytes]
) -> None:
    received.clear()
    for headers, status in (
        (JSON, 401),
        ({**JSON, "Authorization": "Bearer "}, 401),
        ({**SIGNED, "Origin": "http://evil.example"}, 403),
        ({**SIGNED, "Content-Type": "text/plain"}, 415),
        ({"Authorization": SIGNED["Authorization"]}, 415),
    ):
        got, _, body = client.ask("POST", "/results", headers, b'{"a": 1}')
        assert got == status and json.loads(body)["error"] and body.count(b"\n") == 1
    assert client.ask("POST", f"/results?token={TOKEN}", JSON, b'{"a": 1}')[0] == 401
    assert received == []


def test_the_largest_result_is_taken_and_a_larger_one_is_not(client: Client, received: list[bytes]) -> None:
    received.clear()
    assert client.ask("POST", "/results", SIGNED, b" " * MAX_BYTES)[0] == 201
    assert client.ask("POST", "/results", SIGNED, b" " * (MAX_BYTES + 1))[0] == 413
    assert len(received) == 1


def test_what_is_no_result_gets_the_reason_in_one_line(client: Client) -> None:
    status, _, body = client.ask("POST", "/results", SIGNED, b"{}")
    assert (status, json.loads(body)) == (400, {"error": "no result: field missing"})


def test_a_mistake_of_ours_tells_nothing_to_the_network(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    status, _, body = client.ask("POST", "/results", SIGNED, b"[]")
    assert status == 500 and b"private" not in body
    assert client.ask("GET", "/")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_without_a_receiver_there_are_no_results(site: Path) -> None:
    with serving(demo_app(site, "127.0.0.1")) as client:
        assert client.ask("POST", "/results", SIGNED, b"{}")[0] == 405


def test_a_runtime_that_changes_while_it_is_served_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = write_files(tmp_path / "site", {"index.html": "page", "vendor/litert/core.js": "export {};"})
    monkeypatch.setattr(demo_server, "SHA256", {"core.js": hashlib.sha256(b"export {};").hexdigest()})
    with serving(demo_app(site, "127.0.0.1")) as client:
        assert client.ask("GET", "/vendor/litert/core.js")[2] == b"export {};"
        (site / "vendor/litert/core.js").write_text("alert(1);;")
        os.utime(site / "vendor/litert/core.js", (1, 1))
        status, _, body = client.ask("GET", "/vendor/litert/core.js")
        assert status == 500 and "core.js was changed" in json.loads(body)["error"] and b"alert" not in body
        assert client.ask("GET", "/")[0] == 200


def test_a_damaged_runtime_is_not_read_at_all(tmp_path: Path) -> None:
    site = write_files(tmp_path / "site", {"vendor/litert/core.js": "alert(1)"})
    contents = Contents(site, {"/vendor/litert/core.js": hashlib.sha256(b"export {};").hexdigest()})
    with pytest.raises(DemoError, match="core.js was changed"):
        contents.get(site / "vendor/litert/core.js")
    assert contents.kept == {}


def test_a_connection_serves_several_requests(client: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=20)
    for _ in range(3):
        connection.request("GET", "/app/main.js")
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read()
    connection.close()
