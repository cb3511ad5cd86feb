"""Addresses of this machine: which one to listen on, which one a phone can reach, and how a URL writes it."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from keras_faceattr.errors import ServerError

LOOPBACK, ANY = "127.0.0.1", "0.0.0.0"
ALL_ADDRESSES = (ANY, "::")
"""Hosts that stand for every address of this machine."""

UNASSIGNED = ("192.0.2.1", 9)
"""An address that nobody has (RFC 5737); looking up the route to it sends nothing."""

BACKLOG = 128


def bare_host(host: str) -> str:
    """A host in the ASCII form that DNS, certificates and `Host` headers use, without the brackets of IPv6.

    Raises:
        ServerError: no such name can exist.
    """
    name = host.strip()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    try:
        return name.encode("idna").decode() if not name.isascii() else _checked(name)
    except UnicodeError:
        raise ServerError(unknown_host(host)) from None


def _checked(name: str) -> str:
    if not name or any(not 0 < len(label) < 64 for label in name.removesuffix(".").split(".")):
        raise UnicodeError
    return name


def unknown_host(host: str) -> str:
    """The error for a host on which nothing can listen."""
    return (
        f"--host {host!r} is not an address of this machine: use {LOOPBACK} for this machine alone, {ANY} for every "
        "network it is on, or one of its own addresses"
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; connections wait in its queue until a server accepts them.

    Args:
        host: a name with several addresses listens on the first that is ours, IPv4 first.
        port: 0 chooses a free one.

    Raises:
        ServerError: the host is not ours, or the port is taken, reserved or out of range.
    """
    if not 0 <= port <= 65535:
        raise ServerError(f"--port {port} is out of range: use 0 to 65535, 0 for any free port")
    name = bare_host(host)
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise ServerError(unknown_host(host)) from None
    refusals = []
    for family, _, _, _, address in sorted(found, key=lambda one: one[0] != socket.AF_INET):
        try:
            return _bound(family, address, both=name == "::")
        except OSError as error:
            refusals.append(error)
    raise ServerError(_refusal(host, port, refusals[0])) from None


def _bound(family: int, address: tuple[object, ...], *, both: bool) -> socket.socket:
    # Named, as asyncio sends small answers at once (TCP_NODELAY) only where it sees TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            # Elsewhere it would let two servers share a port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: choose another one with --port, or 0 for any free port"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"no permission to use port {port}: choose one from 1024 to 65535 with --port"
    return unknown_host(host)


def network_address() -> str | None:
    """IPv4 address of this machine on its network, or None if it has none. No packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(UNASSIGNED)
            address = str(probe.getsockname()[0])
        except OSError:
            return None
    return None if is_local(address) else address


def is_local(host: str) -> bool:
    """Return whether only this machine reaches an address or name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def url_of(host: str, port: int, *, https: bool) -> str:
    """Address of the root of a server."""
    name = f"[{host.replace('%', '%25')}]" if ":" in host else host
    return f"{'https' if https else 'http'}://{name}:{port}/"
