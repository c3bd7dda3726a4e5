"""Values as people write them in YAML: spans of time and sizes."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_SPAN = re.compile(r"^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"^(\d+)\s*(B|KB|KiB|MB|MiB|GB|GiB)?$", re.IGNORECASE)
_BYTES = {"b": 1, "kb": 1000, "kib": 1024, "mb": 1000**2, "mib": 1024**2, "gb": 1000**3, "gib": 1024**3}


def parse_span(value: Any) -> float:
    """`500ms`, `30s`, `5m`, `24h`, `30d` (or a plain number of seconds) to seconds; ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("expected a span such as 500ms, 30s, 5m, 24h or 30d")
    if isinstance(value, int | float):
        if value < 0:
            raise ValueError("a span cannot be negative")
        return float(value)
    match = _SPAN.match(value.strip())
    if match is None:
        raise ValueError("expected a span such as 500ms, 30s, 5m, 24h or 30d")
    return float(match[1]) * _SECONDS[match[2]]


def parse_size(value: Any) -> int:
    """`1MiB`, `512KB` or a number of bytes to bytes; ValueError otherwise."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a size such as 1MiB, 512KB or a number of bytes")
    return int(match[1]) * _BYTES[(match[2] or "B").lower()]


Span = Annotated[float, BeforeValidator(parse_span)]
Size = Annotated[int, BeforeValidator(parse_size)]
