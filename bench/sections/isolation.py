"""What a bot feels of another that misbehaves: nothing, or nearly."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Final
from urllib.request import Request, urlopen

from bench.events import App, Requests, write_requests
from bench.feishu import Feishu
from bench.hub import Hub, write_bot
from bench.marks import Marks
from bench.pace import start_pace
from bench.plan import Plan
from bench.report import Row, percentile, row
from bench.sections.handle import finished, until_handled

_WELL: Final = App(1)
_ROGUES: Final = [App(number) for number in range(2, 6)]
_RATE: Final = 40.0
_FLOOD: Final = 50
_MOVED: Final = 1.20
_MOST: Final = 10_000


def measure(plan: Plan) -> list[Row]:
    """One hub: the well-behaved bot alone, beside each misdeed, each by a bot of its own, and alone again."""
    seconds = plan.pick(10, 30)
    misdeeds = [
        ("blocks its loop 10 s", _says("block", _ROGUES[0])),
        ("exits its process", _says("exit", _ROGUES[1])),
        (f"gets {_FLOOD}× the traffic", _flood(_ROGUES[2], seconds)),
        ("has a broken config", _break(_ROGUES[3])),
    ]
    with _Stage(plan) as stage:
        stage.run(_nothing, 4)  # keys, tokens, first imports
        alone = [stage.run(_nothing, seconds)]
        beside = [(name, stage.run(act, seconds)) for name, act in misdeeds]
        alone.append(stage.run(_nothing, seconds / 2))
    rows = []
    for what in ("POST → 200", "POST → handler"):
        was = statistics.median(percentile(spans[what], 0.99) for spans in alone)
        rows.append(row("isolation", f"B alone, p99 {what}", "ms", [percentile(s[what], 0.99) for s in alone]))
        for name, spans in beside:
            became = percentile(spans[what], 0.99)
            note = f"p99 {became:.2f} ms, p50 {percentile(spans[what], 0.5):.2f} ms, longest {max(spans[what]):.0f} ms"
            rows.append(row("isolation", f"A {name}: B's p99 {what}", "×", [became / was], at_most=_MOVED, note=note))
    return rows


class _Stage:
    """A hub with all of them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.config = plan.scratch / "isolation"
        self._feishu = Feishu([_WELL, *_ROGUES])
        self._path = plan.scratch / "isolation-marks"
        self._series = 0

    def __enter__(self) -> _Stage:
        feishu = self._feishu.__enter__()
        self._marks = Marks(self._path, _MOST)
        write_bot(self.config, _WELL, "mark", domain=feishu.url, settings={"marks": str(self._path)})
        for rogue in _ROGUES:
            write_bot(self.config, rogue, "rogue", domain=feishu.url)
        self.hub = Hub(self.config, self.plan.scratch / "isolation-data").__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.hub.__exit__(None, None, None)
        self._feishu.__exit__(None, None, None)

    def run(self, prepare: Misdeed, seconds: float) -> dict[str, list[float]]:
        """The well-behaved bot's spans to its 200s and to its handler, with the misdeed a second after the begin."""
        count = int(_RATE * seconds)
        self._marks.clear()
        # What A will be sent is made before: signing it takes a whole core for seconds, and B would feel that.
        act = prepare(self)
        load = start_pace(self.hub.port, self.events(_WELL, count), self._path, count=count, rate=_RATE, connections=8)
        time.sleep(1)
        others = act()
        finished(load)
        if others is not None:
            finished(others)
        until_handled(self._marks)
        return {"POST → 200": self._marks.accept_ms(), "POST → handler": self._marks.handle_ms()}

    def events(self, app: App, count: int, say: str = "") -> Requests:
        """Events of a bot that were never sent before."""
        self._series += 1
        path = self.plan.scratch / f"isolation-{self._series}"
        return write_requests(path, count, [app], chats=100, say=say, series=self._series)


Act = Callable[[], "subprocess.Popen[str] | None"]
Misdeed = Callable[[_Stage], Act]
"""Makes ready what it needs, and gives what does it."""


def _nothing(stage: _Stage) -> Act:
    return lambda: None


def _says(word: str, app: App) -> Misdeed:
    def prepare(stage: _Stage) -> Act:
        head, _, body = stage.events(app, 1, word).path.read_bytes().partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        request = Request(f"http://127.0.0.1:{stage.hub.port}/webhook/{app.bot}", body, fields)
        return lambda: urlopen(request, timeout=5).close()

    return prepare


def _flood(app: App, seconds: float) -> Misdeed:
    def prepare(stage: _Stage) -> Act:
        rate = _RATE * _FLOOD
        count = int(rate * (seconds - 2))
        path = stage.plan.scratch / "flood-marks"
        Marks(path, count)
        requests = stage.events(app, count)
        return lambda: start_pace(stage.hub.port, requests, path, count=count, rate=rate)

    return prepare


def _break(app: App) -> Misdeed:
    def act(stage: _Stage) -> None:
        (stage.config / app.bot / "config.yaml").write_text("handler: [what\n")

    return lambda stage: lambda: act(stage)
