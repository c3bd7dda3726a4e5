"""From a person's message in a local Feishu until the bot's answer is back there, limits as shipped."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any, Final

from bench.feishu import Feishu
from bench.hub import Hub, write_bot
from bench.plan import Plan, apps
from bench.report import Row, percentile, row
from bench.wrk import Unsound

_APPS: Final = 20
_CHATS: Final = 200
_RATE: Final = 200
_WARM: Final = 2.0


def measure(plan: Plan) -> list[Row]:
    """The hub as it is shipped, the playground as a process of its own; nothing is bound to a core."""
    turns = [_turns(plan) for _ in range(plan.rounds)]
    figures: list[tuple[str, str, float, float | None]] = [
        ("200 → reply received, p50", "acked", 0.50, 10),
        ("200 → reply received, p99", "acked", 0.99, 50),
        ("message said → reply received, p50", "said", 0.50, None),
        ("message said → reply received, p99", "said", 0.99, None),
    ]
    return [
        row("end to end, 200 events/s", what, "ms", [percentile(_spans(t, since), part) for t in turns], at_most=bound)
        for what, since, part, bound in figures
    ]


def _spans(turns: list[dict[str, Any]], since: str) -> list[float]:
    """Milliseconds; an answer that overtook the 200 took none."""
    return [max(0.0, turn["replied"] - turn[since]) * 1000 for turn in turns]


def _turns(plan: Plan) -> list[dict[str, Any]]:
    members = apps(_APPS)
    config = plan.scratch / "end-to-end"
    with Feishu(members) as feishu:
        for app in members:
            write_bot(config, app, "repeat", domain=feishu.url)
        with Hub(config, plan.scratch / "end-to-end-data") as hub:
            for app in members:
                feishu.add(app, f"http://127.0.0.1:{hub.port}/webhook/{app.bot}")
            places = []
            for number in range(_CHATS):
                user = feishu.control("POST", "/users", name=f"user {number}")["user_id"]
                app_id = members[number % _APPS].app_id
                chat = feishu.control("POST", "/p2p", app_id=app_id, user_id=user)["chat_id"]
                places.append({"user_id": user, "chat_id": chat})
            said = _speak(feishu, places, _WARM + plan.pick(5, 15))
            turns = _answered(feishu, said)
    began = min(turn["said"] for turn in turns)
    return [turn for turn in turns if turn["said"] - began > _WARM]


def _speak(feishu: Feishu, places: list[dict[str, str]], seconds: float) -> int:
    control, token = feishu.credentials
    order = {"control": control, "token": token, "places": places, "rate": _RATE, "seconds": seconds}
    command = [sys.executable, "-m", "bench.speak"]
    done = subprocess.run(command, input=json.dumps(order), capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout)["said"])


def _answered(feishu: Feishu, said: int) -> list[dict[str, Any]]:
    """Every turn, once all have their answer."""
    deadline = time.monotonic() + 30
    while True:
        turns: list[dict[str, Any]] = feishu.control("GET", "/ledger/turns")["turns"]
        if len(turns) == said and all(turn["replied"] and turn["acked"] for turn in turns):
            return turns
        if time.monotonic() > deadline:
            left = sum(1 for turn in turns if not turn["replied"])
            raise Unsound(f"{said} messages were said, {len(turns)} became events, {left} of them have no answer")
        time.sleep(0.2)
