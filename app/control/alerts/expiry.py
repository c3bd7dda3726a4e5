"""How long certificates and secrets remain valid."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Final

from cryptography import x509

from app.control.alerts.round import Readings
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.logs import get_logger

_AGAIN: Final = 3600.0
_TIMEOUT: Final = 10.0

log = get_logger(__name__)


class Expiry:
    """A source of signals: looks at certificates once an hour."""

    def __init__(
        self, certificates: Sequence[str], secrets: Mapping[str, date], *, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """`certificates` are HOST, HOST:PORT, or paths of PEM files."""
        self._certificates = certificates
        self._secrets = secrets
        self._clock = clock
        self._ends: dict[str, float] = {}
        self._looked: float | None = None

    async def read(self, now: float) -> Readings:
        """Seconds that remain; for a certificate that cannot be read, by what was read last."""
        if self._certificates and (self._looked is None or self._clock.monotonic() - self._looked >= _AGAIN):
            self._looked = self._clock.monotonic()
            await asyncio.gather(*map(self._look, self._certificates))
        # A secret is valid until its day begins.
        days = {name: datetime.combine(day, time(), UTC).timestamp() for name, day in self._secrets.items()}
        return {
            "certificate_expires": {name: end - now for name, end in self._ends.items()},
            "secret_expires": {name: end - now for name, end in days.items()},
        }

    async def _look(self, name: str) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                self._ends[name] = (await _certificate(name)).not_valid_after_utc.timestamp()
        except (OSError, TimeoutError, ValueError) as error:
            log.warning("certificate cannot be seen", certificate=name, error=f"{type(error).__name__}: {error}")


async def _certificate(name: str) -> x509.Certificate:
    if "/" in name:
        return x509.load_pem_x509_certificate(await asyncio.to_thread(Path(name).read_bytes))
    host, _, port = name.partition(":")
    context = ssl.create_default_context()
    # Only the date matters, and a certificate not trusted here has one too.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(host, int(port or 443), ssl=context, server_hostname=host)
    try:
        shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
        certificate = shown.getpeercert(binary_form=True)
        if certificate is None:
            raise ValueError("no certificate was shown")
        return x509.load_der_x509_certificate(certificate)
    finally:
        writer.close()
