"""Callbacks through the front door: the answer of a worker, a late one, a stored one, none."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from app.queue.envelope import result_aad
from app.queue.work import Work
from app.storage.cipher import record_identity
from tests import vectors
from tests.scenario.front import Front
from tests.unit.gateway.kit import (
    Request,
    bot,
    callback,
    message,
    sealed_request,
)
from tests.waiting import until


class TestCallbacks:
    async def work(self, front: Front) -> Work:
        found: list[Work] = []

        async def taken() -> bool:
            found.extend(await front.mailbox.take("support", "w1", 0, calls=1))
            return bool(found)

        await until(taken)
        return found[0]

    async def reply(self, front: Front, answer: Any) -> Work:
        work = await self.work(front)
        cipher = await front.ciphers.cipher("support")
        event_id = work.entry.event_id
        sealed = cipher.seal(orjson.dumps(answer), result_aad(event_id))
        await front.calls.answer("support", event_id, work.log_id, sealed)
        return work

    @pytest.mark.parametrize("value", [{"action": "approve"}, "a string", {"deep": {"er": [1]}}])
    async def test_the_workers_answer_is_the_answer(self, front: Front, value: Any) -> None:
        toast = {"toast": {"type": "success", "content": "完成"}}
        document = callback(event_id="c1", value=value)
        asking = asyncio.create_task(front.post(sealed_request(document)))
        work = await self.reply(front, toast)
        response = await asking
        assert (response.status_code, response.json()) == (200, toast)
        assert (work.entry.kind, work.entry.conversation) == ("call", "call:c1")
        opened = (await front.ciphers.cipher("support")).open(work.entry.sealed, record_identity("c1"))
        assert orjson.loads(opened)["event"]["action"]["value"] == value
        # A duplicate gets the stored answer, and no worker is asked again.
        again = await front.post(sealed_request(document))
        assert again.json() == toast
        assert len(await front.kept()) == 1

    async def test_link_previews(self, front: Front) -> None:
        asking = asyncio.create_task(front.post(sealed_request(callback("url.preview.get"))))
        await self.reply(front, {"inline": {"title": "t"}})
        assert (await asking).json() == {"inline": {"title": "t"}}

    async def test_legacy_cards_where_the_bot_takes_them(self, front: Front) -> None:
        front.bots.bots["support"] = bot("support", legacy_cards=True, max_age="3650d")
        headers = {
            "X-Lark-Request-Timestamp": vectors.TIMESTAMP,
            "X-Lark-Request-Nonce": vectors.NONCE,
            "X-Lark-Signature": vectors.LEGACY_CARD_SIGNATURE,
        }
        asking = asyncio.create_task(front.post(Request(headers, vectors.LEGACY_CARD_BODY)))
        work = await self.reply(front, {"config": {}})
        assert (await asking).json() == {"config": {}}
        assert work.entry.type == "card.action.trigger_v1"

    async def test_a_slow_worker(self, front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.gateway.webhook.ANSWER_WITHIN", 0.2)
        response = await front.post(sealed_request(callback(event_id="c1")))
        assert (response.status_code, response.content) == (200, b"{}")
        work = await self.work(front)
        assert await front.calls.answer("support", "c1", work.log_id, b"x") == "late"

    async def test_too_many_events_are_told_to_the_person(self, front: Front) -> None:
        front.bots.bots["support"] = bot("support", events_per_second=1)
        await front.post(sealed_request(message()))
        response = await front.post(sealed_request(callback()))
        assert (response.status_code, response.json()["toast"]["type"]) == (200, "error")
