"""URLs are fetched from the public net and from networks that the operator named, and from nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address, ip_network

import pytest
from aiohttp import web

from app.channel.fetch import Fetcher, is_allowed
from app.core.errors import FetchRefused

OWN = [ip_network("127.0.0.1/32")]
Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1"),
        *("169.254.169.254", "100.100.100.200", "192.0.0.192", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fc00::1", "fd00:ec2::254", "fe80::1"),
        *("fec0::1", "ff02::1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:1::1", "2001:db8::1"),
    ],
)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not is_allowed(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_what_is_public_is_allowed(address: str) -> None:
    assert is_allowed(ip_address(address))


def test_own_networks_are_allowed_by_name_only() -> None:
    assert is_allowed(ip_address("10.1.2.3"), [ip_network("10.1.0.0/16")])
    assert is_allowed(ip_address("::ffff:10.1.2.3"), [ip_network("10.1.0.0/16")])
    assert not is_allowed(ip_address("10.2.2.3"), [ip_network("10.1.0.0/16")])


@pytest.fixture
async def serving() -> AsyncIterator[Callable[[Serve], Awaitable[str]]]:
    runners: list[web.AppRunner] = []

    async def serve(handler: Serve) -> str:
        app = web.Application()
        app.router.add_get("/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield serve
    for runner in runners:
        await runner.cleanup()


async def test_a_file_is_fetched_with_its_name(serving: Callable[[Serve], Awaitable[str]]) -> None:
    async def data(request: web.Request) -> web.Response:
        assert "Authorization" not in request.headers
        return web.Response(body=b"data")

    url = await serving(data)
    fetched = await Fetcher(OWN).fetch(f"{url}/a/report%20one.pdf?key=1", 100)
    assert (fetched.data, fetched.name) == (b"data", "report one.pdf")
    with pytest.raises(FetchRefused, match="no public address"):
        await Fetcher().fetch(f"{url}/a", 100)


@pytest.mark.parametrize(
    "to", ["http://169.254.169.254/latest", "http://[::1]/", "http://127.0.0.2/", "file:///etc/passwd"]
)
async def test_a_redirect_is_looked_at_as_well(serving: Callable[[Serve], Awaitable[str]], to: str) -> None:
    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": to})

    url = await serving(redirect)
    with pytest.raises(FetchRefused):
        await Fetcher(OWN).fetch(f"{url}/start", 100)


async def test_a_name_that_leads_into_the_own_network_is_refused() -> None:
    with pytest.raises(FetchRefused, match="localhost is no public address"):
        await Fetcher().fetch("http://localhost:1/x", 100)


async def test_too_large_too_many_redirects_and_bad_answers(serving: Callable[[Serve], Awaitable[str]]) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/told":
                return web.Response(body=b"x" * 200)
            case "/untold":
                response = web.StreamResponse()
                await response.prepare(request)
                for _ in range(3):
                    await response.write(b"x" * 64)
                return response
            case "/round":
                return web.Response(status=307, headers={"Location": "/round"})
            case "/empty":
                return web.Response()
            case "/packed":
                return web.Response(body=b"x", headers={"Content-Encoding": "gzip"})
            case "/slow":
                await asyncio.Event().wait()
        return web.Response(status=404)

    url = await serving(answer)
    fetcher = Fetcher(OWN, timeout=0.5)
    for path, problem in {
        "/told": "too large",
        "/untold": "too large",
        "/round": "redirects more than 5 times",
        "/empty": "sent nothing",
        "/packed": "compressed",
        "/gone": "answered 404",
        "/slow": "did not answer within",
    }.items():
        with pytest.raises(FetchRefused, match=problem) as raised:
            await fetcher.fetch(f"{url}{path}?secret=abc", 100)
        assert "abc" not in str(raised.value)


@pytest.mark.parametrize("url", ["ftp://example.com/x", "http://", "x", "http://user:pass@1.1.1.1/x", "http://[::"])
async def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    with pytest.raises(FetchRefused):
        await Fetcher().fetch(url, 100)
