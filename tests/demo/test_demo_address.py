"""Where a phone finds the page: addresses, the QR code that says them, and the certificate that vouches for them."""

from __future__ import annotations

import datetime
import re
import socket
import stat
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cryptography import x509

from keras_faceattr.demo import certificate
from keras_faceattr.demo.address import is_local, network_address, qr_code, url_of
from keras_faceattr.demo.certificate import certificate_file, fingerprint


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
    assert [is_local(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert [is_local(host) for host in ("192.168.1.2", "0.0.0.0", "fe80::1", "phone")] == [False] * 4
    assert url_of("192.168.1.2", 80, https=True) == "https://192.168.1.2:80/"
    assert url_of("fe80::1", 8080, https=False) == "http://[fe80::1]:8080/"


@pytest.mark.parametrize("url", ["http://192.168.178.123:8080/", "https://10.0.0.1:443/"])
def test_a_camera_reads_the_address_from_the_printed_code(url: str) -> None:
    rows: list[list[int]] = []
    for line in qr_code(url).splitlines():
        cells = re.findall("\x1b\\[([0-9]+);([0-9]+)m▀", line)
        rows += [
            [0 if upper == "30" else 255 for upper, _ in cells],
            [0 if lower == "40" else 255 for _, lower in cells],
        ]
    picture = np.array(rows, "uint8").repeat(8, 0).repeat(8, 1)
    assert cv2.QRCodeDetector().detectAndDecode(picture)[0] == url


def names_of(path: Path) -> set[str]:
    held = x509.load_pem_x509_certificate(path.read_bytes()).extensions
    return {str(name.value) for name in held.get_extension_for_class(x509.SubjectAlternativeName).value}


def test_a_certificate_names_the_addresses_and_is_private_and_short_lived(own_cache: Path) -> None:
    path = certificate_file(["192.168.1.2"])
    assert names_of(path) == {"localhost", "127.0.0.1", "192.168.1.2"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.is_relative_to(own_cache)
    held = x509.load_pem_x509_certificate(path.read_bytes())
    left = held.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=29) < left <= datetime.timedelta(days=30)
    assert re.fullmatch("([0-9A-F]{2} ){31}[0-9A-F]{2}", fingerprint(path))


def test_a_certificate_is_kept_for_the_same_addresses_alone(own_cache: Path) -> None:
    first = certificate_file(["192.168.1.2"]).read_bytes()
    assert certificate_file(["192.168.1.2"]).read_bytes() == first
    assert certificate_file(["192.168.1.3"]).read_bytes() != first


@pytest.mark.parametrize("damage", ["text", "half", "readable", "old"])
def test_a_damaged_or_old_certificate_is_made_anew(own_cache: Path, monkeypatch: Any, damage: str) -> None:
    if damage == "old":
        monkeypatch.setattr(certificate, "DAYS", 0.5)
    path = certificate_file([])
    first = path.read_bytes()
    monkeypatch.undo()
    monkeypatch.setenv("KERAS_FACEATTR_CACHE", str(own_cache))
    if damage == "text":
        path.write_text("no certificate")
    elif damage == "half":
        path.write_bytes(first[: len(first) // 2])
    elif damage == "readable":
        path.chmod(0o644)
    again = certificate_file([])
    assert again.read_bytes() != first and x509.load_pem_x509_certificate(again.read_bytes())
    assert stat.S_IMODE(again.stat().st_mode) == 0o600
