"""Silences: alerts that an operator does not want to hear of for a while."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts whose rule and subject match these patterns (`*` stands for any letters) are not sent until then."""

    rule: str
    subject: str
    until: float
    """Seconds since the epoch."""
    by: str = ""
    """Who asked for it: a command, the API, an open_id."""

    @property
    def key(self) -> str:
        """Its key: a second silence of the same alerts replaces the first."""
        return f"{self.rule}/{self.subject}"

    def covers(self, rule: str, subject: str, now: float) -> bool:
        """Whether an alert is silenced."""
        return now < self.until and fnmatchcase(rule, self.rule) and fnmatchcase(subject, self.subject)

    def packed(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def unpacked(cls, packed: bytes) -> Silence:
        found: dict[str, Any] = orjson.loads(packed)
        return cls(**found)
