"""The transport: what counts as an answer, what counts as none, and whether the request left."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from app.core.errors import FeishuRefused, FeishuUnavailable
from app.feishu.client import NO_CODE, FeishuApi, Part
from tests.unit.channel.stand_in import Fault, FaultKind, Seen, StandIn

THING = "/open-apis/thing"


@pytest.fixture
async def feishu() -> AsyncIterator[StandIn]:
    stand_in = StandIn()
    await stand_in.start()
    stand_in.good.add("t-1")
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def api() -> AsyncIterator[FeishuApi]:
    async with FeishuApi(file_limit=1_000_000) as api:
        yield api


async def test_an_answer_is_read_whole(api: FeishuApi, feishu: StandIn) -> None:
    feishu.answers[f"POST {THING}"] = {"code": 0, "msg": "ok", "data": {"a": 1}, "beside": 2}
    answer = await api.request(
        feishu.url, "POST", THING, token="t-1", query=[("q", "a b&c"), ("q2", "中")], json={"text": "你好"}
    )
    assert (answer.status, answer.code, answer.msg, answer.log_id) == (200, 0, "ok", "log-1")
    assert answer.data == {"a": 1}
    assert answer.document["beside"] == 2
    seen = feishu.seen[0]
    assert seen.query == {"q": "a b&c", "q2": "中"}
    assert seen.json == {"text": "你好"}
    assert seen.headers["Content-Type"] == "application/json; charset=utf-8"
    assert seen.headers["Authorization"] == "Bearer t-1"


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_the_code_decides_whatever_the_status_is(api: FeishuApi, feishu: StandIn, status: int) -> None:
    feishu.faults.append(Fault("code", code=230002, status=status))
    answer = await api.request(feishu.url, "POST", THING, token="t-1", json={})
    assert (answer.status, answer.code) == (status, 230002)


async def test_a_success_may_come_with_an_error_status(api: FeishuApi, feishu: StandIn) -> None:
    feishu.faults.append(Fault("code", code=0, status=500))
    assert (await api.request(feishu.url, "GET", THING, token="t-1")).code == 0


@pytest.mark.parametrize("kind", ["lost_before", "lost_after", "half", "html", "empty"])
async def test_no_usable_answer_may_have_been_sent(api: FeishuApi, feishu: StandIn, kind: FaultKind) -> None:
    feishu.faults.append(Fault(kind))
    with pytest.raises(FeishuUnavailable) as caught:
        await api.request(feishu.url, "POST", THING, token="t-1", json={"text": "private"})
    assert caught.value.sent
    assert caught.value.retryable
    assert "private" not in str(caught.value)


@pytest.mark.parametrize("body", [b"[]", b'{"msg":"no code"}', b'{"code":"0"}', b'{"code":true}', b"\xff"])
async def test_json_that_is_not_feishus_is_no_answer(api: FeishuApi, feishu: StandIn, body: bytes) -> None:
    feishu.answers[f"GET {THING}"] = lambda seen: web.Response(body=body, content_type="application/json")
    with pytest.raises(FeishuUnavailable):
        await api.request(feishu.url, "GET", THING, token="t-1")


async def test_a_refused_connection_was_not_sent(api: FeishuApi) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(FeishuUnavailable, match="domain") as caught:
        await api.request(url, "POST", THING, json={})
    assert not caught.value.sent


async def test_a_silent_server_is_left_after_the_timeout(api: FeishuApi) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(FeishuUnavailable) as caught:
            await api.request(url, "POST", THING, json={}, timeout=0.1)
    assert caught.value.sent


async def test_429_without_a_body_is_an_answer(api: FeishuApi, feishu: StandIn) -> None:
    feishu.answers[f"GET {THING}"] = lambda seen: web.Response(status=429, text="slow down")
    answer = await api.request(feishu.url, "GET", THING, token="t-1")
    assert (answer.status, answer.code) == (429, NO_CODE)


async def test_a_redirect_is_not_followed(api: FeishuApi, feishu: StandIn) -> None:
    feishu.answers[f"GET {THING}"] = lambda seen: web.Response(status=302, headers={"Location": "/elsewhere"})
    with pytest.raises(FeishuUnavailable):
        await api.request(feishu.url, "GET", THING, token="t-1")
    assert len(feishu.seen) == 1


async def test_connections_are_kept(api: FeishuApi, feishu: StandIn) -> None:
    feishu.answers[f"GET {THING}"] = {"code": 0}
    for _ in range(3):
        await api.request(feishu.url, "GET", THING, token="t-1")
    pool = api._open().connector
    assert pool is not None
    assert sum(len(idle) for idle in pool._conns.values()) == 1


async def test_a_download_gives_the_bytes(api: FeishuApi, feishu: StandIn) -> None:
    data = bytes(range(256)) * 1000
    feishu.answers[f"GET {THING}"] = lambda seen: web.Response(body=data, content_type="image/png")
    answer = await api.request(feishu.url, "GET", THING, token="t-1", binary=True)
    assert answer.code == 0
    assert answer.raw == data


@pytest.mark.parametrize("status", [200, 400])
async def test_a_json_error_is_no_file(api: FeishuApi, feishu: StandIn, status: int) -> None:
    feishu.faults.append(Fault("code", code=234003, status=status))
    answer = await api.request(feishu.url, "GET", THING, token="t-1", binary=True)
    assert answer.code == 234003


async def test_a_json_file_is_a_file(api: FeishuApi, feishu: StandIn) -> None:
    named = {"Content-Disposition": 'attachment; filename="a.json"', "Content-Type": "application/json"}
    feishu.answers[f"GET {THING}"] = lambda seen: web.Response(body=b'{"code":5,"msg":"mine"}', headers=named)
    answer = await api.request(feishu.url, "GET", THING, token="t-1", binary=True)
    assert answer.code == 0
    assert answer.raw == b'{"code":5,"msg":"mine"}'


@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_over_the_bound_is_not_read(api: FeishuApi, feishu: StandIn, announced: bool) -> None:
    def large(seen: Seen) -> web.Response:
        response = web.Response(body=b"x" * 1_000_001, content_type="image/png")
        if not announced:
            response.enable_chunked_encoding()
        return response

    feishu.answers[f"GET {THING}"] = large
    with pytest.raises(FeishuRefused, match="over 1 MB"):
        await api.request(feishu.url, "GET", THING, token="t-1", binary=True)


async def test_a_gateways_page_is_no_file(api: FeishuApi, feishu: StandIn) -> None:
    feishu.faults.append(Fault("html"))
    with pytest.raises(FeishuUnavailable):
        await api.request(feishu.url, "GET", THING, token="t-1", binary=True)


async def test_an_upload_is_multipart(api: FeishuApi, feishu: StandIn) -> None:
    feishu.answers[f"POST {THING}"] = {"code": 0}
    data = bytes(range(256)) * 8000
    for _ in range(2):
        form = (Part("file_name", "报告.pdf"), Part("file", data))
        await api.request(feishu.url, "POST", THING, token="t-1", form=form)
    seen = feishu.seen[1]
    assert seen.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert data in seen.body
    assert "报告.pdf".encode() in seen.body
    assert b'name="file"; filename="file"' in seen.body
