"""Fetches what a URL names, for a bot to send; never anything from the hub's own network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import unquote

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from app.core.errors import FetchRefused

_TIMEOUT: Final = 20.0
_REDIRECTS: Final = 5
_CHUNK: Final = 256 * 1024
# Of IPv6 only what is assigned worldwide: not 6to4, which wraps an IPv4 address, nor IPv4-mapped addresses.
_WORLD: Final = ip_network("2000::/3")
_WRAPS_V4: Final = ip_network("2002::/16")
# "IETF protocol assignments", some clouds' metadata among them.
_ASSIGNED: Final = ip_network("192.0.0.0/24")

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a URL gave; `name` is the last part of its path, or ""."""

    data: bytes = field(repr=False)
    name: str


def is_allowed(address: Address, own: Sequence[Network] = ()) -> bool:
    """Whether an address may be connected to: a public one, or one of the operator's `own` networks."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address in network for network in own if network.version == address.version):
        return True
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return address not in _ASSIGNED
    return address in _WORLD and address not in _WRAPS_V4


class Fetcher:
    """Gets files by URL; every connection, redirects too, goes to an address that was checked."""

    def __init__(self, own: Sequence[Network] = (), *, timeout: float = _TIMEOUT) -> None:
        """`own` networks are allowed beside the public ones; `timeout` is for a whole fetch, in seconds."""
        self._own = tuple(own)
        self._timeout = timeout

    async def fetch(self, address: str, most: int) -> Fetched:
        """What the URL names, at most `most` bytes; FetchRefused if it must not or cannot be fetched."""
        try:
            url = URL(address)
        except ValueError:
            raise FetchRefused("this is no URL") from None
        # No proxy from the environment: it would connect to addresses that nobody checked.
        connector = aiohttp.TCPConnector(resolver=_Guard(self._own), use_dns_cache=False)
        session = aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity", "User-Agent": "feishu-hub"},
        )
        try:
            async with asyncio.timeout(self._timeout), session:
                return await self._follow(session, url, most)
        except TimeoutError:
            raise FetchRefused(f"{url.host} did not answer within {self._timeout:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The message of a ClientError quotes the URL, whose query may hold a secret.
            raise FetchRefused(f"{url.host} could not be fetched from: {type(error).__name__}") from None

    async def _follow(self, session: aiohttp.ClientSession, url: URL, most: int) -> Fetched:
        for _ in range(_REDIRECTS + 1):
            self._check(url)
            async with session.get(url, allow_redirects=False) as answer:
                if answer.status in (301, 302, 303, 307, 308):
                    url = url.join(URL(answer.headers.get("Location", "")))
                    continue
                if answer.status != 200:
                    raise FetchRefused(f"{url.host} answered {answer.status} instead of 200")
                if answer.headers.get("Content-Encoding", "identity") != "identity":
                    raise FetchRefused(f"{url.host} answered with compressed content, which was not asked for")
                return Fetched(await _read(answer, url, most), unquote(url.name))
        raise FetchRefused(f"{url.host} redirects more than {_REDIRECTS} times")

    def _check(self, url: URL) -> None:
        if url.scheme not in ("http", "https") or not url.host:
            raise FetchRefused("only http:// and https:// URLs with a host are fetched")
        if url.user is not None or url.password is not None:
            raise FetchRefused("a URL with a user or a password in it is not fetched")
        try:
            literal = ip_address(url.host)
        except ValueError:
            return  # a name: the guard checks what it resolves to
        if not is_allowed(literal, self._own):
            raise FetchRefused(_not_public(url.host))


class _Guard(AbstractResolver):
    """Resolves a name to those of its addresses that may be connected to; nothing else is ever tried."""

    def __init__(self, own: Sequence[Network]) -> None:
        self._own = own

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        results = [
            ResolveResult(
                hostname=host, host=str(where[0]), port=port, family=kind, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for kind, _, proto, _, where in found
            # An IPv6 address may carry a zone, which only a link-local one has.
            if "%" not in str(where[0]) and is_allowed(ip_address(str(where[0])), self._own)
        ]
        if not results:
            raise FetchRefused(_not_public(host))
        return results

    async def close(self) -> None:
        pass


def _not_public(host: str) -> str:
    return (
        f"{host} is no public address, and the hub does not fetch from its own network: "
        "send the file itself, or name the network in outbox.fetch_allow"
    )


async def _read(answer: aiohttp.ClientResponse, url: URL, most: int) -> bytes:
    too_large = FetchRefused(f"what {url.host} sends is too large: Feishu takes {most // 1_000_000} MB")
    if (answer.content_length or 0) > most:
        raise too_large
    pieces: list[bytes] = []
    size = 0
    async for piece in answer.content.iter_chunked(_CHUNK):
        size += len(piece)
        if size > most:
            raise too_large
        pieces.append(piece)
    if not size:
        raise FetchRefused(f"{url.host} sent nothing")
    return b"".join(pieces)
