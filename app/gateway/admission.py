"""Who may knock: source addresses, floods of refused requests, and a bot's bound on events a second."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from cachetools import TTLCache

from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import Forbidden, TooMany, Unavailable
from app.model.bot import BotSpec

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# So many refused requests of one address for one bot within the window; after it, the rest of the window is 429.
_REFUSALS: Final = 20
_WINDOW: Final = 60.0
# Addresses watched at once. A caller with more than these can only make the gateway forget refusals.
_WATCHED: Final = 10_000


class Admission:
    """The door's rules; the hub's lists and the bot's own both have to allow an address."""

    def __init__(
        self,
        *,
        allow: Sequence[Network] = (),
        deny: Sequence[Network] = (),
        trusted_proxies: Sequence[Network] = (),
        refusals: int = _REFUSALS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._allow = tuple(allow)
        self._deny = tuple(deny)
        self._trusted = tuple(trusted_proxies)
        self._lists = bool(allow or deny)
        self._refusals = refusals
        self._clock = clock
        self._refused: TTLCache[tuple[str, str], int] = TTLCache(_WATCHED, _WINDOW, timer=clock.monotonic)
        self._next_free: dict[str, float] = {}

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

    def check_rate(self, spec: BotSpec) -> None:
        """Unavailable when the bot gets more than its `events_per_second` through this gateway.

        A second's worth may come at once.
        """
        rate = spec.config.events_per_second
        if rate is None:
            return
        now = self._clock.monotonic()
        next_free = max(self._next_free.get(spec.id, 0.0), now)
        if next_free - now > max(1.0, 1.0 / rate) - 1.0 / rate + 1e-9:
            raise Unavailable("the bot gets more events than its events_per_second", retry_after=1.0)
        self._next_free[spec.id] = next_free + 1.0 / rate

    def note_refusal(self, bot: str, source: str) -> None:
        """Count a request that was not proved; TooMany when its source has had too many.

        Asked only after a request has failed, so that one that verifies is never refused for what others did
        from the same address.
        """
        count = self._refused.get((bot, source), 0) + 1
        if count <= self._refusals:
            # Not renewed beyond the bound: writing would start the window anew.
            self._refused[bot, source] = count
            return
        raise TooMany("too many refused requests from this address", retry_after=_WINDOW)

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
