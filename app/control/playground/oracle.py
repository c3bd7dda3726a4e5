"""What the control API shows: the world, the chats, the ledger, the deliveries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final

import orjson

from app.control.playground import speech
from app.control.playground.delivery import Delivery, delivery_document
from app.control.playground.ledger import call_document, message_document
from app.control.playground.local import LocalFeishu
from app.control.playground.named import chat_named, message_named
from app.control.playground.world import App, Chat, Message

MOST_LISTED: Final = 10_000
SHOWN: Final = 300


class Oracle:
    """Answers every GET of the control API; changes nothing."""

    def __init__(self, playground: LocalFeishu) -> None:
        self._playground = playground
        self.routes: dict[tuple[str, str], Callable[[dict[str, Any]], Awaitable[Any]]] = {
            ("GET", "/state"): self._state,
            ("GET", "/messages"): self._messages,
            ("GET", "/faults"): self._faults,
            ("GET", "/deliveries"): self._deliveries,
            ("GET", "/ledger/calls"): self._calls,
            ("GET", "/ledger/messages"): self._accepted,
            ("GET", "/ledger/duplicates"): self._duplicates,
            ("GET", "/ledger/violations"): self._violations,
            ("GET", "/ledger/unacked"): self._unacked,
            ("GET", "/ledger/turns"): self._turns,
        }

    async def _state(self, _: dict[str, Any]) -> dict[str, Any]:
        world = self._playground.world
        return {
            "apps": [{"app_id": a.app_id, "name": a.name, "open_id": a.open_id} for a in world.apps.values()],
            "users": [{"user_id": u.user_id, "name": u.name, "union_id": u.union_id} for u in world.users.values()],
            "chats": [
                {
                    "chat_id": c.chat_id,
                    "kind": c.kind,
                    "name": c.name,
                    "apps": [a.app_id for a in c.apps],
                    "users": [u.user_id for u in c.users],
                    "count": len(c.messages),
                    "last": self._last(c),
                }
                for c in world.chats.values()
            ],
            "names": {world.open_id(app, who): who.name for app in world.apps.values() for who in world.everyone()},
        }

    def _last(self, chat: Chat) -> dict[str, Any] | None:
        """What the list of chats shows of a chat's newest message."""
        for message in reversed(chat.messages):
            if message.only_for is None:
                text = speech.shown_text(self._playground.world, message)
                kind = "recalled" if message.recalled else message.msg_type
                return {"sender": message.sender.name, "text": text[:80], "kind": kind, "at": message.created}
        return None

    async def _messages(self, values: dict[str, Any]) -> dict[str, Any]:
        """The chat as one user sees it; ephemeral cards of others are left out."""
        if values.get("message_id"):
            return {"messages": [self._shown(message_named(self._playground.world, values))]}
        chat, viewer = chat_named(self._playground.world, values), values.get("user_id")
        seen = [m for m in chat.messages if m.only_for is None or m.only_for.user_id == viewer]
        return {"messages": [self._shown(m) for m in seen[-int(values.get("limit", SHOWN)) :]]}

    async def _faults(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"faults": self._playground.faults.waiting()}

    async def _deliveries(self, values: dict[str, Any]) -> dict[str, Any]:
        found = [
            delivery
            for delivery in self._playground.deliveries.log
            if delivery.serial > int(values.get("since", 0))
            and all(
                delivery_value(delivery, name) == values[name]
                for name in ("app_id", "event_id", "event_type", "identity", "chat_id", "state")
                if name in values
            )
        ]
        documents = values.get("documents") in ("1", True)
        limit = int(values.get("limit", MOST_LISTED))
        return {"deliveries": [delivery_document(delivery, with_document=documents) for delivery in found[:limit]]}

    async def _calls(self, values: dict[str, Any]) -> dict[str, Any]:
        calls = self._playground.ledger.find(
            app=values.get("app_id"),
            api=values.get("api"),
            chat=values.get("chat_id"),
            uuid=values.get("uuid"),
            code=int(values["code"]) if "code" in values else None,
            since=int(values.get("since", 0)),
        )
        return {"calls": [call_document(call) for call in calls[: int(values.get("limit", MOST_LISTED))]]}

    async def _accepted(self, values: dict[str, Any]) -> dict[str, Any]:
        messages = self._playground.ledger.messages(values.get("chat_id"), values.get("app_id"))
        start, limit = int(values.get("offset", 0)), int(values.get("limit", MOST_LISTED))
        return {
            "total": len(messages),
            "messages": [message_document(message) for message in messages[start : start + limit]],
        }

    async def _duplicates(self, values: dict[str, Any]) -> dict[str, Any]:
        groups = self._playground.ledger.duplicates(values.get("by", "uuid"))
        return {"duplicates": [[message_document(message) for message in group] for group in groups]}

    async def _violations(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"violations": [call_document(call) for call in self._playground.ledger.violations()[:MOST_LISTED]]}

    async def _unacked(self, _: dict[str, Any]) -> dict[str, Any]:
        unacked = [d for d in self._playground.deliveries.log if not d.acked]
        return {"unacked": [delivery_document(delivery) for delivery in unacked[:MOST_LISTED]]}

    async def _turns(self, values: dict[str, Any]) -> dict[str, Any]:
        turns = list(self._playground.ledger.turns(values.get("chat_id")))
        return {"turns": [asdict(turn) | {"seconds": turn.seconds} for turn in turns]}

    def _shown(self, message: Message) -> dict[str, Any]:
        """A message as the page draws it, with how its events fared."""
        sender = message.sender
        reactions: dict[str, list[str]] = {}
        for reaction in message.reactions.values():
            reactions.setdefault(reaction.emoji, []).append(reaction.who.name)
        deliveries = [] if message.by_app else self._playground.deliveries.by_identity.get(message.message_id, [])
        return {
            "message_id": message.message_id,
            "chat_id": message.chat.chat_id,
            "seq": message.seq,
            "sender": {
                "name": sender.name,
                "id": sender.app_id if isinstance(sender, App) else sender.user_id,
            },
            "by_app": message.by_app,
            "msg_type": message.msg_type,
            "content": orjson.loads(message.content),
            "text": speech.shown_text(self._playground.world, message),
            "created": message.created,
            "edited": message.edits > 0,
            "recalled": message.recalled,
            "ephemeral": message.only_for is not None,
            "parent": message.parent,
            "reactions": reactions,
            "deliveries": [delivery_document(d) for d in deliveries],
        }


def delivery_value(delivery: Delivery, name: str) -> str:
    """A field of a delivery by the name it has in JSON."""
    return delivery.app.app_id if name == "app_id" else str(getattr(delivery, name))
