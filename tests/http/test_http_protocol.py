"""Connections: how many there may be, and how long a client may take for its part."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_client import Client, serving
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from keras_faceattr.http import protocol
from keras_faceattr.http.address import listen
from keras_faceattr.http.app import build_app
from keras_faceattr.http.certificate import certificate_file
from keras_faceattr.http.guard import Limits
from keras_faceattr.http.protocol import Listener

BIG = bytes(32_000_000)
HELLO = b"HTTP/1.1 200 OK"


async def hello(request: Request) -> Response:
    return Response(b"hello")


async def big(request: Request) -> Response:
    return Response(BIG)


APP = build_app([Route("/", hello), Route("/big", big)], Limits("127.0.0.1", None, 1000))


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(protocol, "WATCH_S", 0.05)
    with serving(APP, most_connections=4) as client:
        yield client


def closed_after(connection: socket.socket) -> float:
    """Seconds until the server hangs up."""
    begin = time.monotonic()
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - begin


def say_hello(connection: socket.socket, client: Client) -> bytes:
    connection.sendall(client.head("GET", "/"))
    answer = b""
    while not answer.endswith(b"hello"):
        piece = connection.recv(65536)
        if not piece:
            break
        answer += piece
    return answer


def test_more_connections_than_allowed_are_closed_at_once_and_room_is_given_back(client: Client) -> None:
    held = [client.connect() for _ in range(4)]
    assert all(say_hello(one, client).startswith(HELLO) for one in held)
    with client.connect() as late:
        assert closed_after(late) < 5
    # Those that were there first are not disturbed.
    assert say_hello(held[0], client).startswith(HELLO)
    held.pop().close()
    time.sleep(0.3)
    with client.connect() as next_one:
        assert say_hello(next_one, client).startswith(HELLO)
    for one in held:
        one.close()


def test_a_flood_of_refused_connections_leaves_time_for_the_others() -> None:
    with Listener(listen("127.0.0.1", 0), most=0) as listener:
        waiting = [socket.create_connection(listener.getsockname()) for _ in range(protocol.REFUSED_IN_TURN + 10)]
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        # The last ones are still there for the next turn.
        for one in waiting:
            one.settimeout(0.2)
        assert [one.recv(1) for one in waiting[:60]] == [b""] * 60
        with pytest.raises(TimeoutError):
            waiting[-1].recv(1)
        for one in waiting:
            one.close()


def test_a_connection_serves_several_requests(client: Client) -> None:
    with client.connect() as connection:
        assert all(say_hello(connection, client).startswith(HELLO) for _ in range(3))


def test_small_answers_are_sent_at_once(client: Client) -> None:
    with client.connect() as connection:
        assert say_hello(connection, client).startswith(HELLO)
        (accepted,) = client.server.listener.accepted
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_requests_that_come_together_are_answered_one_after_the_other(client: Client) -> None:
    last = client.head("GET", "/", "Connection: close")
    assert client.raw(client.head("GET", "/") * 3 + last).count(HELLO) == 4


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\n"])
def test_who_never_completes_a_request_is_let_go(client: Client, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.3)
    with client.connect() as connection:
        connection.sendall(said)
        assert closed_after(connection) < 10


def test_a_byte_now_and_then_does_not_extend_the_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.5)
    with client.connect() as connection:
        # After an answer, too, where uvicorn's own timer stops with the first byte.
        assert say_hello(connection, client).startswith(HELLO)
        sent = 0
        with pytest.raises(OSError):
            for _ in range(200):
                connection.sendall(b"G")
                sent += 1
                time.sleep(0.05)
        assert sent < 200


def test_who_stops_reading_an_answer_is_let_go(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "STALLED_S", 0.5)
    with client.connect() as connection:
        connection.sendall(client.head("GET", "/big"))
        connection.recv(1000)
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and any(one.fileno() >= 0 for one in client.server.listener.accepted):
            time.sleep(0.1)
        assert not any(one.fileno() >= 0 for one in client.server.listener.accepted)


def test_a_whole_request_has_a_time_limit(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.5)
    with client.connect() as connection:
        connection.sendall(client.head("GET", "/big"))
        taken = 0
        with pytest.raises(OSError):
            # Slowly enough to need longer than allowed, never pausing for long.
            while taken < len(BIG):
                piece = connection.recv(20_000)
                if not piece:
                    raise ConnectionResetError
                taken += len(piece)
                time.sleep(0.01)
        assert taken < len(BIG)


def test_a_patient_reader_gets_everything(client: Client) -> None:
    assert client.ask("GET", "/big")[2] == BIG


def test_who_never_ends_a_tls_handshake_keeps_nobody_waiting_and_counts_as_a_connection(own_cache: Path) -> None:
    path = certificate_file([])
    with serving(APP, path, most_connections=2) as client, client.connect(), ssl_stream(client, path) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stream.recv(4096).startswith(HELLO)
        with client.connect() as late:
            assert closed_after(late) < 5


def ssl_stream(client: Client, path: Path) -> ssl.SSLSocket:
    trusting = ssl.create_default_context(cafile=str(path))
    return trusting.wrap_socket(client.connect(), server_hostname="localhost")


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"a" * 70000,
        b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET / HTTP/1.1\nHost : a\n\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x00",
    ],
)  # fmt: skip
def test_what_is_no_request_breaks_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch, request_: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    client.raw(request_, end=True)
    assert client.ask("GET", "/")[0] == 200
    assert capfd.readouterr().err == ""


def test_rubbish_in_the_middle_of_an_answer_ends_the_connection_in_silence(
    client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    # The refusal waits for the rest of the body, which turns out to be none.
    head = client.head("GET", "/big", "Transfer-Encoding: chunked")
    client.raw(head + b"zz\r\n" + b"\x00" * 1000, end=True)
    with client.connect() as connection:
        connection.sendall(client.head("GET", "/big") + b"\x00\x00\r\n\r\n")
        connection.recv(1000)
    assert client.ask("GET", "/")[0] == 200
    assert capfd.readouterr().err == ""
