"""Builds the public side of a node: admission, group commit, spool, callbacks, and the ASGI app over them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from app.control.health.status import Health, Place
from app.core.ending import running
from app.core.errors import StoreUnavailable
from app.core.outage import guard
from app.gateway.accept import Acceptor
from app.gateway.admission import Admission
from app.gateway.calls import Callbacks
from app.gateway.counts import Counts
from app.gateway.drain import SpoolDrainer
from app.gateway.floods import Floods
from app.gateway.rates import Rates
from app.gateway.refusals import Refusals
from app.gateway.routes import Gateway
from app.gateway.spool import Spool
from app.gateway.webhook import Webhook
from app.model.catalog import Catalog
from app.wiring import Stores


@dataclass(frozen=True, slots=True)
class Front:
    """A gateway that runs."""

    app: Gateway = field(repr=False)
    counts: Counts
    acceptor: Acceptor = field(repr=False)
    spool: Spool | None = field(repr=False)

    def place(self, *, away: bool) -> Place:
        """Where an event would be made safe now; `away` says of Redis what no event has found out yet."""
        return self.acceptor.fallback if away else self.acceptor.place

    @property
    def spooled(self) -> int:
        """How many events wait in the spool."""
        return self.spool.depth if self.spool is not None else 0


@asynccontextmanager
async def open_front(stores: Stores, catalog: Catalog, health: Health) -> AsyncIterator[Front]:
    """The gateway with everything that runs beside it."""
    settings = stores.settings
    async with AsyncExitStack() as closing:
        counts = Counts()
        spool: Spool | None = None
        if settings.spool.enabled:
            spool = Spool(settings.data_dir / "spool.db", settings.spool.max_size)
            await spool.open()
            closing.push_async_callback(spool.close)
            stores.shreds.tell(spool.forget)
        acceptor = Acceptor(stores.mailbox, spool, counts=counts)
        closing.push_async_callback(acceptor.close)

        if not stores.keyring.proved:
            # Redis may come back as another cluster's: nothing is written there before that is known.
            acceptor.down = True
            acceptor.trouble.set()

        async def probe() -> None:
            if not stores.keyring.proved:
                raise StoreUnavailable("the node's master key is not proved yet")
            # A write, since a Redis that is full, or a replica, still answers reads.
            with guard():
                await stores.link.commands.set(stores.keys.probe, b"1", ex=10)

        drainer = SpoolDrainer(acceptor, stores.mailbox, spool, probe)
        rates, refusals = Rates(), Refusals()
        floods = Floods(rates, refusals, stores.link, stores.keys)
        beside = ((drainer.run(), "drainer"), (stores.calls.listen(), "callback answers"), (floods.run(), "floods"))
        for work, name in beside:
            await closing.enter_async_context(running(work, name))
        security = settings.security
        admission = Admission(
            allow=security.allow_ips,
            deny=security.deny_ips,
            trusted_proxies=security.trusted_proxies,
            rates=rates,
            refusals=refusals,
        )
        callbacks = Callbacks(acceptor, stores.calls, counts=counts)
        webhook = Webhook(admission, stores.keyring, acceptor, callbacks, counts=counts)
        app = Gateway(catalog, admission, webhook, health.public, max_body=settings.max_body, counts=counts)
        yield Front(app, counts, acceptor, spool)
