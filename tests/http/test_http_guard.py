"""The gate in front of an app: who is let in, how much they may send, and what every answer carries."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from http_client import JSON, SIGNED, TOKEN, Client, serving
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import RequestResponseCycle

from keras_faceattr.errors import DataError
from keras_faceattr.http import guard
from keras_faceattr.http.app import build_app
from keras_faceattr.http.guard import Limits, is_own_host
from keras_faceattr.http.token import carries_token, new_token

MOST = 100_000
BIG = bytes(range(256)) * 4096 * 8
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Server": "keras-faceattr",
}
GOOD = f"Authorization: Bearer {TOKEN}"


class Notes:
    """An app that keeps what is posted."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.routes = [
            Route("/notes", self.take, methods=["POST"]),
            Route("/notes", self.give, methods=["GET"]),
            Route("/big", lambda request: Response(BIG), methods=["GET"]),
            Route("/wrong", self.wrong, methods=["GET"]),
            Route("/broken", self.broken, methods=["GET"]),
        ]

    async def take(self, request: Request) -> Response:
        self.kept.append(await request.body())
        return JSONResponse({"kept": len(self.kept)}, 201)

    async def give(self, request: Request) -> Response:
        return Response(b"notes", headers={"Cache-Control": "max-age=1"})

    async def wrong(self, request: Request) -> Response:
        raise DataError("row 3:\nno label")

    async def broken(self, request: Request) -> Response:
        raise RuntimeError("private detail")


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def client(notes: Notes) -> Iterator[Client]:
    with serving(build_app(notes.routes, Limits("127.0.0.1", TOKEN, MOST))) as client:
        yield client


def test_with_the_token_a_post_is_taken(client: Client, notes: Notes) -> None:
    status, headers, body = client.ask("POST", "/notes", SIGNED, b"{}")
    assert (status, json.loads(body), notes.kept) == (201, {"kept": 1}, [b"{}"])
    assert headers.items() >= SAFE.items()


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \xff"],
)
def test_without_the_token_nothing_is_taken_and_one_line_says_why(
    client: Client, notes: Notes, authorization: str | None
) -> None:
    headers = JSON if authorization is None else {**JSON, "Authorization": authorization}
    status, answered, body = client.ask("POST", "/notes", headers, b"x" * MOST)
    assert status == 401 and answered["Www-Authenticate"] == "Bearer" and notes.kept == []
    assert "token" in json.loads(body)["error"] and body.count(b"\n") == 1
    assert answered["Content-Type"] == "application/json"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "NONSENSE"])
def test_no_method_but_reading_passes_without_the_token(client: Client, method: str) -> None:
    assert client.ask(method, "/notes")[0] == 401


def test_with_the_token_unknown_methods_and_addresses_are_told_apart(client: Client) -> None:
    status, headers, body = client.ask("PUT", "/big", SIGNED)
    # Starlette names them in any order.
    assert status == 405 and set(headers["Allow"].split(", ")) == {"GET", "HEAD"} and json.loads(body)["error"]
    assert client.ask("POST", "/none", SIGNED)[0] == 404


def test_a_server_without_a_token_takes_no_change_at_all(notes: Notes) -> None:
    with serving(build_app(notes.routes, Limits("127.0.0.1", None, MOST))) as client:
        status, headers, _ = client.ask("POST", "/notes", {**SIGNED, "Authorization": "Bearer "}, b"{}")
        assert (status, headers["Allow"]) == (405, "GET, HEAD") and notes.kept == []


def test_tokens_are_random_and_compared_whole() -> None:
    first, second = new_token(), new_token()
    assert first != second and len(first) >= 20
    assert carries_token(f"bearer {first}".encode(), first)
    for wrong in (None, b"", b"Bearer", f"Bearer {second}".encode(), f"Bearer {first[:-1]}".encode(), first.encode()):
        assert not carries_token(wrong, first)


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr("hmac.compare_digest", lambda a, b: compared.append((a, b)) or False)
    carries_token(b"Bearer wrong", "right")
    assert compared == [(b"wrong", b"right")]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_a_page_from_elsewhere_is_refused_even_with_the_token(client: Client, notes: Notes, origin: str) -> None:
    assert client.ask("POST", "/notes", {**SIGNED, "Origin": origin}, b"{}")[0] == 403
    assert client.ask("POST", "/notes", {**SIGNED, "Origin": f"http://127.0.0.1:{client.port}"}, b"{}")[0] == 201
    assert notes.kept == [b"{}"]


def test_a_body_may_be_as_long_as_the_limit_and_no_longer(client: Client, notes: Notes) -> None:
    assert client.ask("POST", "/notes", SIGNED, b"x" * MOST)[0] == 201
    status, _, body = client.ask("POST", "/notes", SIGNED, b"x" * (MOST + 1))
    assert status == 413 and f"{MOST}" in json.loads(body)["error"]
    assert [len(body) for body in notes.kept] == [MOST]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([GOOD, "Content-Length: 2", "Content-Length: 2"], 400),
        ([GOOD, "Content-Length: 2", "content-length: 3"], 400),
        ([GOOD, "Content-Length: 2, 2"], 400),
        ([GOOD, "Content-Length: 2, 3"], 400),
        ([GOOD, "Content-Length: -2"], 400),
        ([GOOD, "Content-Length: +2"], 400),
        ([GOOD, "Content-Length: 0x2"], 400),
        ([GOOD, "Content-Length: ٢"], 400),
        ([GOOD, "Content-Length: " + "9" * 19], 413),
        ([GOOD, "Content-Length: " + "9" * 5000], 400),
        ([GOOD, "Content-Length: 2"], 201),
        ([GOOD, "Transfer-Encoding: chunked"], 411),
        ([GOOD, "Transfer-Encoding: chunked", "Content-Length: 2"], 411),
        ([GOOD, "Transfer-Encoding: gzip, chunked"], 400),
        ([GOOD, "Transfer-Encoding: identity"], 400),
    ],
)
def test_a_body_whose_length_is_not_told_once_is_refused(
    client: Client, notes: Notes, lines: list[str], status: int
) -> None:
    answer = client.raw(client.head("POST", "/notes", *lines, "Connection: close") + b"{}")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
    assert len(notes.kept) == (status == 201)


