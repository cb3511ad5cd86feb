"""Start and stop: the port is held from the start, and nothing is left at the end, however it comes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from http_client import serving
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from keras_faceattr.errors import ServerError
from keras_faceattr.http.app import build_app
from keras_faceattr.http.guard import Limits
from keras_faceattr.http.server import HttpServer

SCRIPT = """
import tempfile
from starlette.responses import Response
from starlette.routing import Route
from keras_faceattr.http.app import build_app
from keras_faceattr.http.guard import Limits
from keras_faceattr.http.server import HttpServer, ended_by_signals
with ended_by_signals(), HttpServer("127.0.0.1", 0) as server, tempfile.TemporaryDirectory(dir=".") as folder:
    print(server.port, flush=True)
    app = build_app([Route("/", lambda request: Response(b"hello"))], Limits("127.0.0.1", None, 1))
    try:
        server.serve(app)
        print("alone", flush=True)
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


async def hello(request: Request) -> Response:
    return Response(b"hello")


APP = build_app([Route("/", hello)], Limits("127.0.0.1", None, 1))


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def until_free(port: int) -> None:
    until(lambda: not is_listening(port))


def start(folder: Path, *, ignoring: bool = False) -> tuple[subprocess.Popen[str], int]:
    def signals() -> None:
        # Tests themselves may run under nohup, or in a shell's background, where Ctrl-C is ignored.
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignoring else signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
        preexec_fn=signals,
    )  # fmt: skip
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def until_it_answers(port: int) -> socket.socket:
    """A connection that has been served and stays open."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 200 OK")
    return connection


def test_the_port_is_held_before_anything_is_served() -> None:
    with HttpServer("127.0.0.1", 0) as server:
        with pytest.raises(ServerError, match="in use"):
            HttpServer("127.0.0.1", server.port)
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as early:
            early.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            thread = threading.Thread(target=server.serve, args=(APP,))
            thread.start()
            assert early.recv(4096).startswith(b"HTTP/1.1 200 OK")
        server.stop()
        thread.join(20)
        assert not thread.is_alive()
    assert not is_listening(server.port)


def test_stopping_does_not_wait_for_idle_or_stalled_clients() -> None:
    with serving(APP) as client:
        idle, stalled = until_it_answers(client.port), client.connect()
        stalled.sendall(b"GET / HTTP/1.1\r\n")
        time.sleep(0.2)
        begin = time.monotonic()
    assert time.monotonic() - begin < 8
    for connection in (idle, stalled):
        connection.close()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_stops_it_cleanly(tmp_path: Path, name: str) -> None:
    process, port = start(tmp_path / "a")
    connection = until_it_answers(port)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "stopped\n", "")
    assert not is_listening(port) and not list((tmp_path / "a").iterdir())
    connection.close()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_under_nohup_a_hangup_does_not_stop_it(tmp_path: Path) -> None:
    process, port = start(tmp_path / "a", ignoring=True)
    until_it_answers(port).close()
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    until_it_answers(port).close()
    process.terminate()
    assert process.wait(30) == 0


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_killed_it_leaves_no_server(tmp_path: Path) -> None:
    process, port = start(tmp_path / "a")
    until_it_answers(port).close()
    process.kill()
    process.wait(30)
    assert not is_listening(port)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("nohup", [False, True])
def test_when_its_parent_is_killed_it_ends_unless_nohup_keeps_it(tmp_path: Path, nohup: bool) -> None:
    handler = "SIG_IGN" if nohup else "SIG_DFL"
    keep = f"import signal; signal.signal(signal.SIGHUP, signal.{handler})\n"
    parent_code = f"{keep}import subprocess, sys; subprocess.run([sys.executable, '-c', {SCRIPT!r}])"
    with (tmp_path / "out").open("w") as out:
        parent = subprocess.Popen([sys.executable, "-c", parent_code], stdout=out, cwd=tmp_path)
    until(lambda: (tmp_path / "out").read_text().endswith("\n"))
    port = int((tmp_path / "out").read_text())
    until_it_answers(port).close()
    (child,) = children_of(parent.pid)
    try:
        parent.kill()
        parent.wait(30)
        if nohup:
            time.sleep(1)
            assert is_listening(port)
        else:
            until_free(port)
            until(lambda: (tmp_path / "out").read_text().endswith("alone\n"))
    finally:
        if is_listening(port):
            os.kill(child, signal.SIGKILL)
            until_free(port)


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=True)
    return [int(line) for line in listed.stdout.split()]
