"""Spans, sizes and networks, as people write them."""

from __future__ import annotations

import math
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.values import parse_network, parse_size, parse_span, size_text, span_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("5m", 300), ("24h", 86400), ("30d", 2592000), (" 1.5 h ", 5400), ("7", 7), (2, 2)],
)
def test_spans_read_as_seconds(text: Any, seconds: float) -> None:
    assert parse_span(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "5 years", "1s2", "1e3s", True, None, [], -1, math.inf, math.nan, "9" * 400]
)
def test_what_is_no_span_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="span"):
        parse_span(text)


@given(st.integers(min_value=0, max_value=10**12))
def test_a_span_written_reads_back_to_the_millisecond(millis: int) -> None:
    assert parse_span(span_text(millis / 1000)) == pytest.approx(millis / 1000)


@given(st.text())
def test_no_text_breaks_the_reading_of_a_span(text: str) -> None:
    try:
        seconds = parse_span(text)
    except ValueError:
        seconds = 0.0
    assert 0 <= seconds < math.inf


@given(st.integers(min_value=0, max_value=2**62))
def test_a_size_written_reads_back(count: int) -> None:
    assert parse_size(size_text(count)) == count


@pytest.mark.parametrize("text", ["1.5MiB", "-1", -1, True, "1TB", None])
def test_what_is_no_size_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


def test_networks_are_single_addresses_too() -> None:
    assert parse_network("192.0.2.7") == ip_network("192.0.2.7/32")
    assert parse_network("2001:db8::/32") == ip_network("2001:db8::/32")


@pytest.mark.parametrize(("text", "says"), [("10.0.0.1/8", "10.0.0.0/8"), ("here", "192.0.2.7"), (5, "192.0.2.7")])
def test_what_is_no_network_is_refused_with_what_to_write(text: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_network(text)
