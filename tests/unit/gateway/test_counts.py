"""What the gateway counts."""

from __future__ import annotations

from app.gateway.counts import Counts


def test_a_copy_stays_as_it_was() -> None:
    counts = Counts()
    counts.accepted["echo"] += 1
    counts.accept_seconds.observe(0.001)
    copy = counts.copied()
    counts.requests += 1
    counts.accepted["echo"] += 1
    counts.accepted["hr"] += 1
    counts.accept_seconds.observe(0.001)
    assert (copy.requests, dict(copy.accepted)) == (0, {"echo": 1})
    assert (sum(copy.accept_seconds.counts), copy.accept_seconds.total) == (1, 0.001)
