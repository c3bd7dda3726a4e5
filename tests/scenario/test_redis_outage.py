"""A Redis that hangs, refuses or is gone: every request is answered in time and nothing answered 200 is lost."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.gateway.spool import Spool
from tests.redis_servers import Server
from tests.scenario.front import Front, open_front, refusal
from tests.unit.gateway.kit import (
    callback,
    message,
    sealed_request,
)
from tests.waiting import until


class TestOutage:
    @pytest.fixture
    def server(self) -> Iterator[Server]:
        with Server("--appendonly", "yes", "--appendfsync", "no", "--save", "") as server:
            yield server

    @pytest.fixture
    async def away(self, server: Server, tmp_path: Path) -> AsyncIterator[Front]:
        """A front whose Redis can be stopped and killed, with a spool."""
        link = await connect(server.url)
        async with open_front(link, Keys("t:"), Spool(tmp_path / "spool.db", 1 << 30)) as front:
            yield front
        await link.close()

    async def burst(self, front: Front, first: int, count: int) -> list[int]:
        """Statuses of messages posted at once; a Redis that is stopped would let them wait for ever."""
        requests = [sealed_request(message(event_id=f"e{n}")) for n in range(first, first + count)]
        responses = await asyncio.gather(*(front.post(request) for request in requests))
        return [response.status_code for response in responses]

    async def test_a_redis_that_hangs(self, away: Front, server: Server) -> None:
        assert set(await self.burst(away, 0, 5)) == {200}
        server.signal(signal.SIGSTOP)
        assert set(await self.burst(away, 5, 5)) == {200}
        assert set(await self.burst(away, 10, 5)) == {200}
        assert away.acceptor.place == "spool"
        click = await away.post(sealed_request(callback()))
        assert click.json()["toast"]["type"] == "error"
        server.signal(signal.SIGCONT)
        assert away.spool is not None
        await until(lambda: not away.acceptor.trouble.is_set())
        assert set(await self.burst(away, 15, 5)) == {200}
        # What was in flight when it stopped was taken all the same; nothing is there twice or out of order.
        events = [entry.event_id for entry in await away.kept() if entry.kind == "event"]
        assert events == [f"e{n}" for n in range(20)]
        assert not away.acceptor.down

    async def test_a_redis_that_refuses_writes(self, away: Front) -> None:
        await self.burst(away, 0, 3)
        await away.link.commands.config_set("maxmemory", "1")
        assert set(await self.burst(away, 3, 3)) == {200}
        assert away.acceptor.place == "spool"
        await away.link.commands.config_set("maxmemory", "0")
        await until(lambda: not away.acceptor.trouble.is_set())
        assert await away.kept_ids() == [f"e{n}" for n in range(6)]

    async def test_a_redis_that_is_gone_and_a_node_that_restarts(
        self, server: Server, tmp_path: Path, link: RedisLink, keys: Keys
    ) -> None:
        gone = await connect(server.url)
        server.close()
        async with open_front(gone, keys, Spool(tmp_path / "spool.db", 1 << 30)) as front:
            assert set(await self.burst(front, 0, 50)) == {200}
        await gone.close()
        async with open_front(link, keys, Spool(tmp_path / "spool.db", 1 << 30)) as front:
            await until(lambda: front.spool is not None and front.spool.depth == 0)
            assert await front.kept_ids() == [f"e{n}" for n in range(50)]

    async def test_no_place_is_safe(self, server: Server, tmp_path: Path) -> None:
        link = await connect(server.url)
        server.close()
        for spool in (None, Spool(tmp_path / "small.db", 100)):
            async with open_front(link, Keys("t:"), spool) as front:
                assert set(await self.burst(front, 0, 5)) == {503}
                response = await front.post(sealed_request(message()))
                assert refusal(response)[1]["code"] == "unavailable"
                assert int(response.headers["retry-after"]) > 0
        await link.close()
