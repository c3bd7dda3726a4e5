"""Whose address counts: the client's own, as far as trusted proxies say it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from app.gateway.proxies import Proxies

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "source"),
    [
        pytest.param("192.0.2.1", [], "192.0.2.1", id="direct"),
        pytest.param("192.0.2.1", [b"198.51.100.9"], "192.0.2.1", id="a stranger's header is not believed"),
        pytest.param("10.0.0.1", [b"198.51.100.9"], "198.51.100.9", id="one proxy"),
        pytest.param("10.0.0.1", [b"198.51.100.9, 10.0.0.2"], "198.51.100.9", id="two proxies"),
        pytest.param("10.0.0.1", [b"6.6.6.6, 198.51.100.9"], "198.51.100.9", id="what the client wrote before"),
        pytest.param("10.0.0.1", [b"6.6.6.6", b"198.51.100.9"], "198.51.100.9", id="two headers"),
        pytest.param("10.0.0.1", [b"10.0.0.9"], "10.0.0.9", id="all trusted"),
        pytest.param("10.0.0.1", [], "10.0.0.1", id="a proxy that says nothing"),
        pytest.param("10.0.0.1", [b"198.51.100.9, rubbish"], "10.0.0.1", id="rubbish ends the search"),
        pytest.param("10.0.0.1", [b"\xff\xfe"], "10.0.0.1", id="no text"),
        pytest.param("10.0.0.1", [b"198.51.100.9:4711"], "198.51.100.9", id="with a port"),
        pytest.param("10.0.0.1", [b"[2001:db8::1]:4711"], "2001:db8::1", id="IPv6 with a port"),
        pytest.param("10.0.0.1", [b"2001:db8::1"], "2001:db8::1", id="IPv6"),
        pytest.param("::ffff:10.0.0.1", [b"198.51.100.9"], "198.51.100.9", id="IPv4 on a dual-stack socket"),
        pytest.param("fd00::1", [b"198.51.100.9"], "198.51.100.9", id="IPv6 proxy"),
        pytest.param("", [b"198.51.100.9"], "198.51.100.9", id="unix socket"),
        pytest.param("no address", [b"198.51.100.9"], "no address", id="a peer that is no address"),
    ],
)
def test_source(peer: str, forwarded: list[bytes], source: str) -> None:
    assert Proxies(PROXIES).source(peer, forwarded) == source


def test_without_trusted_proxies_no_header_counts() -> None:
    assert Proxies().source("10.0.0.1", [b"198.51.100.9"]) == "10.0.0.1"
    assert Proxies().source("", [b"198.51.100.9"]) == ""
