"""The address on which a server listens, errors for hosts that it cannot use, and the address for a phone."""

from __future__ import annotations

import re
import socket

import pytest

from keras_faceattr.errors import ServerError
from keras_faceattr.http.address import bare_host, is_local, listen, network_address, url_of


class NoNetwork:
    """A socket of a machine without a way out."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> NoNetwork:
        return self

    def __exit__(self, *_: object) -> None: ...

    def connect(self, address: tuple[str, int]) -> None:
        raise OSError(101, "Network is unreachable")


def test_without_a_network_there_is_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", NoNetwork)
    assert network_address() is None


def test_the_network_address_is_one_of_this_machine() -> None:
    address = network_address()
    if address is None:
        pytest.skip("no network")
    with socket.socket() as own:
        own.bind((address, 0))


def test_addresses_are_told_from_names_and_local_ones_from_others() -> None:
    assert [is_local(host) for host in ("127.0.0.1", "::1", "localhost", "LOCALHOST")] == [True] * 4
    assert [is_local(host) for host in ("192.168.1.2", "0.0.0.0", "fe80::1", "phone")] == [False] * 4
    assert url_of("192.168.1.2", 80, https=True) == "https://192.168.1.2:80/"
    assert url_of("fe80::1", 8080, https=False) == "http://[fe80::1]:8080/"
    assert url_of("fe80::1%eth0", 8080, https=False) == "http://[fe80::1%25eth0]:8080/"


@pytest.mark.parametrize(
    ("host", "bare"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("[::1]", "::1"), (" localhost ", "localhost"),
     ("bücher.example", "xn--bcher-kva.example"), ("Box.lan.", "Box.lan.")],
)  # fmt: skip
def test_a_host_is_brought_into_the_form_of_dns_and_certificates(host: str, bare: str) -> None:
    assert bare_host(host) == bare


@pytest.mark.parametrize("host", ["", " ", "[]", ".", "a..b", "a" * 300, "ü" * 300, "ü..b", "a" * 64])
def test_a_host_that_cannot_exist_is_one_line(host: str) -> None:
    with pytest.raises(ServerError, match="--host .* is not an address of this machine: use 127.0.0.1"):
        bare_host(host)


@pytest.mark.parametrize(
    "host",
    ["203.0.113.9", "::bad", "[::1", "a b", "none.invalid", "xn--bcher-kva", "bücher", "127.0.0.1:80", "\0"],
)
def test_a_host_that_is_not_ours_is_one_line(host: str) -> None:
    with pytest.raises(ServerError, match=f"--host {re.escape(repr(host))} is not an address of this machine"):
        listen(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_it_listens_on_this_machine_alone_where_that_is_asked(host: str) -> None:
    with listen(host, 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        socket.create_connection(listener.getsockname()).close()


def test_ipv6_is_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        listener = listen("::1", 0)
    except ServerError:
        pytest.skip("no IPv6 here")
    with listener:
        assert listener.getsockname()[:2][0] == "::1"
        socket.create_connection(listener.getsockname()[:2]).close()
    with listen("::", 0) as both:
        socket.create_connection(("127.0.0.1", both.getsockname()[1])).close()


def test_a_port_in_use_is_one_line() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        for host in ("127.0.0.1", "0.0.0.0", "localhost"):
            with pytest.raises(ServerError, match=f"port {port} is in use: choose another one"):
                listen(host, port)


@pytest.mark.parametrize("port", [-1, 65536, 10**9])
def test_a_port_out_of_range_is_one_line(port: int) -> None:
    with pytest.raises(ServerError, match="out of range"):
        listen("127.0.0.1", port)


def test_a_port_without_permission_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socket.socket.bind", refuse)
    with pytest.raises(ServerError, match="no permission to use port 80"):
        listen("127.0.0.1", 80)
