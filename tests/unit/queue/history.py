"""What the queue's scripts are held to: a small model of where every event lies, and who has what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from redis.asyncio import Redis

from app.core.keys import Keys
from app.core.redis import RedisLink
from app.core.wire import Arg, exchange
from app.queue.envelope import CALL_PREFIX
from app.queue.work import Incoming, Work
from tests.unit.queue.incoming import incoming

BOT = "echo"
QUEUE_SIZE = 6
# A second word, a hash tag and a bracket: parts of keys and of members of sorted sets.
CONVERSATIONS = ("oc_1", "oc {2} [x", f"{CALL_PREFIX}c3")


_ALL: Final = (0, -1)
_READS: Final[dict[str, tuple[str, tuple[Arg, ...]]]] = {
    "depth": ("GET", ()),
    "claim": ("HGETALL", ()),
    "ready": ("LRANGE", _ALL),
    "calls": ("LRANGE", _ALL),
    "lease": ("ZRANGE", _ALL),
    "delayed": ("ZRANGE", _ALL),
    "later": ("ZRANGE", _ALL),
    "tries": ("HGETALL", ()),
    "log": ("XRANGE", ("-", "+")),
    "half": ("SMEMBERS", ()),
    "dead": ("XRANGE", ("-", "+")),
}


@dataclass
class Event:
    """One accepted event, by its entry in the log."""

    number: int
    conversation: str
    starts: int = 0
    failures: int = 0
    handled: bool = False
    archived: bool = False


@dataclass
class Model:
    """Where everything has to lie."""

    events: dict[str, Event] = field(default_factory=dict)
    """By log id."""
    mail: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in CONVERSATIONS})
    stands: dict[str, str] = field(default_factory=dict)
    """By conversation: `r`, `d` or a claim."""
    ready: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)
    """Log ids."""
    letters: dict[str, Event] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    ended: list[int] = field(default_factory=list)
    """Numbers of events that were handled, or let go by an operator."""

    @property
    def depth(self) -> int:
        return sum(map(len, self.mail.values())) + len(self.later)

    def holds(self, work: Work) -> bool:
        """Whether the claim is good, whatever has become of the event."""
        return self.stands.get(work.conversation) == work.claim

    def handles(self, work: Work) -> bool:
        """Whether it is this event that is handled under it."""
        return self.holds(work) and self.mail[work.conversation][0] == work.log_id

    def claimed(self) -> list[str]:
        return [name for name, stand in self.stands.items() if stand not in "rd"]

    # -- what steps do ---------------------------------------------------------------------------------------

    def accept(self, log_id: str, number: int, conversation: str, *, replayed: bool = False) -> None:
        self.events[log_id] = Event(number, conversation)
        self.arrive(log_id, to_calls=not replayed)

    def arrive(self, log_id: str, *, to_calls: bool = True) -> None:
        """At the end of its mailbox."""
        conversation = self.events[log_id].conversation
        self.mail[conversation].append(log_id)
        if conversation not in self.stands:
            self.stands[conversation] = "r"
            (self._list(conversation) if to_calls else self.ready).append(conversation)

    def start(self, work: Work) -> None:
        """A worker was given it."""
        event = self.events[work.log_id]
        assert work.log_id == self.mail[work.conversation][0], "not the first of its conversation"
        event.starts += 1
        assert (work.starts, work.failures) == (event.starts, event.failures)
        assert work.entry.event_id == f"e{event.number}"
        self.stands[work.conversation] = work.claim

    def take(self, listed: list[str], limit: int, works: list[Work]) -> None:
        """The first of a list were claimed."""
        names = listed[:limit]
        assert [work.conversation for work in works] == names
        del listed[: len(names)]
        for work in works:
            assert self.stands[work.conversation] == "r", "two have it"
            self.start(work)

    def end(self, work: Work, how: str) -> Event:
        """It leaves its mailbox: `done`, `dead`, or put off till `later`."""
        event = self.events[self.mail[work.conversation].pop(0)]
        if how == "later":
            self.later.append(work.log_id)
            event.failures += 1
        else:
            event.handled = True
        if how == "done":
            self.ended.append(event.number)
        return event

    def follow(self, work: Work, following: Work | None, go_on: bool, *, another: bool) -> None:
        """What its worker got instead: the next of its conversation, or `another` that is ready, or nothing."""
        if self.mail[work.conversation] and go_on:
            assert following is not None
            assert following.claim == work.claim
            self.start(following)
            return
        self.give_free(work.conversation, last=True)
        more = go_on and another and bool(self.ready)
        assert (following is not None) == more
        if following is not None:
            self.take(self.ready, 1, [following])

    def park(self, work: Work, *, counts: bool) -> None:
        """Its conversation waits with it; a failure, or nothing, is counted."""
        self.stands[work.conversation] = "d"
        if counts:
            self.events[work.log_id].failures += 1
        else:
            self.take_back(work.conversation)

    def take_back(self, conversation: str) -> None:
        """The start of what is handled there counts no more."""
        self.events[self.mail[conversation][0]].starts -= 1

    def give_free(self, conversation: str, *, last: bool = False) -> None:
        """In front of the others, or behind them; nowhere where it has no mail."""
        if not self.mail[conversation]:
            del self.stands[conversation]
            return
        self.stands[conversation] = "r"
        listed = self._list(conversation)
        listed.insert(len(listed) if last else 0, conversation)

    def _list(self, conversation: str) -> list[str]:
        return self.calls if conversation.startswith(CALL_PREFIX) else self.ready

    # -- what lies in Redis ----------------------------------------------------------------------------------

    async def holds_true(self, link: RedisLink, keys: Keys) -> None:
        """Everything lies where it has to, and nothing else does."""
        assert isinstance(link.blocking, Redis)
        commands = (
            *(("LRANGE", keys.mail(BOT, conversation), 0, -1) for conversation in CONVERSATIONS),
            *((read, keys.bot(BOT, part), *more) for part, (read, more) in _READS.items()),
            ("LRANGE", keys.wake, 0, -1),
        )
        *found, wake = map(_text, await exchange(link.blocking, *commands))
        mail = found[: len(CONVERSATIONS)]
        depth, claim, ready, calls, lease, delayed, later, tries, log, half, dead = found[len(CONVERSATIONS) :]
        assert int(depth or 0) == self.depth
        assert dict(zip(CONVERSATIONS, mail, strict=True)) == self.mail
        assert claim == self.stands
        assert (ready, calls) == (self.ready, self.calls)
        assert sorted(lease) == sorted(self.claimed())
        assert set(delayed) == {name for name, stand in self.stands.items() if stand == "d"}
        assert set(later) == {f"{log_id} {self.events[log_id].conversation}" for log_id in self.later}
        waiting = {log_id: self.events[log_id] for log_id in (*self.later, *(one for some in mail for one in some))}
        counted = {log_id: int(tries.get(log_id, 0)) for log_id in waiting}
        failed = {log_id: int(tries.get(f"{log_id}:f", 0)) for log_id in waiting}
        assert counted == {log_id: event.starts for log_id, event in waiting.items()}
        assert failed == {log_id: event.failures for log_id, event in waiting.items()}
        assert {name.partition(":")[0] for name in tries} <= waiting.keys(), "counts of events that are gone"
        assert {log_id for log_id, _ in log} == {
            log_id for log_id, event in self.events.items() if not (event.handled and event.archived)
        }
        assert set(half) == {log_id for log_id, event in self.events.items() if event.handled != event.archived}
        assert {letter for letter, _ in dead} == self.letters.keys()
        assert BOT in wake or not (ready or calls), "nobody would be woken"


def event(number: int, renamed: bool = False) -> Incoming:
    """An event of a message; `renamed`: the same message under an event id of its own, as Feishu may send it."""
    kind = "call" if number % 3 == 2 else "event"
    one = incoming(
        f"e{number}",
        conversation=CONVERSATIONS[number % 3],
        message_id=f"om_{number}",
        queue_size=QUEUE_SIZE,
        kind=kind,
    )
    return one._replace(seen=(f"again-e{number}", f"om_{number}")) if renamed else one


def _text(reply: Any) -> Any:
    match reply:
        case bytes():
            return reply.decode(errors="replace")
        case dict():
            return {_text(key): _text(value) for key, value in reply.items()}
        case list() | tuple():
            return [_text(one) for one in reply]
        case set():
            return {_text(one) for one in reply}
    return reply
