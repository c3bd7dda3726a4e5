"""The Open API: finds the handler of a call, and does with every call what Feishu's gateway does."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.control.playground import card_update, cardkit, changes, directory, elements, messages, tokens, uploads
from app.control.playground.ask import Ask, Desk
from app.control.playground.faults import Fault, Faults
from app.control.playground.hooks import Hooks
from app.control.playground.ledger import Call
from app.control.playground.limits import PREVIEW_CALLS, TIER_4, Bound
from app.control.playground.wire import JSON_TYPE, Answer, Refusal, Request
from app.control.playground.world import App

Handler = Callable[[Ask], "dict[str, Any] | Answer"]

NOT_FOUND: Final = 99991000
INTERNAL: Final = 1500
_NOBODY: Final = App("", "", "", None, "", "", None, "")


@dataclass(frozen=True, slots=True)
class Route:
    """One API: its name in limits, faults and ledger, and what answers it."""

    name: str
    handler: Handler
    bounds: tuple[Bound, ...] = TIER_4
    token: bool = True
    top: bool = False
    """Whether the answer's fields stand at top level instead of under `data`."""


_TENANT: Final = "auth/v3/tenant_access_token"
_APP: Final = "auth/v3/app_access_token"
_IM: Final = "im/v1/messages"
_KIT: Final = "cardkit/v1/cards"
_OPEN: Final[dict[str, Any]] = {"token": False, "top": True, "bounds": ()}
_PREVIEWS: Final = Route("im.v2.url_preview.batch_update", directory.update_previews, PREVIEW_CALLS)

ROUTES: Final[dict[tuple[str, str], Route]] = {
    ("POST", f"{_TENANT}/internal"): Route("auth.v3.tenant_access_token.internal", tokens.self_tenant, **_OPEN),
    ("POST", f"{_APP}/internal"): Route("auth.v3.app_access_token.internal", tokens.self_app, **_OPEN),
    ("POST", _APP): Route("auth.v3.app_access_token", tokens.store_app, **_OPEN),
    ("POST", _TENANT): Route("auth.v3.tenant_access_token", tokens.store_tenant, **_OPEN),
    ("POST", "auth/v3/app_ticket/resend"): Route("auth.v3.app_ticket.resend", tokens.resend_ticket, **_OPEN),
    ("GET", "bot/v3/info"): Route("bot.v3.info", directory.bot_info, top=True),
    ("POST", _IM): Route("im.v1.message.create", messages.create),
    ("GET", _IM): Route("im.v1.message.list", changes.list_messages),
    ("POST", f"{_IM}/:/reply"): Route("im.v1.message.reply", messages.reply),
    ("GET", f"{_IM}/:"): Route("im.v1.message.get", changes.get),
    ("PATCH", f"{_IM}/:"): Route("im.v1.message.patch", changes.patch),
    ("PUT", f"{_IM}/:"): Route("im.v1.message.update", changes.put),
    ("DELETE", f"{_IM}/:"): Route("im.v1.message.delete", changes.delete),
    ("POST", f"{_IM}/:/reactions"): Route("im.v1.message_reaction.create", changes.react),
    ("GET", f"{_IM}/:/reactions"): Route("im.v1.message_reaction.list", changes.list_reactions),
    ("DELETE", f"{_IM}/:/reactions/:"): Route("im.v1.message_reaction.delete", changes.unreact),
    ("GET", f"{_IM}/:/resources/:"): Route("im.v1.message_resource.get", uploads.resource),
    ("POST", "im/v1/images"): Route("im.v1.image.create", uploads.upload_image),
    ("GET", "im/v1/images/:"): Route("im.v1.image.get", uploads.download),
    ("POST", "im/v1/files"): Route("im.v1.file.create", uploads.upload_file),
    ("GET", "im/v1/files/:"): Route("im.v1.file.get", uploads.download),
    ("GET", "contact/v3/users/:"): Route("contact.v3.user.get", directory.user),
    ("GET", "im/v1/chats"): Route("im.v1.chat.list", directory.chats),
    ("GET", "im/v1/chats/:"): Route("im.v1.chat.get", directory.chat),
    ("GET", "im/v1/chats/:/members"): Route("im.v1.chat_members.get", directory.members),
    ("POST", "im/v2/url_previews/batch_update"): _PREVIEWS,
    ("POST", "interactive/v1/card/update"): Route("interactive.v1.card.update", card_update.update_by_token),
    ("POST", "ephemeral/v1/send"): Route("ephemeral.v1.send", directory.send_ephemeral),
    ("POST", "ephemeral/v1/delete"): Route("ephemeral.v1.delete", directory.delete_ephemeral),
    ("GET", "event/v1/outbound_ip"): Route("event.v1.outbound_ip.list", directory.outbound_ip),
    ("POST", _KIT): Route("cardkit.v1.card.create", cardkit.create),
    ("POST", f"{_KIT}/id_convert"): Route("cardkit.v1.card.id_convert", elements.id_convert),
    ("PUT", f"{_KIT}/:"): Route("cardkit.v1.card.update", cardkit.update),
    ("PATCH", f"{_KIT}/:/settings"): Route("cardkit.v1.card.settings", cardkit.settings),
    ("POST", f"{_KIT}/:/batch_update"): Route("cardkit.v1.card.batch_update", elements.batch_update),
    ("POST", f"{_KIT}/:/elements"): Route("cardkit.v1.card_element.create", elements.add),
    ("PUT", f"{_KIT}/:/elements/:"): Route("cardkit.v1.card_element.update", elements.replace),
    ("PATCH", f"{_KIT}/:/elements/:"): Route("cardkit.v1.card_element.patch", elements.patch),
    ("DELETE", f"{_KIT}/:/elements/:"): Route("cardkit.v1.card_element.delete", elements.delete),
    ("PUT", f"{_KIT}/:/elements/:/content"): Route("cardkit.v1.card_element.content", cardkit.content),
}  # fmt: skip


