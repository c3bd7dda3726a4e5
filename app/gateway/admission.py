"""Who may post: source addresses, and bounds for floods."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.errors import Forbidden
from app.gateway.proxies import Network, Proxies, parsed, within
from app.gateway.rates import Rates
from app.gateway.refusals import Refusals
from app.model.bot import BotSpec


class Admission:
    """The rules at the door; the hub's list and the bot's own must both allow an address."""

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
        self._lists = bool(allow or deny)
        self.source = Proxies(trusted_proxies).source
        """The client's address, from `peer` and the X-Forwarded-For headers."""
        self.check_rate = (rates or Rates()).check
        """Called for each proved event."""
        self.note_refusal = (refusals or Refusals()).note
        """Called for each request that is not proved."""

    def check_address(self, spec: BotSpec, peer: str, forwarded: Sequence[bytes]) -> None:
        """Raise Forbidden if the request's source may not post for the bot."""
        own = spec.config.security.allow_ips
        if not self._lists and not own:
            return
        address = parsed(self.source(peer, forwarded))
        if (
            address is None
            or within(address, self._deny)
            or (self._allow and not within(address, self._allow))
            or (own and not within(address, own))
        ):
            raise Forbidden("this address may not post here")
