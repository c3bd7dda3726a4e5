"""How many messages one core sends: with limiter, sent record and archive entry, to a Feishu that takes all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bench.engine import Engine
from bench.machine import MEASURED, OTHERS, pinned
from bench.nodes import Stream, send
from bench.plan import Plan
from bench.report import Row, row
from bench.wrk import Unsound

_APPS: Final = 3
_STREAMS: Final = 240
_AT_ONCE: Final = 32
# Bounds that are kept and never met: the limiter does all of its work, and nobody waits.
_WIDE: Final = {"app_per_second": 50_000, "app_per_minute": 1_000_000, "chat_per_second": 5_000}
# Feishu's own times four: everybody waits, all the time.
_NARROW: Final = {"app_per_second": 200, "app_per_minute": 4000, "chat_per_second": 20}


def measure(plan: Plan) -> list[Row]:
    """The hub and lark-oapi in turn; then slots alone, with what they cost the engine."""
    count, few, waited = int(plan.pick(4000, 15_000)), int(plan.pick(150, 500)), int(plan.pick(2400, 6000))
    sends, rivals, slots, waits = [], [], [], []
    for turn in range(plan.rounds):
        with Quick() as feishu, Engine(plan.scratch / f"sends-{turn}", core=OTHERS) as engine:
            sends.append(_sends(engine, plan.scratch / f"sends-{turn}", feishu.url, count))
            rivals.append(_lark(feishu.url, few))
            slots.append(_slots(engine, plan.scratch / f"sends-{turn}", _streams(count), _WIDE))
            # Other apps: of these a minute is full.
            waits.append(_slots(engine, plan.scratch / f"sends-{turn}", _streams(waited, _APPS), _NARROW))
    name = "sends, one core"
    return [
        row(
            name,
            "the hub: limiter, sent record, archive",
            "sends/s",
            [done.rate for done in sends],
            at_least=3000,
            note="engine and server on the other core",
        ),
        row(name, "as many by CPU time", "sends/s", [1 / done.cpu for done in sends]),
        row(name, "lark-oapi, acreate", "sends/s", rivals, note=f"{_AT_ONCE} at once, the same server"),
        row(name, "times lark-oapi", "", [a.rate / b for a, b in zip(sends, rivals, strict=True)], at_least=50),
        *(
            row(
                name,
                f"limiter, CPU a send, {who}",
                "ms",
                [client + server for client, server in costs],
                at_most=0.3,
                note=f"of it the engine {sum(server for _, server in costs) / len(costs):.3f}",
            )
            for who, costs in (("nobody waits", slots), ("everybody waits", waits))
        ),
    ]


class Quick:
    """A Feishu that takes everything, as a process of its own on the other core."""

    def __enter__(self) -> Quick:
        command = pinned(OTHERS, [sys.executable, "-m", "bench.quick_feishu"])
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


class Done:
    """How fast it went: sends a second, and CPU seconds of the sender for one."""

    def __init__(self, rate: float, cpu: float) -> None:
        self.rate = rate
        self.cpu = cpu


def _sends(engine: Engine, data_dir: Path, url: str, count: int) -> Done:
    [said] = send([_streams(count)], data_dir=data_dir, redis=engine.url, feishu=url, limits=_WIDE, core=MEASURED)
    if said["outcomes"] != {"sent": count}:
        raise Unsound(f"of {count} sends came {said['outcomes']}")
    return Done(count / said["seconds"], said["cpu"] / count)


def _slots(engine: Engine, data_dir: Path, streams: list[Stream], limits: Mapping[str, float]) -> tuple[float, float]:
    """Milliseconds of CPU a slot: of the process that asks, and of the engine."""
    count = sum(stream[-1] for stream in streams)
    before = engine.cpu
    [said] = send(
        [streams],
        data_dir=data_dir,
        redis=engine.url,
        feishu="http://127.0.0.1:9",
        limits=limits,
        only_slots=True,
        warm=False,
        core=MEASURED,
    )
    return said["cpu"] / count * 1000, (engine.cpu - before) / count * 1000


def _streams(count: int, first: int = 0) -> list[Stream]:
    """As many for each of the apps from the `first` on, each in a chat of its own."""
    each, more = divmod(count, _STREAMS)
    return [(first + n % _APPS, f"oc_bench{first}_{n:03d}", n, _STREAMS, each + (n < more)) for n in range(_STREAMS)]


def _lark(url: str, count: int) -> float:
    command = [sys.executable, "-m", "bench.rivals.lark_sends", url, str(count), str(_AT_ONCE)]
    done = subprocess.run(pinned(MEASURED, command), capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])
