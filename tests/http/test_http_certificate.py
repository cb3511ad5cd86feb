"""The certificate of https: whom it names, how long it is valid, and that its key stays private."""

from __future__ import annotations

import datetime
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from keras_faceattr.http import certificate
from keras_faceattr.http.certificate import certificate_file, fingerprint


def names_of(path: Path) -> set[str]:
    held = x509.load_pem_x509_certificate(path.read_bytes()).extensions
    return {str(name.value) for name in held.get_extension_for_class(x509.SubjectAlternativeName).value}


def test_a_certificate_names_the_addresses_and_is_private_and_short_lived(own_cache: Path) -> None:
    path = certificate_file(["192.168.1.2"])
    assert names_of(path) == {"localhost", "127.0.0.1", "::1", "192.168.1.2"}
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


def test_a_name_that_is_not_ascii_and_an_address_with_a_zone_can_be_certified(own_cache: Path) -> None:
    path = certificate_file(["xn--bcher-kva.example", "fe80::1%eth0"])
    assert {"xn--bcher-kva.example", "fe80::1"} <= names_of(path)
