"""Admission: whose address counts, and whom the lists let in."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from app.core.errors import Forbidden
from app.gateway.admission import Admission
from tests.unit.gateway.kit import bot

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
    assert Admission(trusted_proxies=PROXIES).source(peer, forwarded) == source


def test_without_trusted_proxies_no_header_counts() -> None:
    assert Admission().source("10.0.0.1", [b"198.51.100.9"]) == "10.0.0.1"
    assert Admission().source("", [b"198.51.100.9"]) == ""


def admits(admission: Admission, address: str, *own: str) -> bool:
    try:
        admission.check_address(bot(security={"allow_ips": own}), address, [])
    except Forbidden:
        return False
    return True


def test_lists() -> None:
    office = [ip_network("192.0.2.0/24")]
    assert admits(Admission(), "8.8.8.8")
    assert admits(Admission(allow=office), "192.0.2.7")
    assert not admits(Admission(allow=office), "8.8.8.8")
    assert not admits(Admission(deny=office), "192.0.2.7")
    assert admits(Admission(deny=office), "8.8.8.8")
    assert not admits(Admission(allow=office, deny=[ip_network("192.0.2.7/32")]), "192.0.2.7")


def test_the_bots_list_narrows_the_hubs() -> None:
    hub = Admission(allow=[ip_network("192.0.2.0/24")])
    assert admits(hub, "192.0.2.7", "192.0.2.7/32")
    assert not admits(hub, "192.0.2.8", "192.0.2.7/32")
    assert not admits(hub, "8.8.8.8", "8.8.8.8/32")
    assert admits(Admission(), "8.8.8.8", "8.8.8.8/32")
    assert not admits(Admission(), "8.8.8.9", "8.8.8.8/32")


def test_an_unknown_address_is_on_no_list() -> None:
    assert not admits(Admission(allow=[ip_network("0.0.0.0/0")]), "")
    assert not admits(Admission(deny=[ip_network("192.0.2.0/24")]), "no address")
    assert admits(Admission(), "")