def test_a_chunked_body_without_end_is_cut_off(client: Client, notes: Notes) -> None:
    with client.connect() as connection:
        connection.sendall(client.head("POST", "/notes", GOOD, "Transfer-Encoding: chunked"))
        sent, chunk = 0, b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        try:
            while sent < 100 * MOST:
                connection.sendall(chunk)
                sent += len(chunk)
        except OSError:
            pass
        assert sent < 100 * MOST and notes.kept == []


def test_a_body_longer_than_it_said_is_not_part_of_it(client: Client, notes: Notes) -> None:
    answer = client.raw(client.head("POST", "/notes", GOOD, "Content-Length: 2") + b"{}" + b"x" * 1000 + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 201") and notes.kept == [b"{}"]


def test_who_asks_first_is_told_to_go_on_or_refused(client: Client, notes: Notes) -> None:
    expecting = ["Expect: 100-continue", "Content-Length: 2", "Connection: close"]
    with client.connect() as connection:
        connection.sendall(client.head("POST", "/notes", GOOD, *expecting))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"{}")
        assert connection.recv(100).startswith(b"HTTP/1.1 201 ")
    assert client.raw(client.head("POST", "/notes", *expecting)).startswith(b"HTTP/1.1 401 ")
    assert notes.kept == [b"{}"]


def test_a_truncated_body_never_reaches_the_app(client: Client, notes: Notes) -> None:
    answer = client.raw(client.head("POST", "/notes", GOOD, "Content-Length: 100") + b"{}", end=True)
    assert answer == b"" and notes.kept == []
    assert client.ask("GET", "/notes")[0] == 200 and notes.kept == []


def test_a_body_that_comes_too_slowly_is_refused(notes: Notes) -> None:
    with serving(build_app(notes.routes, Limits("127.0.0.1", TOKEN, MOST, body_s=0.3))) as client:
        answer = client.raw(client.head("POST", "/notes", GOOD, "Content-Length: 100") + b"{}")
        assert answer.startswith(b"HTTP/1.1 408 ") and notes.kept == []


def test_a_read_takes_no_body(client: Client) -> None:
    assert client.ask("GET", "/notes", {}, b"x")[0] == 400
    assert client.ask("GET", "/notes", {"Content-Length": "0"})[0] == 200


def test_an_app_s_own_header_replaces_the_usual_one(client: Client) -> None:
    _, headers, body = client.ask("GET", "/notes")
    assert body == b"notes" and headers["Cache-Control"] == "max-age=1"
    assert headers.items() >= {key: SAFE[key] for key in SAFE if key != "Cache-Control"}.items()


def test_a_users_mistake_is_one_line_and_ours_tells_nothing(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    status, headers, body = client.ask("GET", "/wrong")
    assert (status, json.loads(body)) == (400, {"error": "row 3: no label"}) and headers.items() >= SAFE.items()
    status, headers, body = client.ask("GET", "/broken")
    assert status == 500 and b"private" not in body and headers.items() >= SAFE.items()
    written = capfd.readouterr().err
    assert written == "request failed: RuntimeError: private detail\n"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example", "", "[", "a b"])
def test_a_name_of_somebody_elses_dns_is_refused(client: Client, notes: Notes, host: str) -> None:
    for method in ("GET", "POST"):
        status, headers, _ = client.ask(method, "/notes", {**SIGNED, "Host": host})
        assert status in (400, 421) and notes.kept == []
        assert status == 400 or headers.items() >= SAFE.items()


def test_addresses_localhost_and_the_served_name_are_our_own() -> None:
    own = socket.gethostname()
    for host in ("localhost", "localhost:9", "LOCALHOST", "127.0.0.1:9", "192.168.1.7", "[::1]:8", "box.lan:1", own):
        assert is_own_host(host, "Box.lan"), host
    for host in ("box.lan.evil.example", "evil.example", "", "[", "127.0.0.1.evil.example", "a b"):
        assert not is_own_host(host, "Box.lan"), host


def test_a_large_answer_waits_for_a_client_that_does_not_read(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.ask("GET", "/big")[2] == BIG
    handed_out: list[int] = []
    original = RequestResponseCycle.send

    async def counted(self: Any, message: Any) -> None:
        handed_out.append(len(message.get("body", b"")))
        await original(self, message)

    monkeypatch.setattr(RequestResponseCycle, "send", counted)
    with client.connect() as connection:
        connection.sendall(client.head("GET", "/big"))
        connection.recv(1000)
        before = -1
        while sum(handed_out) != before:
            before = sum(handed_out)
            time.sleep(0.3)
        # The kernel takes a few MB; the rest is not copied before there is room for it.
        assert 0 < before < len(BIG) and max(handed_out) <= guard.CHUNK
