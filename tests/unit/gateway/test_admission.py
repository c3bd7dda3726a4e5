"""Admission: whom the lists let in."""

from __future__ import annotations

from ipaddress import ip_network

from app.core.errors import Forbidden
from app.gateway.admission import Admission
from tests.unit.gateway.kit import bot


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
