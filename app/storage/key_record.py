"""What one place (Redis, the database, a node's file) holds of one bot's data keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

_DESTROYED = b"-"
_ABSENT = b"?"


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """Wrapped keys, the one that seals first, and the ids of keys that are not here: shredded, or not restored yet.

    Kept as words: a wrapped key as it is, `-ID` of a key that was shredded and must never come back, `?ID` of one that
    a backup left out and `feishu-hub keys import` brings.
    """

    wrapped: tuple[bytes, ...] = field(default=(), repr=False)
    destroyed: frozenset[bytes] = frozenset()
    absent: frozenset[bytes] = frozenset()

    @classmethod
    def parse(cls, value: bytes | None) -> KeyRecord:
        """Read it back; nothing at all is an empty record."""
        words = (value or b"").split()
        marks = (_DESTROYED, _ABSENT)
        return cls(
            tuple(word for word in words if not word.startswith(marks)),
            frozenset(_ids(words, _DESTROYED)),
            frozenset(_ids(words, _ABSENT)),
        )

    def packed(self) -> bytes:
        """As it is kept."""
        gone = [_DESTROYED + key_id.hex().encode() for key_id in sorted(self.destroyed)]
        absent = [_ABSENT + key_id.hex().encode() for key_id in sorted(self.absent)]
        return b"\n".join([*self.wrapped, *gone, *absent])


def _ids(words: Iterable[bytes], mark: bytes) -> Iterable[bytes]:
    return (bytes.fromhex(word.removeprefix(mark).decode()) for word in words if word.startswith(mark))
