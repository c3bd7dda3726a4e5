"""Which calls go through the proxy that the environment names, and how."""

from __future__ import annotations

import asyncio
import base64

import pytest

from app.feishu.client import FeishuApi
from app.feishu.proxy import proxy_to

NAMES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("http_proxy", "proxy:3129")
    monkeypatch.setenv("no_proxy", "feishu.internal,10.0.0.9")


@pytest.mark.parametrize(
    ("address", "proxy"),
    [
        ("https://open.feishu.cn", "http://proxy:3128"),
        ("http://open.feishu.example", "http://proxy:3129"),
        ("https://open.feishu.internal", None),
        ("http://10.0.0.9:8080", None),
        ("http://127.0.0.1:9091", None),
        ("http://[::1]:9091", None),
        ("https://localhost", None),
    ],
)
def test_a_proxy_is_used_unless_excepted_and_never_to_this_machine(address: str, proxy: str | None) -> None:
    found = proxy_to(address)
    assert (str(found).rstrip("/") if found else None) == proxy


async def test_calls_go_through_it_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"code":0}')
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    monkeypatch.setenv("http_proxy", f"http://name:word@127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server, FeishuApi() as api:
        assert (await api.request("http://open.feishu.example", "GET", "/thing", token="t-1")).code == 0
    assert heads[0].startswith("GET http://open.feishu.example/thing HTTP/1.1")
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'name:word').decode()}" in heads[0]
