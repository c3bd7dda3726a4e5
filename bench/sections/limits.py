"""Five times as much as Feishu allows, on two nodes: how much of the allowance is used, and what is refused of it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

from bench.engine import Engine
from bench.feishu import Feishu
from bench.nodes import Stream, send
from bench.plan import Plan, apps
from bench.report import Row, row
from bench.wrk import Unsound

_APPS: Final = 3
_CHATS: Final = 40
_NODES: Final = 2
_TIMES_ALLOWED: Final = 5
# At the very end only some chats have anything left to be sent, and the apps' bound is no longer what is waited for.
_COUNTED: Final = 0.99
_PAGE: Final = 5000
# Feishu's own (Feishu docs: rate limits).
_PER_SECOND: Final = 50
_PER_MINUTE: Final = 1000
_PER_CHAT: Final = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the playground saw."""

    seconds: float
    """From the first message that it took until it had taken those that count."""
    last: float
    """The same until it had taken all."""
    refused: int


def measure(plan: Plan) -> list[Row]:
    """The headroom as shipped, then a fiftieth; all bounds are multiplied on both sides, to save time."""
    # Enough that both the second's and the minute's bound are met.
    count, scale = (4_800, 2) if plan.quick else (20_000, 4)
    counted, whole = (_least_seconds(part * count / _APPS, scale) for part in (_COUNTED, 1.0))
    shipped = _run(plan, count, scale, headroom=0.1, least=whole)
    narrow = _run(plan, count, scale, headroom=0.02, least=whole)
    name = f"limits, {count:,} sends"
    return [
        row(
            name,
            "of the rate after 10 % headroom",
            "%",
            [counted / 0.9 / shipped.seconds * 100],
            at_least=97,
            note=f"all bounds times {scale}; to the very last {whole / 0.9 / shipped.last * 100:.1f} %",
        ),
        row(
            name,
            "of Feishu's own rate, 2 % headroom",
            "%",
            [counted / narrow.seconds * 100],
            at_least=95,
            note=f"to the very last {whole / narrow.last * 100:.1f} %",
        ),
        row(name, "refused, 10 % headroom", "%", [shipped.refused / count * 100], at_most=0.1),
        row(name, "refused, 2 % headroom", "%", [narrow.refused / count * 100], at_most=0.1),
    ]


def _least_seconds(each: float, scale: int) -> float:
    """What an app needs for so many at the rate: of the second while the minute lasts, then of the next minute."""
    minutes, rest = divmod(each, _PER_MINUTE * scale)
    return minutes * 60.0 + rest / (_PER_SECOND * scale)


def _run(plan: Plan, count: int, scale: int, *, headroom: float, least: float) -> Outcome:
    members = apps(_APPS)
    limits = {
        "app_per_second": _PER_SECOND * scale,
        "app_per_minute": _PER_MINUTE * scale,
        "chat_per_second": _PER_CHAT * scale,
        "headroom": headroom,
    }
    data_dir = plan.scratch / f"limits-{headroom}"
    with Feishu(members) as feishu, Engine(data_dir) as engine:
        feishu.control("POST", "/settings", limits={"enabled": True, "scale": scale})
        ids = [app.app_id for app in members]
        chats = [feishu.control("POST", "/groups", name=f"group {n}", apps=ids)["chat_id"] for n in range(_CHATS)]
        said = send(
            _streams(chats, count),
            data_dir=data_dir,
            redis=engine.url,
            feishu=feishu.url,
            limits=limits,
            rate=_TIMES_ALLOWED * count / least,
            warm=False,
        )
        outcomes = [node["outcomes"] for node in said]
        if sum(outcome.get("sent", 0) for outcome in outcomes) != count:
            raise Unsound(f"of {count} sends came {outcomes}")
        return _judged(feishu, chats, count)


def _streams(chats: list[str], count: int) -> list[list[Stream]]:
    """Every app speaks in every chat; half of a chat's apps on one node, the others on the other."""
    nodes: list[list[Stream]] = [[] for _ in range(_NODES)]
    step = _APPS * len(chats)
    for number in range(step):
        app, chat = number % _APPS, number // _APPS
        stream = (app, chats[chat], number, step, (count - number + step - 1) // step)
        nodes[(app + chat) % _NODES].append(stream)
    return nodes


def _judged(feishu: Feishu, chats: list[str], count: int) -> Outcome:
    """The playground's own record: nothing lost, nothing twice, each bot's messages of a chat in order."""
    messages: list[dict[str, Any]] = []
    while page := feishu.control("GET", f"/ledger/messages?offset={len(messages)}&limit={_PAGE}")["messages"]:
        messages += page
    spoken: dict[tuple[str, str], list[int]] = defaultdict(list)
    for message in messages:
        bot, _, n = json.loads(message["content"])["text"].rpartition(" ")
        spoken[message["chat_id"], bot].append(int(n))
    if len(messages) != count or sum(len(set(numbers)) for numbers in spoken.values()) != count:
        raise Unsound(f"{count} were sent, {len(messages)} arrived, {len(spoken)} chats and bots: some lost or twice")
    if any(numbers != list(range(len(numbers))) for numbers in spoken.values()):
        raise Unsound("messages of a bot arrived in a chat in another order than they were sent")
    refused = len(feishu.control("GET", "/ledger/violations")["violations"])
    instants = sorted(call["instant"] for call in _accepted(feishu))
    return Outcome(instants[int(_COUNTED * count) - 1] - instants[0], instants[-1] - instants[0], refused)


def _accepted(feishu: Feishu) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    since = 0
    path = "/ledger/calls?api=im.v1.message.create&code=0"
    while page := feishu.control("GET", f"{path}&since={since}&limit={_PAGE}")["calls"]:
        calls += page
        since = page[-1]["seq"]
    return calls
