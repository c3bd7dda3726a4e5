"""Who may knock: source addresses, and what is asked of floods."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from app.core.errors import Forbidden
from app.gateway.rates import Rates
from app.gateway.refusals import Refusals
from app.model.bot import BotSpec

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Admission:
    """The door's rules; the hub's lists and the bot's own both have to allow an address."""

    def __init__(
        self,
        *,
        allow: Sequence[Network] = (),
        deny: Sequence[Network] = (),
        trusted_proxies: Sequence[Network] = (),
        rates: Rates | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self._allow = tuple(allow)
        self._deny = tuple(deny)
        self._trusted = tuple(trusted_proxies)
        self._lists = bool(allow or deny)
        self.check_rate = (rates or Rates()).check
        """Called for each event that is proved."""
        self.note_refusal = (refusals or Refusals()).note
        """Called for each request that is not."""

    def check_address(self, spec: BotSpec, peer: str, forwarded: Sequence[bytes]) -> None:
        """Forbidden when the request's source may not post for the bot."""
        own = spec.config.security.allow_ips
        if not self._lists and not own:
            return
        address = _parsed(self.source(peer, forwarded))
        if (
            address is None
            or _within(address, self._deny)
            or (self._allow and not _within(address, self._allow))
            or (own and not _within(address, own))
        ):
            raise Forbidden("this address may not post here")

    def source(self, peer: str, forwarded: Sequence[bytes]) -> str:
        """The client's address: the nearest one that no trusted proxy stands for.

        `peer` is empty on a unix socket, whose other end is a proxy of this machine; it is trusted once any is.
        `forwarded` are the X-Forwarded-For headers in the order received, read from the right, where each trusted
        proxy appended what it saw. What a client wrote to the left of that is never reached.
        """
        if not self._trusted or not forwarded:
            return peer
        source = peer
        hops = b",".join(forwarded).split(b",")
        while hops and (source == "" or self._is_trusted(source)):
            hop = _without_port(hops.pop().strip().decode("latin-1"))
            if _parsed(hop) is None:
                break
            source = hop
        return source

    def _is_trusted(self, text: str) -> bool:
        address = _parsed(text)
        return address is not None and _within(address, self._trusted)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A dual-stack socket shows IPv4 peers as ::ffff:192.0.2.1.
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _without_port(hop: str) -> str:
    """Some proxies write `192.0.2.1:4711` or `[2001:db8::1]:4711`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
