"""Certificates are looked at where they stand, secrets are good until their day."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.control.alerts.expiry import Expiry
from tests.unit.control.alerts.parts import HandClock

NOW = 1_700_000_000.0
DAY = 86_400.0


def made(path: Path, days: float) -> Path:
    """A certificate with its key, good for so many days from NOW on."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hub.example")])
    end = datetime.datetime.fromtimestamp(NOW + days * DAY, datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(end - datetime.timedelta(days=90))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path


async def test_files_and_servers_show_when_their_certificates_end(tmp_path: Path) -> None:
    path = made(tmp_path / "hub.pem", 10)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    name = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        readings = await Expiry([str(path), name], {}).read(NOW)
    assert readings["certificate_expires"] == {str(path): pytest.approx(10 * DAY), name: pytest.approx(10 * DAY)}


async def test_a_certificate_is_looked_at_once_an_hour(tmp_path: Path) -> None:
    path, clock = made(tmp_path / "hub.pem", 10), HandClock()
    expiry = Expiry([str(path)], {}, clock=clock)
    await expiry.read(NOW)
    made(path, 90)
    assert (await expiry.read(NOW + 60))["certificate_expires"] == {str(path): pytest.approx(10 * DAY - 60)}
    clock.passed += 3600
    assert (await expiry.read(NOW))["certificate_expires"] == {str(path): pytest.approx(90 * DAY)}
    made(path, 200)
    clock.passed += 60
    assert (await expiry.read(NOW))["certificate_expires"] == {str(path): pytest.approx(90 * DAY)}
    path.unlink()
    clock.passed += 3600
    assert (await expiry.read(NOW))["certificate_expires"] == {str(path): pytest.approx(90 * DAY)}, "what was seen last"


async def test_a_certificate_that_was_never_seen_is_no_alert() -> None:
    readings = await Expiry(["/no/such.pem", "127.0.0.1:1", "127.0.0.1:nonsense"], {}).read(NOW)
    assert readings["certificate_expires"] == {}


async def test_a_secret_is_good_until_its_day_begins() -> None:
    day = datetime.datetime.fromtimestamp(NOW, datetime.UTC).date()
    readings = await Expiry([], {"app secret": day, "token": day + datetime.timedelta(days=3)}).read(NOW)
    left = readings["secret_expires"]
    assert left["app secret"] <= 0
    assert left["token"] - left["app secret"] == 3 * DAY
