"""The memory that lets a repeated `uuid` send nothing twice, in each way Feishu may keep it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from app.control.playground.wire import Refusal
from app.control.playground.world import Message
from app.core.clock import Clock

REMEMBERED: Final = 3600.0
LONGEST: Final = 50
IN_PROGRESS: Final = 230049  # "message is being sent": the first request with this uuid is not yet answered

# Which code Feishu gives a repeated uuid whose message was sent is not documented. The one documented code about
# repeats is taken: a client cannot tell from it whether the first request is under way or done, the harder case.
DUPLICATE_UUID_CODE: Final = 230049

UuidMode = Literal["original", "error"]
UuidScope = Literal["app", "receiver"]


@dataclass(eq=False, slots=True)
class _Sent:
    message: Message
    at: float
    busy: bool


class Uuids:
    """Remembers the uuids of accepted messages for one hour."""

    def __init__(self, clock: Clock, mode: UuidMode, scope: UuidScope) -> None:
        self._clock = clock
        self.mode = mode
        self.scope = scope
        self.code = DUPLICATE_UUID_CODE
        self._sent: dict[tuple[str, str, str], _Sent] = {}
        self._forgotten_at = clock.now()

    def seen(self, app_id: str, receiver: str, uuid: str) -> Message | None:
        """The message that this uuid sent, None where it is new; Refusal while in progress or in `error` mode."""
        key = self._key(app_id, receiver, uuid)
        sent = self._sent.get(key)
        if sent is None:
            return None
        if sent.busy:
            raise Refusal(IN_PROGRESS, "The message is being sent, please do not send it repeatedly")
        if sent.at <= self._clock.now() - REMEMBERED:
            del self._sent[key]
            return None
        if self.mode == "error":
            raise Refusal(self.code, "A message with this uuid was sent")
        return sent.message

    def remember(self, app_id: str, receiver: str, uuid: str, message: Message) -> tuple[str, str, str]:
        """Note that a uuid sent a message and is being answered; returns the name to `settle` it by."""
        now = self._clock.now()
        if now - self._forgotten_at > REMEMBERED / 4:
            self._sent = {key: sent for key, sent in self._sent.items() if sent.busy or sent.at > now - REMEMBERED}
            self._forgotten_at = now
        key = self._key(app_id, receiver, uuid)
        self._sent[key] = _Sent(message, now, busy=True)
        return key

    def settle(self, key: tuple[str, str, str]) -> None:
        """Note that the first request with this uuid was answered, or its answer lost."""
        sent = self._sent.get(key)
        if sent is not None:
            sent.busy = False

    def _key(self, app_id: str, receiver: str, uuid: str) -> tuple[str, str, str]:
        return app_id, receiver if self.scope == "receiver" else "", uuid
