"""The front door with real Redis behind it: every row of the table of answers, and bad input."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog.testing

from app.core.clock import SYSTEM_CLOCK
from app.core.keys import Keys
from app.core.redis import RedisLink, connect
from app.gateway.admission import Admission
from app.storage.cipher import record_identity
from tests import vectors
from tests.scenario.front import Front, open_front, refusal
from tests.unit.gateway.kit import (
    Request,
    bot,
    message,
    plain_request,
    sealed_request,
    signed_request,
)

NOT_VERIFIED = (401, {"code": "not_verified", "message": "the request could not be verified"})


class TestAccepted:
    async def test_a_message_is_kept_sealed_before_the_answer(self, front: Front) -> None:
        document = message("a secret wish", event_id="e1", message_id="om_1", chat="oc_9")
        response = await front.post(sealed_request(document))
        assert (response.status_code, response.content) == (200, b"{}")
        (entry,) = await front.kept()
        assert (entry.kind, entry.event_id, entry.identity) == ("event", "e1", "om_1")
        assert (entry.conversation, entry.chat_id, entry.user_id) == ("oc_9", "oc_9", "ou_1")
        plain = (await front.ciphers.cipher("support")).open(entry.sealed, record_identity("e1"))
        assert plain == orjson.dumps(document)
        stored = b"".join([value async for value in _everything(front)])
        assert b"secret wish" not in stored
        assert vectors.VERIFICATION_TOKEN.encode() not in stored

    async def test_both_addresses(self, front: Front) -> None:
        await front.post(sealed_request(message(event_id="e1")))
        request = sealed_request(message(event_id="e2"))
        response = await front.http.post("/webhook?bot_id=support", content=request.body, headers=request.headers)
        assert response.status_code == 200
        assert await front.kept_ids() == ["e1", "e2"]

    async def test_a_replayed_request_is_kept_once(self, front: Front) -> None:
        request = sealed_request(message())
        for _ in range(3):
            assert (await front.post(request)).content == b"{}"
        assert len(await front.kept()) == 1
        assert (front.counts.accepted["support"], front.counts.duplicates["support"]) == (1, 2)

    async def test_a_message_under_a_new_event_id_is_a_duplicate(self, front: Front) -> None:
        await front.post(sealed_request(message(event_id="e1", message_id="om_1")))
        await front.post(sealed_request(message(event_id="e2", message_id="om_1")))
        assert await front.kept_ids() == ["e1"]

    async def test_two_bots_each_get_their_own(self, front: Front) -> None:
        request = sealed_request(message(event_id="e1", message_id="om_1"))
        for name in ("support", "other"):
            await front.post(request, name)
            assert await front.kept_ids(name) == ["e1"]

    async def test_unknown_types_and_old_schema_are_kept(self, front: Front) -> None:
        new = message(event_id="e1")
        new["header"]["event_type"] = "something.nobody.knows_v9"
        old = {
            "uuid": "u1",
            "token": vectors.VERIFICATION_TOKEN,
            "ts": "1700000000.1",
            "type": "event_callback",
        }
        for document in (new, {**old, "event": {"type": "p2p_chat_create", "app_id": vectors.APP_ID}}):
            assert (await front.post(sealed_request(document))).status_code == 200
        assert [(entry.event_id, entry.type) for entry in await front.kept()] == [
            ("e1", "something.nobody.knows_v9"),
            ("u1", "p2p_chat_create"),
        ]

    async def test_a_bot_without_keys_that_allows_it(self, front: Front) -> None:
        front.bots.bots["plain"] = bot("plain", keys=(), allow_plaintext=True)
        assert (await front.post(plain_request(message(event_id="e1")), "plain")).status_code == 200
        assert await front.kept_ids("plain") == ["e1"]

    async def test_many_at_once_keep_their_order(self, front: Front) -> None:
        requests = [sealed_request(message(event_id=f"e{n}", chat=f"oc_{n % 7}")) for n in range(300)]
        responses = await asyncio.gather(*(front.post(request) for request in requests))
        assert {response.status_code for response in responses} == {200}
        assert await front.kept_ids() == [f"e{n}" for n in range(300)]
        assert front.counts.commits < 100

    async def test_requests_are_named(self, front: Front) -> None:
        request = sealed_request(message())
        request.headers["X-Request-Id"] = "from-nginx-1"
        assert (await front.post(request)).headers["x-request-id"] == "from-nginx-1"
        assert (await front.post(sealed_request(message()))).headers["x-request-id"]


class TestChallenge:
    @pytest.mark.parametrize("body", [vectors.CHALLENGE_PLAIN, vectors.CHALLENGE_BODY])
    async def test_answered_at_once(self, front: Front, body: bytes) -> None:
        for request in (plain_request(body), signed_request(body)):
            response = await front.post(request)
            assert (response.status_code, response.json()) == (200, {"challenge": "ajls384kdjx98XX"})
        assert await front.kept() == []

    async def test_refused_with_another_token(self, front: Front) -> None:
        front.bots.bots["other"] = bot("other", tokens=("another token",))
        for body in (vectors.CHALLENGE_PLAIN, vectors.CHALLENGE_BODY):
            assert refusal(await front.post(plain_request(body), "other")) == NOT_VERIFIED

    async def test_needs_no_redis(self, tmp_path: Path) -> None:
        link = await connect(f"unix://{tmp_path}/nobody.sock")
        async with open_front(link, Keys("t:"), None) as front:
            assert (await front.post(plain_request(vectors.CHALLENGE_BODY))).status_code == 200
        await link.close()


def _broken() -> Iterator[Any]:
    def case(name: str, request: Request, to: str = "support") -> Any:
        return pytest.param(request, to, id=name)

    good = sealed_request(message())
    without = [dict(good.headers) for _ in range(3)]
    for place, header in enumerate(("X-Lark-Request-Timestamp", "X-Lark-Request-Nonce", "X-Lark-Signature")):
        del without[place][header]
        yield case(f"without {header}", Request(without[place], good.body))
    yield case("signature of another body", Request(sealed_request(message()).headers, good.body))
    yield case("signed with another key", sealed_request(message(), key="another key"))
    yield case("truncated after signing", Request(good.headers, good.body[:-20] + b'"}'))
    yield case("wrong token", sealed_request(message(token="another token")))
    yield case("for another app", sealed_request(message(app_id="cli_another")))
    yield case("plain to a bot with a key", plain_request(message()))
    yield case("plain and signed to a bot with a key", signed_request(orjson.dumps(message())))
    yield case("nine hours old", sealed_request(message(), timestamp=str(int(SYSTEM_CLOCK.now()) - 9 * 3600)))
    yield case("legacy card to a bot that takes none", plain_request(vectors.LEGACY_CARD_BODY))
    yield case("unsigned ciphertext", plain_request(vectors.EVENT_BODY))
    yield case("half a megabyte unsigned", plain_request(b'{"encrypt":"' + b"A" * 500_000 + b'"}'))


@pytest.mark.parametrize(("request_", "to"), list(_broken()))
async def test_whoever_is_not_proved_learns_nothing(front: Front, request_: Request, to: str) -> None:
    with structlog.testing.capture_logs() as logs:
        assert refusal(await front.post(request_, to)) == NOT_VERIFIED
    # The operator learns which check it was, and finds it by what the caller was told.
    (line,) = [line for line in logs if line["event"] == "request refused"]
    assert line["check"]
    assert line["request"]
    assert sum(front.counts.refused.values()) == 1
    assert await front.kept() == []


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(signed_request(b"not json"), id="not JSON"),
        pytest.param(signed_request(b"\xff\xfe\x00"), id="not UTF-8"),
        pytest.param(signed_request(b"[" * 200_000), id="deep"),
        pytest.param(signed_request(b'{"encrypt":"' + b"A" * 100 + b'"}'), id="odd length"),
        pytest.param(signed_request(b'{"encrypt":"' + b"A" * 1_000_000 + b'"}'), id="a megabyte"),
        pytest.param(signed_request(b'{"encrypt":"%%"}'), id="no base64"),
        pytest.param(signed_request(vectors.EVENT_BODY[:-10] + b'"}'), id="truncated before signing"),
        pytest.param(sealed_request(b"not json"), id="not JSON inside"),
        pytest.param(sealed_request(b"\xc3\x28"), id="not UTF-8 inside"),
        pytest.param(sealed_request(b'{"a":' * 5000 + b"1" + b"}" * 5000), id="deep inside"),
        pytest.param(sealed_request(b"[]"), id="a list inside"),
        pytest.param(sealed_request(b'{"hello":"world"}'), id="no event inside"),
        pytest.param(sealed_request(message(event_id="a\nb")), id="an id that is none"),
    ],
)
async def test_what_is_no_event(front: Front, request_: Request) -> None:
    status, error = refusal(await front.post(request_))
    assert (status, error["code"]) == (400, "bad_request")
    assert await front.kept() == []


async def test_odd_timestamps_are_taken_counted_and_warned_of_once(front: Front) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            assert (await front.post(sealed_request(message(), timestamp="soon"))).status_code == 200
    assert front.counts.odd_timestamps["support"] == 3
    assert len([line for line in logs if "timestamps" in line["event"]]) == 1


async def test_no_secret_and_no_text_in_logs_and_errors(front: Front) -> None:
    with structlog.testing.capture_logs() as logs:
        said = [
            (await front.post(request)).text
            for request in (
                sealed_request(message("a secret wish")),
                sealed_request(message("a secret wish", token="another token")),
                signed_request(b'{"encrypt":"a secret wish"}'),
                plain_request(message("a secret wish")),
            )
        ]
    for secret in ("a secret wish", vectors.ENCRYPT_KEY, vectors.VERIFICATION_TOKEN):
        assert secret not in str(logs)
        assert secret not in str(said)


class TestRefused:
    async def test_unknown_bot(self, front: Front) -> None:
        status, error = refusal(await front.post(sealed_request(message()), "nobody"))
        assert (status, error["code"]) == (404, "unknown_bot")

    async def test_too_large(self, front: Front) -> None:
        status, error = refusal(await front.post(signed_request(b"x" * (1024 * 1024 + 1))))
        assert (status, error["code"]) == (413, "too_large")

    async def test_too_many_refused_requests(self, front: Front) -> None:
        stranger, wrong = front.client("198.51.100.9"), plain_request(message())
        for _ in range(20):
            assert (await front.post(wrong, client=stranger)).status_code == 401
        response = await front.post(wrong, client=stranger)
        assert (*refusal(response)[:1], response.headers["retry-after"]) == (429, "60")
        assert refusal(response)[1]["code"] == "too_many_requests"
        # Neither who verifies, nor another bot, nor another address suffers.
        assert (await front.post(sealed_request(message()), client=stranger)).status_code == 200
        assert (await front.post(wrong, "other", client=stranger)).status_code == 401
        assert (await front.post(wrong)).status_code == 401

    async def test_source_address(self, link: RedisLink, keys: Keys) -> None:
        from ipaddress import ip_network

        admission = Admission(allow=[ip_network("192.0.2.0/24")], trusted_proxies=[ip_network("10.0.0.1/32")])
        async with open_front(link, keys, None, admission) as front:
            assert (await front.post(sealed_request(message()))).status_code == 200
            for address, forwarded, status in (
                ("198.51.100.9", None, 403),
                ("198.51.100.9", "192.0.2.7", 403),
                ("10.0.0.1", "192.0.2.7", 200),
                ("10.0.0.1", "198.51.100.9", 403),
                ("10.0.0.1", "192.0.2.7, 198.51.100.9", 403),
            ):
                request = sealed_request(message())
                if forwarded is not None:
                    request.headers["X-Forwarded-For"] = forwarded
                response = await front.post(request, client=front.client(address))
                assert response.status_code == status
                if status == 403:
                    assert refusal(response)[1]["code"] == "forbidden"

    async def test_queue_over_its_size(self, front: Front) -> None:
        front.bots.bots["support"] = bot("support", message={"queue_size": 2})
        for _ in range(2):
            assert (await front.post(sealed_request(message()))).status_code == 200
        refused = sealed_request(message(event_id="e3"))
        response = await front.post(refused)
        assert (refusal(response)[1]["code"], response.status_code) == ("unavailable", 503)
        assert int(response.headers["retry-after"]) > 0
        # It left no mark: sent again later it is new.
        front.bots.bots["support"] = bot("support")
        await front.post(refused)
        assert (await front.kept_ids())[-1] == "e3"

    async def test_events_per_second(self, front: Front) -> None:
        front.bots.bots["support"] = bot("support", events_per_second=3)
        statuses = [(await front.post(sealed_request(message()))).status_code for _ in range(5)]
        assert statuses[:3] == [200, 200, 200]
        assert statuses[-1] == 503
        assert (await front.post(sealed_request(message()), "other")).status_code == 200


async def _everything(front: Front) -> AsyncIterator[bytes]:
    """Every key and what lies in it."""
    async for key in front.link.commands.scan_iter(match=f"{front.keys.prefix}*"):
        yield key + (await front.link.commands.dump(key) or b"")
