"""Transport to Feishu's Open API: one pooled session, JSON in and out, and no notion of what an answer means."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import orjson
from yarl import URL

from app.core.errors import FeishuRefused, FeishuUnavailable
from app.feishu.proxy import proxy_to

FILE_LIMIT: Final = 100 * 1000 * 1000
"""Bytes of the largest file that Feishu lets a bot download (message resources: 100 MB)."""
NO_CODE: Final = -1
"""Stands where an answer with HTTP status 429 had no readable code."""
_CONNECTIONS: Final = 256
_CONNECT_TIMEOUT: Final = 5.0
# Answers other than files are small; what is larger is not Feishu's.
_ANSWER_LIMIT: Final = 16 * 1024 * 1024
# Shorter than what servers keep an idle connection open for: a POST on one that was just closed cannot
# be told from one that was received.
_KEEP_IDLE: Final = 15.0
# aiohttp wants larger bodies as a file, which it writes piece by piece.
_LARGE_BODY: Final = 512 * 1024
_JSON: Final = "application/json; charset=utf-8"

# What fails before anything of the request could be received.
_NEVER_LEFT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
)

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What Feishu answered; whether it succeeded is said by `code` alone, never by the HTTP status."""

    status: int
    code: int
    msg: str
    data: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    log_id: str
    """`X-Tt-Logid`, which Feishu's support asks for."""
    raw: bytes = field(repr=False)
    document: Mapping[str, Any] = field(repr=False)
    """The whole body: some calls answer beside `data` (`bot`, `tenant_access_token`); empty for a file."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body: a field (str) or a file (bytes)."""

    name: str
    value: str | bytes = field(repr=False)


class FeishuApi:
    """One pool of open connections for all bots and domains; made lazily on the loop that first uses it."""

    def __init__(self, *, file_limit: int = FILE_LIMIT) -> None:
        self._file_limit = file_limit
        self._proxies: dict[str, URL | None] = {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> FeishuApi:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection; what is in flight fails."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        base_url: str,
        method: str,
        path: str,
        *,
        token: str | None = None,
        query: Query = (),
        json: Any = None,
        form: Sequence[Part] = (),
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        binary: bool = False,
        label: str = "",
    ) -> Answer:
        """Make one call; `path` is percent-encoded, `json` may be bytes that are JSON already, `timeout` in seconds.

        With `binary` an answer that is no JSON error is a file (code 0, its bytes in `raw`). Raises
        FeishuUnavailable where no usable answer came, FeishuRefused where a file is over the bound.
        `label` names the call in errors, for paths that should not be printed.
        """
        what = label or f"{method} {path}"
        sent = {} if headers is None else dict(headers)
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        body = _body(json, form)
        if json is not None:
            sent["Content-Type"] = _JSON
        try:
            async with self._open().request(
                method,
                _url(base_url, path, tuple(query)),
                data=body,
                headers=sent,
                timeout=_timeout(timeout),
                proxy=self._proxy(base_url),
                # A redirect would carry the token to wherever it points.
                allow_redirects=False,
            ) as response:
                raw = await _read(response, self._file_limit if binary else _ANSWER_LIMIT)
                status, answered = response.status, response.headers
        except _TooLong as error:
            if not binary:
                raise _unavailable(f"Feishu's answer to {what} is over {_ANSWER_LIMIT} bytes") from error
            raise FeishuRefused(
                f"the file that {what} asks for is over {self._file_limit // 1_000_000} MB: "
                "Feishu's users can open it, a bot cannot fetch it"
            ) from error
        except _NEVER_LEFT as error:
            raise _unavailable(
                f"{base_url} cannot be reached for {what} ({_cause(error)}): "
                "check the bot's `domain`, DNS, proxy and the firewall",
                sent=False,
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unavailable(f"{base_url} gave no whole answer to {what} ({_cause(error)})") from error
        return _answer(status, answered, raw, binary, what)

    def _proxy(self, base_url: str) -> URL | None:
        """Found once: looking through the environment costs something at every request."""
        if base_url not in self._proxies:
            self._proxies[base_url] = proxy_to(base_url)
        return self._proxies[base_url]

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEEP_IDLE),
                # One bot's cookies must never travel with another's call.
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "feishu-hub"},
            )
        return self._session


class _TooLong(Exception):
    """A body over its bound."""


# Most calls go to the same few addresses.
@lru_cache(maxsize=256)
def _url(base_url: str, path: str, query: tuple[tuple[str, str], ...]) -> URL:
    url = f"{base_url}{path}"
    if query:
        url = f"{url}{'&' if '?' in path else '?'}{urlencode(query)}"
    return URL(url, encoded=True)


@lru_cache(maxsize=64)
def _timeout(total: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, connect=min(_CONNECT_TIMEOUT, total))


def _body(json: Any, form: Sequence[Part]) -> Any:
    if form:
        # Made for each attempt: a FormData that was sent once cannot be sent again.
        parts = aiohttp.FormData(default_to_multipart=True)
        for part in form:
            if isinstance(part.value, str):
                parts.add_field(part.name, part.value)
            else:
                # Feishu takes the name from the field `file_name`; here an ASCII one avoids its parser's limits.
                parts.add_field(
                    part.name,
                    io.BytesIO(part.value),
                    filename="file",
                    content_type="application/octet-stream",
                )
        return parts
    if json is None:
        return None
    body = json if isinstance(json, bytes) else orjson.dumps(json)
    return body if len(body) < _LARGE_BODY else io.BytesIO(body)


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    if (response.content_length or 0) > limit:
        raise _TooLong
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise _TooLong
        chunks.append(chunk)
    return b"".join(chunks)


def _answer(status: int, headers: Mapping[str, str], raw: bytes, binary: bool, what: str) -> Answer:
    log_id = headers.get("X-Tt-Logid", "")
    document = _document(raw) if not binary or _may_be_error(status, headers, raw) else None
    code = document.get("code") if document is not None else None
    if document is not None and isinstance(code, int) and not isinstance(code, bool):
        data = document.get("data")
        return Answer(
            status=status,
            code=code,
            msg=str(document.get("msg", "")),
            data=data if isinstance(data, dict) else {},
            headers=headers,
            log_id=log_id,
            raw=raw,
            document=document,
        )
    if status == 429:
        return Answer(status, NO_CODE, "", {}, headers, log_id, raw, {})
    if binary and 200 <= status < 300 and status != 204:
        return Answer(status, 0, "", {}, headers, log_id, raw, {})
    raise _unavailable(
        f"Feishu's answer to {what} is not one of its own (HTTP {status}, "
        f"{headers.get('Content-Type', 'no type')}, {len(raw)} bytes)",
        status=status,
        log_id=log_id,
    )


def _may_be_error(status: int, headers: Mapping[str, str], raw: bytes) -> bool:
    """Whether the answer to a download can be an error: a JSON file that a user sent comes with its name."""
    return not 200 <= status < 300 or ("Content-Disposition" not in headers and raw[:1] == b"{")


def _document(raw: bytes) -> Mapping[str, Any] | None:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _cause(error: BaseException) -> str:
    """What went wrong in a few words that hold no URL."""
    reason = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {reason}" if isinstance(reason, str) else type(error).__name__


def _unavailable(message: str, *, sent: bool = True, status: int = 0, log_id: str = "") -> FeishuUnavailable:
    error = FeishuUnavailable(message, status=status, log_id=log_id)
    error.sent = sent
    return error
