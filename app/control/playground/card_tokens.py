"""The tokens that callbacks carry: the right to change the card that was acted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from app.control.playground.wire import Refusal
from app.control.playground.world import App, Message, User
from app.core.clock import Clock

TOKEN_LIFE: Final = 1800.0
TOKEN_USES: Final = 2
BAD_TOKEN: Final = 300020
TOKEN_EXPIRED: Final = 300030
TOKEN_USED_UP: Final = 300040
# What an update gets while its callback is unanswered is not documented; the code CardKit has for it is taken.
CALLBACK_OPEN: Final = 200810


@dataclass(eq=False, slots=True)
class CardToken:
    """The right to change one card after an action on it."""

    value: str
    app: App
    message: Message
    user: User
    made: float
    uses: int = 0
    answered: bool = False


class CardTokens:
    """The tokens of callbacks: 30 minutes, two uses, not before the callback is answered."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, CardToken] = {}

    def make(self, value: str, app: App, message: Message, user: User) -> CardToken:
        """A token for one callback that is about to be sent."""
        token = self._tokens[value] = CardToken(value, app, message, user, self._clock.now())
        return token

    def use(self, value: Any, app: App) -> CardToken:
        """Spend one use; Refusal 300020, 300030, 300040 or (callback not answered) 200810."""
        token = self._tokens.get(value) if isinstance(value, str) and value.startswith("c-") else None
        if token is None or token.app is not app:
            raise Refusal(BAD_TOKEN, "the card token is invalid")
        if token.made <= self._clock.now() - TOKEN_LIFE:
            raise Refusal(TOKEN_EXPIRED, "the card token has expired")
        if not token.answered:
            raise Refusal(CALLBACK_OPEN, "the callback is not answered yet")
        if token.uses >= TOKEN_USES:
            raise Refusal(TOKEN_USED_UP, "the card token was used too often")
        token.uses += 1
        return token

    def open_on(self, message: Message) -> bool:
        """Whether a callback about this card waits for its answer."""
        return any(token.message is message and not token.answered for token in self._tokens.values())
