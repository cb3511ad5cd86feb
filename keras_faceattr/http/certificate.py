"""A self-signed certificate: browsers allow the camera and threads over https only, except on localhost."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keras_faceattr.storage import cache_folder, replacing

DAYS = 30
OWN_NAMES = ("localhost", "127.0.0.1", "::1")


def certificate_file(addresses: Sequence[str]) -> Path:
    """PEM file of a key and a self-signed certificate for localhost and these addresses; reused while it is valid.

    Args:
        addresses: IP addresses, or names as `http.address.bare_host` returns them.

    Raises:
        RunError: it cannot be written.
    """
    names = list(dict.fromkeys([*OWN_NAMES, *addresses]))
    path = cache_folder() / "http" / "certificate.pem"
    if not _is_usable(path, names):
        with replacing(path, private=True) as temporary:
            temporary.write_bytes(make_certificate(names))
    return path


def make_certificate(names: Sequence[str]) -> bytes:
    """Key (P-256) and certificate, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keras-faceattr")])
    builder = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        # A phone's clock may be slow.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def fingerprint(path: Path) -> str:
    """SHA-256 of a certificate as browsers show it, for a visitor to compare."""
    return x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256()).hex(" ").upper()


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.partition("%")[0]))
    except ValueError:
        return x509.DNSName(name)


def _is_usable(path: Path, names: Sequence[str]) -> bool:
    """Return whether a file holds a key and a certificate for exactly these names that is valid for another day."""
    try:
        content = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(content)
        key = serialization.load_pem_private_key(content, None)
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return (
        left > datetime.timedelta(days=1)
        and set(held) == {_general_name(name) for name in names}
        and key.public_key() == certificate.public_key()
        and path.stat().st_mode & 0o077 == 0
    )
