"""Whose request it is: the client's address, read from X-Forwarded-For as far as trusted proxies wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Proxies:
    """Those that are trusted; without any no header counts."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self._trusted = tuple(trusted)

    def source(self, peer: str, forwarded: Sequence[bytes]) -> str:
        """The client's address: the nearest one that is not a trusted proxy's.

        `peer` is empty on a unix socket, whose other end is a proxy on this machine; it is trusted once any is.
        `forwarded` are the X-Forwarded-For headers in the order received, read from the right, where each trusted
        proxy appended what it saw. What a client wrote to the left of that is never reached.
        """
        if not self._trusted or not forwarded:
            return peer
        source = peer
        hops = b",".join(forwarded).split(b",")
        while hops and (source == "" or self._is_trusted(source)):
            hop = _without_port(hops.pop().strip().decode("latin-1"))
            if parsed(hop) is None:
                break
            source = hop
        return source

    def _is_trusted(self, text: str) -> bool:
        address = parsed(text)
        return address is not None and within(address, self._trusted)


@lru_cache(maxsize=4096)
def parsed(text: str) -> Address | None:
    """An address that is written down; None for other text."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A dual-stack socket shows IPv4 peers as ::ffff:192.0.2.1.
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def within(address: Address, networks: Sequence[Network]) -> bool:
    """Whether an address is of one of the networks."""
    return any(address in network for network in networks)


def _without_port(hop: str) -> str:
    """Cut off the port that some proxies write: `192.0.2.1:4711` or `[2001:db8::1]:4711`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
