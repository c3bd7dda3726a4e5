"""A small, strict Feishu on loopback: it answers as it is told, and refuses what the real one would."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

FaultKind = Literal["lost_before", "lost_after", "half", "html", "empty", "code"]


@dataclass(frozen=True)
class Fault:
    """What happens to one request instead of its answer; it is carried out by `lost_after` and `half` alone."""

    kind: FaultKind
    code: int = 0
    status: int = 400
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Said:
    """A message that was accepted."""

    message_id: str
    target: str
    content: str
    uuid: str


class StandIn:
    """Tokens, messages, a few other calls; `repeated` says what a known uuid is answered with."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[Seen] = []
        self.said: list[Said] = []
        self.faults: deque[Fault] = deque()
        """Befall the calls that need a token, one each."""
        self.token_faults: deque[Fault] = deque()
        self.repeated: Literal["original", "error"] = "original"
        self.withdrawn: set[str] = set()
        self.secrets = {"cli_a": "secret-a", "cli_b": "secret-b"}
        self.good: set[str] = set()
        self.expire = 7200
        self.issued = 0
        self.answers: dict[str, Any] = {}
        """Further answers by `METHOD path`: a document, or a function of the request that gives a response."""
        self._uuids: dict[str, Said] = {}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=200 << 20)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def calls(self, part: str) -> list[Seen]:
        """The requests whose path contains `part`."""
        return [seen for seen in self.seen if part in seen.path]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(
            request.method,
            request.rel_url.raw_path,
            dict(request.query),
            dict(request.headers),
            await request.read(),
        )
        self.seen.append(seen)
        faults = self.token_faults if "/auth/" in seen.path else self.faults
        fault = faults.popleft() if faults else None
        if fault is None:
            return self._answer(seen)
        if fault.kind in ("lost_after", "half"):
            self._answer(seen)
        transport: Any = request.transport
        match fault.kind:
            case "code":
                return _json({"code": fault.code, "msg": "as told"}, fault.status, fault.headers)
            case "html":
                return web.Response(status=500, text="<html>bad gateway</html>", content_type="text/html")
            case "empty":
                return web.Response(status=200)
            case "half":
                transport.write(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"code":0,')
                transport.close()
            case _:
                transport.abort()
        return web.Response()

    def _answer(self, seen: Seen) -> web.Response:
        if seen.path.startswith("/open-apis/auth/v3/"):
            return self._token(seen)
        bearer = seen.headers.get("Authorization", "")
        if not bearer:
            return _error(99991661)
        if bearer.removeprefix("Bearer ") not in self.good:
            return _error(99991663)
        prepared: Any = self.answers.get(f"{seen.method} {seen.path}")
        if callable(prepared):
            response: web.Response = prepared(seen)
            return response
        if prepared is not None:
            return _json(prepared)
        parts = seen.path.split("/")
        if seen.method == "POST" and seen.path == "/open-apis/im/v1/messages":
            if seen.query.get("receive_id_type") not in (
                "chat_id",
                "open_id",
                "user_id",
                "union_id",
                "email",
            ):
                return _error(230001)
            return self._message(seen, seen.json["receive_id"])
        if seen.method == "POST" and parts[-1] == "reply":
            if parts[-2] in self.withdrawn:
                return _error(230011)
            return self._message(seen, f"reply:{parts[-2]}")
        return _error(404404, 404)

    def _token(self, seen: Seen) -> web.Response:
        if self.secrets.get(seen.json["app_id"]) != seen.json["app_secret"]:
            return _json({"code": 10014, "msg": "app secret invalid"})
        self.issued += 1
        token = f"t-{self.issued}"
        self.good.add(token)
        kind = seen.path.split("/")[-2]
        return _json({"code": 0, "msg": "ok", kind: token, "expire": self.expire})

    def _message(self, seen: Seen, target: str) -> web.Response:
        body = seen.json
        strict = (
            "application/json" in seen.headers.get("Content-Type", "")
            and body.keys() <= {"receive_id", "msg_type", "content", "uuid", "reply_in_thread"}
            and isinstance(json.loads(body["content"]), dict)
            and len(body.get("uuid", "")) <= 50
        )
        if not strict:
            return _error(230001)
        uuid = body.get("uuid", "")
        said = self._uuids.get(uuid) if uuid else None
        if said is not None:
            if self.repeated == "error":
                return _error(230049)
        else:
            said = Said(f"om_{len(self.said) + 1}", target, body["content"], uuid)
            self.said.append(said)
            if uuid:
                self._uuids[uuid] = said
        return _json({"code": 0, "msg": "success", "data": {"message_id": said.message_id, "chat_id": "oc_real"}})


def refusal(code: int, msg: str, status: int = 400) -> web.Response:
    """What Feishu answers where it does not do what is asked."""
    return _json({"code": code, "msg": msg}, status)


def _error(code: int, status: int = 400) -> web.Response:
    return refusal(code, f"error {code}", status)


def _json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(document).encode(),
        headers={"X-Tt-Logid": "log-1", "Content-Type": "application/json; charset=utf-8", **(headers or {})},
    )