class OpenApi:
    """Answers every call under `/open-apis/`."""

    def __init__(self, desk: Desk, faults: Faults, hooks: Hooks) -> None:
        self._desk = desk
        self._faults = faults
        self._hooks = hooks
        self._exact: dict[tuple[str, str], Route] = {}
        self._variable: dict[tuple[str, int], list[tuple[list[str], Route]]] = {}
        for (method, pattern), route in ROUTES.items():
            if ":" in pattern:
                parts = pattern.split("/")
                self._variable.setdefault((method, len(parts)), []).append((parts, route))
            else:
                self._exact[method, pattern] = route

    async def answer(self, request: Request) -> Answer:
        """Carry a call out as Feishu would, with the faults that were ordered for it."""
        desk = self._desk
        path = request.path.removeprefix("/open-apis/").rstrip("/")
        if request.method == "POST" and path.startswith("bot/v2/hook/"):
            return self._hook(request, path)
        route, params = self._route(request.method, path)
        clock = desk.world.clock
        call = desk.ledger.open(route.name if route else path, clock.now(), clock.monotonic())
        ask = Ask(desk, request, params, _NOBODY, call)
        if not self._faults:
            answer = self._carry_out(route, ask)
        else:
            answer = await self._with_faults(route, ask)
        for step in ask.afterwards:
            step()
        return answer

    def _route(self, method: str, path: str) -> tuple[Route | None, tuple[str, ...]]:
        route = self._exact.get((method, path))
        if route is not None:
            return route, ()
        parts = path.split("/")
        for pattern, candidate in self._variable.get((method, len(parts)), ()):
            if all(want in (":", part) for want, part in zip(pattern, parts, strict=True)):
                return candidate, tuple(p for want, p in zip(pattern, parts, strict=True) if want == ":")
        return None, ()

    def _carry_out(self, route: Route | None, ask: Ask) -> Answer:
        try:
            if route is None:
                raise Refusal(NOT_FOUND, "404 page not found", status=404)
            if route.token:
                ask.app = self._desk.tokens.check(ask.request.headers.get("authorization"))
                ask.call.app_id = ask.app.app_id
                self._desk.limits.gateway(ask.app.app_id, route.name, route.bounds)
            result = route.handler(ask)
        except Refusal as refusal:
            return self._refuse(ask.call, refusal)
        ask.call.status = 200
        if isinstance(result, Answer):
            result.headers["X-Tt-Logid"] = self._log_id(ask.call)
            return result
        document = {"code": 0, "msg": "ok", **result} if route.top else {"code": 0, "msg": "success", "data": result}
        return Answer(200, orjson.dumps(document), JSON_TYPE, {"X-Tt-Logid": self._log_id(ask.call)})

    async def _with_faults(self, route: Route | None, ask: Ask) -> Answer:
        latencies, fault = self._faults.strike(ask.call.api, self._app_id(ask.request))
        ask.call.fault = ",".join([f.kind for f in latencies] + ([fault.kind] if fault else []))
        clock = self._desk.world.clock
        for latency in latencies:
            if latency.when == "before":
                await clock.sleep(latency.seconds)
        if fault is not None and fault.kind == "token":
            self._desk.tokens.revoke(ask.request.headers.get("authorization", "").removeprefix("Bearer "))
        answer = self._instead(fault, ask) or self._carry_out(route, ask)
        for latency in latencies:
            if latency.when == "after":
                await clock.sleep(latency.seconds)
        if fault is not None and fault.kind in ("half", "lost"):
            answer.fate = "half" if fault.kind == "half" else "reset"
            ask.call.outcome = fault.kind
        return answer

    def _instead(self, fault: Fault | None, ask: Ask) -> Answer | None:
        """What answers in place of the API, where a fault keeps the call from being carried out."""
        if fault is None or fault.kind in ("half", "lost", "token"):
            return None
        ask.call.app_id = self._app_id(ask.request)
        if fault.kind == "reset":
            ask.call.outcome = "reset"
            return Answer(502, b"", fate="reset")
        if fault.kind == "html":
            status = ask.call.status = fault.status or 500
            page = f"<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>"
            return Answer(status, page.encode(), "text/html")
        refusal = Refusal(
            fault.code or INTERNAL,
            fault.msg or "injected fault",
            status=fault.status or 400,
            headers=fault.headers,
        )
        return self._refuse(ask.call, refusal)

    def _app_id(self, request: Request) -> str:
        value = request.headers.get("authorization", "").removeprefix("Bearer ")
        app = self._desk.tokens.owner(value, "t-")
        return app.app_id if app is not None else ""

    def _refuse(self, call: Call, refusal: Refusal) -> Answer:
        log_id = self._log_id(call)
        call.status, call.code, call.violation = refusal.status, refusal.code, refusal.violation
        document = {"code": refusal.code, "msg": refusal.msg, "error": {"log_id": log_id}}
        return Answer(refusal.status, orjson.dumps(document), JSON_TYPE, {"X-Tt-Logid": log_id, **refusal.headers})

    def _log_id(self, call: Call) -> str:
        return f"{_BOOT}{call.seq:012X}"

    def _hook(self, request: Request, path: str) -> Answer:
        """Custom bots have no app, no token and an answer shape of their own."""
        clock = self._desk.world.clock
        call = self._desk.ledger.open("bot.v2.hook", clock.now(), clock.monotonic())
        call.target = call.app_id = path.removeprefix("bot/v2/hook/")
        call.content = request.body.decode("utf-8", "replace")
        try:
            hook, message = self._hooks.post(call.target, request)
        except Refusal as refusal:
            return self._refuse(call, refusal)
        call.status = 200
        self._desk.ledger.accept(call, message)
        self._desk.feed.put(lambda: {"type": "message", "message_id": message.message_id, "chat_id": hook.chat.chat_id})
        document = {
            "code": 0,
            "msg": "success",
            "data": {},
            "StatusCode": 0,
            "StatusMessage": "success",
            "Extra": None,
        }
        return Answer(200, orjson.dumps(document), JSON_TYPE, {"X-Tt-Logid": self._log_id(call)})


_BOOT: Final = secrets.token_hex(8).upper()
