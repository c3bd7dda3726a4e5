"""The playground's own JSON API: what tests and the chat page drive it by."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from app.control.playground import speech
from app.control.playground.callbacks import Clicked
from app.control.playground.delivery import delivery_document
from app.control.playground.local import LocalFeishu
from app.control.playground.named import (
    BadControl,
    app_named,
    chat_named,
    message_named,
    text_named,
    user_named,
)
from app.control.playground.oracle import Oracle
from app.control.playground.wire import Answer, Request, json_answer, parse_object
from app.control.playground.world import App, User


class Control:
    """Answers `/_playground/…`; every request carries the token of this start."""

    def __init__(self, playground: LocalFeishu) -> None:
        self._playground = playground
        self._world = playground.world
        self._routes: dict[tuple[str, str], Callable[[dict[str, Any]], Awaitable[Any]]] = {
            **Oracle(playground).routes,
            ("POST", "/apps"): self._add_app,
            ("POST", "/users"): self._add_user,
            ("POST", "/p2p"): self._p2p,
            ("POST", "/groups"): self._group,
            ("POST", "/hooks"): self._hook,
            ("POST", "/says"): self._says,
            ("POST", "/click"): self._click,
            ("POST", "/preview"): self._preview,
            ("POST", "/react"): self._react,
            ("POST", "/recall"): self._recall,
            ("POST", "/deliver"): self._deliver,
            ("POST", "/challenge"): self._challenge,
            ("POST", "/attack"): self._attack,
            ("POST", "/settings"): self._settings,
            ("POST", "/faults"): self._add_fault,
            ("DELETE", "/faults"): self._clear_faults,
            ("POST", "/redeliver"): self._redeliver,
            ("DELETE", "/ledger"): self._clear_ledger,
        }

    async def handle(self, request: Request, path: str) -> Answer:
        """Answer one control request; `path` is what follows `/_playground`."""
        token = request.headers.get("x-playground-token", "")
        if not hmac.compare_digest(token.encode(), self._playground.control_token.encode()):
            return json_answer(
                401, {"error": "X-Playground-Token is missing or of an earlier start: load the page again"}
            )
        if (request.method, path) == ("GET", "/feed"):
            headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            return Answer(200, b"", "text/event-stream", headers, stream=self._playground.feed.stream())
        route = self._routes.get((request.method, path))
        if route is None:
            return json_answer(404, {"error": f"no control endpoint {request.method} {path}"})
        values: dict[str, Any] = dict(request.query)
        if request.body:
            document = parse_object(request.body)
            if document is None:
                return json_answer(400, {"error": "the body must be a JSON object"})
            values |= document
        try:
            return json_answer(200, await route(values))
        except (BadControl, LookupError, TypeError, ValueError) as error:
            return json_answer(400, {"error": f"{type(error).__name__}: {error}"})

    async def _add_app(self, values: dict[str, Any]) -> dict[str, Any]:
        extra = {name: values.pop(name) for name in ("group_messages", "hears_bots", "outage") if name in values}
        app = self._playground.add_app(**values)
        for name, value in extra.items():
            setattr(app, name, value)
        return {"app_id": app.app_id, "open_id": app.open_id}

    async def _add_user(self, values: dict[str, Any]) -> dict[str, Any]:
        user = self._playground.add_user(text_named(values, "name"))
        open_ids = {app.app_id: self._playground.open_id(app, user) for app in self._playground.world.apps.values()}
        return {"user_id": user.user_id, "union_id": user.union_id, "open_ids": open_ids}

    async def _p2p(self, values: dict[str, Any]) -> dict[str, Any]:
        return {
            "chat_id": self._playground.p2p_chat(
                app_named(self._world, values), user_named(self._world, values)
            ).chat_id
        }

    async def _group(self, values: dict[str, Any]) -> dict[str, Any]:
        apps = [app_named(self._world, {"app_id": app_id}) for app_id in values.get("apps", [])]
        users = [user_named(self._world, {"user_id": user_id}) for user_id in values.get("users", [])]
        return {"chat_id": self._playground.group(text_named(values, "name"), apps, users).chat_id}

    async def _hook(self, values: dict[str, Any]) -> dict[str, Any]:
        hook = self._playground.add_hook(
            chat_named(self._world, values), values.get("secret"), values.get("keyword", "")
        )
        return {"token": hook.token, "path": f"/open-apis/bot/v2/hook/{hook.token}"}

    async def _says(self, values: dict[str, Any]) -> dict[str, Any]:
        playground = self._playground
        mention: list[App | User | speech.Everyone] = []
        for name in values.get("mention", []):
            found: Any = "all" if name == "all" else playground.world.apps.get(name) or playground.world.users.get(name)
            if found is None:
                raise BadControl(f"mention {name!r} is neither an app_id, a user_id nor all")
            mention.append(found)
        reply_to = message_named(self._world, {"message_id": values["reply_to"]}) if values.get("reply_to") else None
        user, chat = user_named(self._world, values), chat_named(self._world, values)
        if values.get("msg_type", "text") == "text":
            said = await playground.user_says(user, chat, text_named(values, "text"), mention, reply_to=reply_to)
        else:
            content = text_named(values, "content")
            said = await playground.user_sends(user, chat, values["msg_type"], content, reply_to=reply_to)
        return {"message_id": said.message_id, "event_ids": [d.event_id for d in said.deliveries]}

    async def _click(self, values: dict[str, Any]) -> dict[str, Any]:
        message = message_named(self._world, values)
        action = values.get("action")
        if not isinstance(action, str | list | dict):
            raise BadControl("action must be a component's name, text, element_id or path, or the whole action")
        clicked = await self._playground.click(
            user_named(self._world, values),
            message.message_id,
            action,
            values.get("form"),
            event_id=values.get("event_id"),
            legacy=values.get("legacy") is True,
        )
        return _clicked(clicked)

    async def _preview(self, values: dict[str, Any]) -> dict[str, Any]:
        chat = chat_named(self._world, values) if values.get("chat_id") else None
        url = text_named(values, "url")
        return _clicked(
            await self._playground.preview(
                app_named(self._world, values),
                user_named(self._world, values),
                url,
                chat=chat,
            )
        )

    async def _react(self, values: dict[str, Any]) -> dict[str, Any]:
        sent = await self._playground.react(
            user_named(self._world, values),
            message_named(self._world, values),
            text_named(values, "emoji"),
        )
        return {"event_ids": [delivery.event_id for delivery in sent]}

    async def _recall(self, values: dict[str, Any]) -> dict[str, Any]:
        sent = await self._playground.recall(message_named(self._world, values))
        return {"event_ids": [delivery.event_id for delivery in sent]}

    async def _deliver(self, values: dict[str, Any]) -> dict[str, Any]:
        body = values.get("body")
        if not isinstance(body, dict):
            raise BadControl("body must be the event's JSON object")
        delivery = await self._playground.deliver(
            app_named(self._world, values),
            text_named(values, "event_type"),
            body,
            schema=values.get("schema", "2.0"),
            event_id=values.get("event_id"),
        )
        return delivery_document(delivery)

    async def _challenge(self, values: dict[str, Any]) -> dict[str, Any]:
        return {"passed": await self._playground.challenge(app_named(self._world, values), values.get("url"))}

    async def _attack(self, values: dict[str, Any]) -> dict[str, Any]:
        document = values.get("document")
        if not isinstance(document, dict):
            raise BadControl("document must be a genuine event, as GET /deliveries?documents=1 shows them")
        attempt = await self._playground.attack(
            text_named(values, "name"), app_named(self._world, values), document, values.get("url")
        )
        return asdict(attempt)

    async def _settings(self, values: dict[str, Any]) -> dict[str, Any]:
        """Change what can be changed while running; answers with everything as it is then."""
        playground = self._playground
        places: dict[str, Any] = {
            "limits": playground.limits,
            "chaos": playground.deliveries.chaos,
            "uuids": playground.uuids,
            "deliveries": playground.deliveries,
            "tokens": playground.tokens,
        }
        allowed = {
            "limits": ("enabled", "scale"),
            "chaos": ("duplicate", "duplicate_fresh_id", "reorder", "spread", "order", "fresh_signature"),
            "uuids": ("mode", "scope", "code"),
            "deliveries": ("speed",),
            "tokens": ("lifetime",),
        }
        for place, changes in values.items():
            for name, value in changes.items():
                if name not in allowed.get(place, ()):
                    raise BadControl(f"{place}.{name} is no setting: there are {allowed}")
                setattr(places[place], name, value)
        return {place: {name: getattr(places[place], name) for name in names} for place, names in allowed.items()}

    async def _add_fault(self, values: dict[str, Any]) -> dict[str, Any]:
        return asdict(self._playground.faults.add(**values))

    async def _clear_faults(self, values: dict[str, Any]) -> dict[str, Any]:
        self._playground.faults.clear(int(values["fault_id"]) if "fault_id" in values else None)
        return {}

    async def _redeliver(self, values: dict[str, Any]) -> dict[str, Any]:
        for delivery in self._playground.deliveries.log:
            if delivery.event_id == values.get("event_id"):
                again = self._playground.deliveries.again(delivery, fresh_id=values.get("fresh_id") is True)
                return delivery_document(again)
        raise BadControl("event_id is not known")

    async def _clear_ledger(self, _: dict[str, Any]) -> dict[str, Any]:
        self._playground.ledger.clear()
        return {}


def _clicked(clicked: Clicked) -> dict[str, Any]:
    return {
        "code": clicked.code,
        "toast": clicked.toast,
        "card_changed": clicked.card_changed,
        "token": clicked.token,
        "event_id": clicked.event_id,
        "status": clicked.attempt.status if clicked.attempt else 0,
        "error": clicked.attempt.error if clicked.attempt else "",
        "seconds": clicked.attempt.seconds if clicked.attempt else 0.0,
        "answer": clicked.answer,
    }
