"""Where a phone finds this machine, and the same as a QR code."""

from __future__ import annotations

import ipaddress
import socket

import segno

ELSEWHERE = ("192.0.2.1", 9)
"""An address that nobody has (RFC 5737): asking which way it lies sends nothing."""

DARK, LIGHT = "30", "97"


def network_address() -> str | None:
    """IPv4 address of this machine on its network; None without one. No packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)
            address = str(probe.getsockname()[0])
        except OSError:
            return None
    return None if is_local(address) else address


def is_local(host: str) -> bool:
    """Whether only this machine reaches an address or name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def url_of(host: str, port: int, *, https: bool) -> str:
    """The page's address."""
    return f"{'https' if https else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"


def qr_code(text: str) -> str:
    """Dark on light whatever the terminal's colours, two rows of modules a line."""
    rows = [list(row) for row in segno.make(text, error="l", micro=False).matrix_iter(border=2)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    return "\n".join(
        "".join(_half_blocks(upper, lower) for upper, lower in zip(*pair, strict=True)) + "\x1b[0m"
        for pair in zip(rows[::2], rows[1::2], strict=True)
    )


def _half_blocks(upper: int, lower: int) -> str:
    """Foreground colours the upper half, background the lower."""
    return f"\x1b[{DARK if upper else LIGHT};{int(DARK if lower else LIGHT) + 10}m▀"
