"""Values as people write them: spans of time, sizes, networks, lists of words."""

from __future__ import annotations

import math
import re
from ipaddress import IPv4Network, IPv6Network, ip_interface, ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainValidator

_SPAN = re.compile(r"^([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)?$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"^([0-9]+)\s*(B|KB|KiB|MB|MiB|GB|GiB)?$", re.IGNORECASE)
_BYTES = {"b": 1, "kb": 1000, "kib": 1024, "mb": 1000**2, "mib": 1024**2, "gb": 1000**3, "gib": 1024**3}


def parse_span(value: Any) -> float:
    """`500ms`, `30s`, `5m`, `24h`, `30d` (or a plain number of seconds) to seconds; ValueError otherwise."""
    seconds = -1.0
    if isinstance(value, str) and (match := _SPAN.match(value.strip())):
        seconds = float(match[1]) * _SECONDS[match[2] or "s"]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if value < 0:
            raise ValueError("a span cannot be negative")
        seconds = float(value)
    if not 0 <= seconds < math.inf:
        raise ValueError("expected a span such as 500ms, 30s, 5m, 24h or 30d")
    return seconds


def span_text(seconds: float) -> str:
    """The shortest way to write a span, exact to the millisecond: what `parse_span` reads back."""
    millis = round(seconds * 1000)
    for unit in ("d", "h", "m", "s"):
        size = round(_SECONDS[unit] * 1000)
        # 90d and 36h stay as they are read aloud; 24h is not turned into 1d, nor 60s into 1m.
        if millis and millis % size == 0 and (millis // size > 1 or unit == "s"):
            return f"{millis // size}{unit}"
    return f"{millis}ms" if millis else "0s"


def parse_size(value: Any) -> int:
    """`1MiB`, `512KB` or a number of bytes to bytes; ValueError otherwise."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a size such as 1MiB, 512KB or a number of bytes")
    return int(match[1]) * _BYTES[(match[2] or "B").lower()]


def size_text(count: int) -> str:
    """The shortest exact way to write a size: what `parse_size` reads back."""
    for unit, size in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return str(count)


def parse_network(value: Any) -> IPv4Network | IPv6Network:
    """`10.0.0.0/8`, `2001:db8::/32` or a single address to a network; ValueError otherwise."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        network = ip_network(value.strip() if isinstance(value, str) else "", strict=False)
    except ValueError:
        raise ValueError("expected an address or network such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32") from None
    if "/" in value and ip_interface(value.strip()).ip != network.network_address:
        raise ValueError(f"a single address with a mask: write {network}, or the address alone")
    return network


def split_words(value: Any) -> Any:
    """One word, or words with commas between them, as a list: the only form an environment variable has."""
    if value is None:
        return ()
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def read_switch(value: Any) -> Any:
    """`spool: off` and `HighCPU: off` are how an operator says it of a whole section."""
    return {"enabled": value} if isinstance(value, bool) else value


def _no_content(value: dict[str, Any]) -> dict[str, Any]:
    if value:
        raise ValueError("not part of this version: remove it")
    return value


def _no_bool(value: Any) -> Any:
    # Python's True is an int, so that `port: yes` would silently become port 1.
    if isinstance(value, bool):
        raise ValueError("expected a number, found true or false")
    return value


Span = Annotated[float, BeforeValidator(parse_span)]
Size = Annotated[int, BeforeValidator(parse_size)]
Whole = Annotated[int, BeforeValidator(_no_bool)]
Number = Annotated[float, BeforeValidator(_no_bool)]
Network = Annotated[IPv4Network | IPv6Network, PlainValidator(parse_network)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(split_words)]
Words = Annotated[tuple[str, ...], BeforeValidator(split_words)]
Reserved = Annotated[dict[str, Any], AfterValidator(_no_content)]
"""A key that is kept for a later version."""
