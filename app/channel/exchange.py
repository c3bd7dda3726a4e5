"""Sees one API call through: token, slot, request, and whatever Feishu's answer asks to be repeated."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Unpack

from app.channel.call import Call, Course, Patience
from app.channel.limiter import Limiter, Slot
from app.channel.limits import Bound, Priority
from app.channel.tokens import Tokens
from app.core.clock import SYSTEM_CLOCK, Clock
from app.core.errors import (
    FeishuError,
    FeishuLimited,
    FeishuTokenInvalid,
    FeishuUnavailable,
    HubError,
    OutcomeUnknown,
    SlotTimeout,
)
from app.core.logs import get_logger
from app.core.metrics import SEND_REFUSALS, SEND_RETRIES, SENDS, SLOT_WAIT_SECONDS
from app.feishu.client import Answer, FeishuApi
from app.feishu.codes import BEING_SENT, error_for
from app.model.bot import BotSpec

# Feishu away: 0.2, 0.4, 0.8, 1.6 s between five tries; the retry of the whole event comes after that.
_TRIES: Final = 5
_FIRST_WAIT: Final = 0.2
BUSY_TRIES: Final = 5
"""How often "is being sent" is heard, over some 4 s, before it is believed to mean "was sent"."""
# If Feishu does not say how long, an app waits 1 to 30 s, a chat 0.5 to 4 s.
_FIRST_PAUSE: Final[Mapping[str, float]] = {"app": 1.0, "chat": 0.5}
_LONGEST_PAUSE: Final[Mapping[str, float]] = {"app": 30.0, "chat": 4.0}
_LIMITED_TRIES: Final[Mapping[str, int]] = {"app": 8, "chat": 6}
# A token given out is good for at least half a minute.
_TOKEN_GOOD: Final = 1.0
# An answer takes a moment even if the deadline is now: cut shorter, the outcome would not be known.
_SHORTEST_TIMEOUT: Final = 1.0

# Finding a metric by its labels costs more than counting; there is one for each bot and API it calls.
_sends = lru_cache(maxsize=4096)(SENDS.labels)
_slot_waits = lru_cache(maxsize=4096)(SLOT_WAIT_SECONDS.labels)

log = get_logger(__name__)


class Exchange:
    """Makes calls to Feishu; `outcomes` counts how they ended (`sent`, or the class of the error)."""

    def __init__(
        self,
        api: FeishuApi,
        tokens: Tokens,
        limiter: Limiter,
        *,
        clock: Clock = SYSTEM_CLOCK,
        chance: random.Random | None = None,
    ) -> None:
        self._api = api
        self._tokens = tokens
        self.limiter = limiter
        """Where calls wait for their slots."""
        self._clock = clock
        self._chance = chance or random.Random()
        self.outcomes: Counter[str] = Counter()
        self.codes: Counter[int] = Counter()
        """How often each code other than 0 was answered."""

    async def run(
        self,
        spec: BotSpec,
        call: Call,
        *,
        course: Course | None = None,
        **patience: Unpack[Patience],
    ) -> Answer:
        """Call until Feishu takes it.

        Raises FeishuError, SlotTimeout, or OutcomeUnknown if it may have been done and cannot be repeated.
        """
        course = course or Course()
        try:
            answer = await self._try(spec, call, patience, course)
        except HubError as error:
            # A caller that has something else to do meanwhile comes again: the call has no outcome yet.
            if not (isinstance(error, SlotTimeout) and "slot_within" in patience):
                self._count(spec, call, type(error).__name__)
            raise
        self._count(spec, call, "sent")
        return answer

    async def _try(self, spec: BotSpec, call: Call, patience: Patience, course: Course) -> Answer:
        deadline, priority = patience.get("deadline"), patience.get("priority") or call.priority
        bounds = self.limiter.bounds.of(
            spec,
            call.api,
            chat=call.chat,
            user=call.user,
            message=call.message,
            card=call.card,
            priority=priority,
        )
        quotas = self.limiter.quotas
        tries = limited = made = 0
        dropped = False
        while True:
            token = ""
            quotas.check(spec.id, priority)
            try:
                # Before the slot: one that waits for a token is late, and wasted if there is no token.
                token = await self._token(spec, call)
                slot = await self._slot(spec, call, bounds, patience, priority)
                if slot.waited > _TOKEN_GOOD:
                    token = await self._token(spec, call)
            except (FeishuUnavailable, FeishuLimited) as error:
                # No token: nothing was sent, whatever became of the token's own call.
                if not error.retryable:
                    raise
                tries += 1
                await self._rest(error, tries, deadline)
                continue
            if course.unknown and course.repeat_until is not None and self._clock.now() > course.repeat_until:
                raise _unknown(spec, call)
            # Calls that waited beside it may have used up the month.
            quotas.check(spec.id, priority)
            quotas.count(spec.id)
            made += 1
            if made > 1:
                SEND_RETRIES.labels(spec.id, call.api).inc()
            try:
                return await self._once(spec, call, token, deadline)
            except FeishuTokenInvalid as error:
                if dropped or call.token == "none":
                    raise
                dropped = True
                log.info("token dropped", bot=spec.id, api=call.api, code=error.code)
                await self._tokens.drop(spec, token, call.token)
            except FeishuLimited as error:
                limited += 1
                await self._pause(spec, call, error, limited, bounds, slot)
            except FeishuUnavailable as error:
                course.unknown = course.unknown or error.sent
                if error.sent and not call.repeatable:
                    raise _unknown(spec, call) from error
                if error.code in BEING_SENT:
                    course.busy += 1
                else:
                    tries += 1
                await self._rest(error, max(tries, course.busy), deadline)

    async def _token(self, spec: BotSpec, call: Call) -> str:
        return "" if call.token == "none" else await self._tokens.token(spec, call.token)

    async def _slot(
        self, spec: BotSpec, call: Call, bounds: Sequence[Bound], patience: Patience, priority: Priority
    ) -> Slot:
        deadline, within = patience.get("deadline"), patience.get("slot_within")
        if within is not None:
            soon = self._clock.now() + within
            deadline = soon if deadline is None else min(soon, deadline)
        slot = await self.limiter.slot(bounds, priority=priority, deadline=deadline, on_wait=patience.get("on_wait"))
        _slot_waits(spec.id, call.api, bounds[0].kind).observe(slot.waited)
        return slot

    async def _once(self, spec: BotSpec, call: Call, token: str, deadline: float | None) -> Answer:
        timeout = call.timeout
        if deadline is not None:
            timeout = min(timeout, max(_SHORTEST_TIMEOUT, deadline - self._clock.now()))
        answer = await self._api.request(
            spec.credentials.base_url,
            call.method,
            call.path,
            token=token or None,
            query=call.query,
            json=call.json,
            form=call.form,
            headers=call.headers,
            timeout=timeout,
            binary=call.binary,
            label=call.api,
        )
        if answer.code == 0:
            return answer
        self.codes[answer.code] += 1
        error = error_for(answer, f"{call.api} of bot {spec.id}")
        bound = error.bound if isinstance(error, FeishuLimited) else ""
        SEND_REFUSALS.labels(spec.id, call.api, answer.code, bound).inc()
        raise error

    async def _pause(
        self, spec: BotSpec, call: Call, error: FeishuLimited, limited: int, bounds: Sequence[Bound], slot: Slot
    ) -> None:
        """Make all nodes wait as long as Feishu says; the next slot is the wait itself."""
        bound = error.bound
        if bound == "quota":
            error.retry_after = await self.limiter.quotas.stop(spec.id)
        if bound == "quota" or limited >= _LIMITED_TRIES[bound]:
            raise error
        seconds = await self.limiter.pause(
            bounds[-1 if bound == "app" else 0],
            error.retry_after,
            first=_FIRST_PAUSE[bound],
            longest=_LONGEST_PAUSE[bound],
            at=slot.at,
        )
        log.info("send limit hit", bot=spec.id, api=call.api, code=error.code, bound=bound, seconds=seconds)

    async def _rest(self, error: FeishuError, tries: int, deadline: float | None) -> None:
        """Wait before the next try, or raise the error if there is none."""
        seconds = max(error.retry_after or 0.0, _FIRST_WAIT * 2.0 ** (tries - 1))
        seconds *= 0.5 + self._chance.random()
        if tries >= _TRIES or (deadline is not None and self._clock.now() + seconds > deadline):
            raise error
        await self._clock.sleep(seconds)

    def _count(self, spec: BotSpec, call: Call, outcome: str) -> None:
        self.outcomes[outcome] += 1
        _sends(spec.id, call.api, outcome).inc()


def _unknown(spec: BotSpec, call: Call) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"{call.api} of bot {spec.id} may have been done, but its answer was lost and it can no longer be repeated "
        "safely: look in the chat whether it is there, then replay the event or let it be"
    )
