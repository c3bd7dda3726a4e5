"""Datagrams of numbers, as a statsd server hears them."""

from __future__ import annotations

import socket
from collections import defaultdict

import pytest
from prometheus_client.metrics_core import Metric

from app.control.health.exporter import Gauges, families
from app.control.health.statsd import Statsd, packed, series_of
from app.gateway.counts import Counts, Histogram


def page(accepted: int = 5) -> list[Metric]:
    counts = Counts(
        requests=accepted,
        accepted=defaultdict(int, {"echo": accepted}),
        refused=defaultdict(int, {("echo", "not_verified", ""): 1}),
        accept_seconds=Histogram((0.1, 1.0), [4, 0, 1], 3.5),
    )
    return list(families(Gauges(waiting={"echo": 3}), counts))


def lines(statsd: Statsd, accepted: int = 5) -> list[str]:
    return statsd.lines(page(accepted), {})


def test_labels_are_parts_of_the_name_or_tags() -> None:
    plain = lines(Statsd("h", 1, "hub.", tags=False))
    assert "hub.events_accepted.echo:5|c" in plain
    assert "hub.requests_refused.echo.not_verified.none:1|c" in plain
    assert "hub.queue_waiting.echo:3|g" in plain
    tagged = lines(Statsd("h", 1, "hub.", tags=True))
    assert "hub.events_accepted:5|c|#bot:echo" in tagged
    assert "hub.redis_up:1|g" in tagged


def test_counters_are_told_by_what_came_since() -> None:
    statsd = Statsd("h", 1, "hub.", tags=False)
    lines(statsd, 5)
    assert [one for one in lines(statsd, 8) if "accepted" in one] == ["hub.events_accepted.echo:3|c"]
    assert [one for one in lines(statsd, 8) if "accepted" in one] == []
    assert "hub.queue_waiting.echo:3|g" in lines(statsd, 8)


def test_histograms_are_a_count_and_a_sum() -> None:
    found = [one for one in lines(Statsd("h", 1, "hub.", tags=False)) if "accept_seconds" in one]
    assert sorted(found) == ["hub.accept_seconds_count:5|c", "hub.accept_seconds_sum:3.5|c"]


def test_what_other_processes_count_is_told_too() -> None:
    statsd = Statsd("h", 1, "hub.", tags=False)
    [sends] = series_of(b'["hub_sends", "hub_sends_total", {"api": "im", "bot": "echo"}, "Calls"]')
    buckets = {
        name
        for le in ("0.1", "+Inf")
        for name in series_of(b'["w", "w_bucket", {"bot": "echo", "le": "%s"}, ""]' % le.encode())
    }
    [spans] = buckets
    assert set(statsd.lines([], {sends: 4, spans: 7})) == {"hub.sends.im.echo:4|c", "hub.w_count.echo:7|c"}
    assert statsd.lines([], {sends: 4, spans: 9}) == ["hub.w_count.echo:2|c"]


def test_datagrams_are_full_and_no_fuller() -> None:
    given = [f"hub.number{n}:1|c" for n in range(500)]
    datagrams = packed(given)
    assert b"\n".join(datagrams).decode().split("\n") == given
    assert all(1100 < len(one) <= 1232 for one in datagrams[:-1])
    assert packed([]) == []


async def test_a_server_hears_them() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        await Statsd("127.0.0.1", server.getsockname()[1], "hub.", tags=False).report(page(), {})
        assert b"hub.events_accepted.echo:5|c" in server.recv(2000).split(b"\n")


async def test_a_server_that_cannot_be_found_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    statsd = Statsd("no.such.host.invalid", 8125, "hub.", tags=False)
    await statsd.report(page(), {})
    await statsd.report(page(), {})
    captured = capsys.readouterr()
    assert (captured.out + captured.err).count("statsd takes no numbers") == 1
