"""What is known of a request before its body: whom it is from, when it came, how it is signed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from app.gateway.verify import Signed

_TIMESTAMP: Final = b"x-lark-request-timestamp"
_NONCE: Final = b"x-lark-request-nonce"
_SIGNATURE: Final = b"x-lark-signature"
_REQUEST_ID: Final = b"x-request-id"
_LENGTH: Final = b"content-length"
_FORWARDED: Final = b"x-forwarded-for"
_WANTED: Final = frozenset({_TIMESTAMP, _NONCE, _SIGNATURE, _REQUEST_ID, _LENGTH, _FORWARDED})
_FIT_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_UNSIGNED: Final = Signed(None, None, None)


class Head:
    """What the gateway needs of a request's headers, found in one pass."""

    __slots__ = ("_doubled", "_found", "forwarded", "id", "peer", "started")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]], peer: str, started: float) -> None:
        """`peer` is the other end's address, empty on a unix socket; `started` the first byte, monotonic seconds."""
        found: dict[bytes, bytes] = {}
        self._found = found
        self._doubled = False
        self.peer = peer
        self.started = started
        self.forwarded: tuple[bytes, ...] = ()
        for name, value in headers:
            # ASGI servers give names in lower case.
            if name not in _WANTED:
                continue
            if name == _FORWARDED:
                self.forwarded += (value,)
            elif name not in found:
                found[name] = value
            elif name != _REQUEST_ID:
                self._doubled = True
        given = found.get(_REQUEST_ID)
        self.id = b"" if given is None or _FIT_REQUEST_ID.fullmatch(given) is None else given
        """The id a proxy gave the request, if fit to be repeated; otherwise empty until the gateway gives one."""

    @property
    def length(self) -> int:
        """The body's declared length in bytes; 0 if there is none."""
        given = self._found.get(_LENGTH, b"")
        return int(given[:20]) if given.isdigit() else 0

    def signed(self) -> Signed:
        """The signature headers; if one is there twice neither counts, since others may have read the other."""
        if self._doubled:
            return _UNSIGNED
        found = self._found
        return Signed(found.get(_TIMESTAMP) or None, found.get(_NONCE) or None, found.get(_SIGNATURE) or None)
