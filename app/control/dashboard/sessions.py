"""Logins to the dashboard: a signed cookie, a CSRF token tied to it, and few guesses at the token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import deque
from typing import Final

from cachetools import TTLCache
from itsdangerous import BadSignature, TimestampSigner

from app.core.clock import SYSTEM_CLOCK, Clock

COOKIE: Final = "hub_session"
LIFETIME: Final = 12 * 3600
"""Seconds after which one has to log in again."""
# A few wrong tokens are typing errors; more are guesses.
_GUESSES: Final = 10
_GUESS_SPAN: Final = 60.0
_ENDED: Final = 10_000


class _Signer(TimestampSigner):
    """Signs with the hub's own clock."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        super().__init__(key, digest_method=hashlib.sha256)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock.now())


class Sessions:
    """Sessions of one admin token: with a new token they all end."""

    def __init__(self, token: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._token = token.encode()
        # A key of its own, so that what is signed here never passes for something else that the token proves.
        self._key = hmac.digest(self._token, b"dashboard session", "sha256")
        self._signer = _Signer(self._key, clock)
        self._clock = clock
        self._guesses: TTLCache[str, deque[float]] = TTLCache(10_000, _GUESS_SPAN, timer=clock.monotonic)
        self._ended: TTLCache[str, bool] = TTLCache(_ENDED, LIFETIME, timer=clock.monotonic)

    def begin(self, given: str) -> str | None:
        """The cookie of a new session; None if `given` is not the admin token."""
        if not hmac.compare_digest(given.strip().encode(), self._token):
            return None
        return self._signer.sign(secrets.token_urlsafe(18)).decode()

    def holds(self, cookie: str | None) -> bool:
        """Whether a cookie's session is still on."""
        if not cookie or cookie in self._ended:
            return False
        try:
            self._signer.unsign(cookie, max_age=LIFETIME)
        except BadSignature:
            return False
        return True

    def end(self, cookie: str) -> None:
        """End a cookie's session on this node."""
        self._ended[cookie] = True

    def csrf(self, cookie: str) -> str:
        """What this session's forms carry, and no other site knows."""
        return hmac.new(self._key, b"csrf\n" + cookie.encode(), "sha256").hexdigest()

    def is_own(self, cookie: str, csrf: str) -> bool:
        """Whether a form was made in this session."""
        return hmac.compare_digest(self.csrf(cookie).encode(), csrf.encode())

    def patience(self, address: str) -> float:
        """Note a guess at the token from an address; returns the seconds until one is heard again, 0 if this one is."""
        now = self._clock.monotonic()
        times = self._guesses.get(address) or deque(maxlen=_GUESSES)
        if len(times) == _GUESSES and now - times[0] < _GUESS_SPAN:
            return _GUESS_SPAN - (now - times[0])
        times.append(now)
        self._guesses[address] = times
        return 0.0
