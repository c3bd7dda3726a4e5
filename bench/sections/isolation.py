"""What a bot feels of another that misbehaves: nothing, or nearly."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Final
from urllib.request import Request, urlopen

from bench.events import App, Requests, write_requests
from bench.feishu import Feishu
from bench.hub import Hub, write_bot
from bench.machine import OTHERS
from bench.marks import Marks
from bench.pace import start_pace
from bench.plan import Plan
from bench.report import Row, percentile, row
from bench.sections.handle import finished, until_handled
from bench.wrk import Unsound

_WELL: Final = [App(number) for number in range(1, 6)]
"""Five, so that a window has five times the events; A gets 50 times what one of them gets."""
_RATE: Final = 10.0
_FLOOD: Final = 50
_WARM: Final = 3.0
_TURNS: Final = 2
"""Windows of a misdeed that lasts, for each round."""
_MOVED: Final = 1.20
_HEAD_START: Final = 1.5
"""Seconds in which load generators start: a Python that starts takes a core, which B would feel."""
_CALM_WITHIN: Final = 30.0

Window = dict[str, list[float]]
"""What B felt, milliseconds of each event by what they lead to."""


def measure(plan: Plan) -> list[Row]:
    """One hub: B alone and beside a misdeed, in turn; each misdeed by a bot that has done none before."""
    pairs: dict[str, list[tuple[Window, Window]]] = {}
    turns_of = {name: plan.rounds * (1 if name in _ONCE else _TURNS) for name in MISDEEDS}
    with Stage(plan, rogues=sum(turns_of.values())) as stage:
        stage.run(nothing, _WARM)  # keys, tokens, first imports
        for turn in range(max(turns_of.values())):
            for name, misdeed in MISDEEDS.items():
                if turn < turns_of[name]:
                    seconds = stage.once if name in _ONCE else stage.beside
                    pairs.setdefault(name, []).append((stage.run(nothing, seconds), stage.run(misdeed, seconds)))
    rows = []
    for what in ("POST → 200", "POST → handler"):
        alone = [percentile(calm[what], 0.99) for turns in pairs.values() for calm, _ in turns]
        rows.append(row("isolation", f"B alone, p99 {what}", "ms", alone))
        for name, turns in pairs.items():
            ratios = [percentile(beside[what], 0.99) / percentile(calm[what], 0.99) for calm, beside in turns]
            quiet = [span for calm, _ in turns for span in calm[what]]
            spans = [span for _, beside in turns for span in beside[what]]
            # Some fifteen events decide a window's p99, which differs by a half from one to the next.
            whole = percentile(spans, 0.99) / percentile(quiet, 0.99)
            note = ", ".join(f"p{100 * part:.0f} {percentile(spans, part):.2f}" for part in (0.5, 0.9, 0.99))
            note += f" ms, longest {max(spans):.0f} ms"
            rows.append(
                row("isolation", f"A {name}: B's p99 {what}", "×", ratios, at_most=_MOVED, value=whole, note=note)
            )
    return rows


class Stage:
    """A hub with all of them."""

    def __init__(self, plan: Plan, *, rogues: int) -> None:
        self.plan = plan
        self.beside, self.once = plan.pick(12, 30), plan.pick(20, 60)
        """Seconds of windows: of a misdeed that lasts, and of one that happens once; as long is B's alone before."""
        self.config = plan.scratch / "isolation"
        self._rogues = [App(100 + number) for number in range(rogues)]
        self._feishu = Feishu([*_WELL, *self._rogues], core=OTHERS)
        self._path = plan.scratch / "isolation-marks"
        self._series = 0

    def __enter__(self) -> Stage:
        feishu = self._feishu.__enter__()
        self._marks = Marks(self._path, int(_RATE * len(_WELL) * self.once))
        for app in _WELL:
            write_bot(self.config, app, "mark", domain=feishu.url, settings={"marks": str(self._path)})
        for rogue in self._rogues:
            write_bot(self.config, rogue, "rogue", domain=feishu.url)
        self.hub = Hub(self.config, self.plan.scratch / "isolation-data").__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.hub.__exit__(None, None, None)
        self._feishu.__exit__(None, None, None)

    def rogue(self) -> App:
        """A bot that has done nothing wrong so far: who has may be kept apart already."""
        return self._rogues.pop()

    def run(self, misdeed: Misdeed, seconds: float) -> Window:
        """The well-behaved bots' spans to their 200s and to their handlers, with a misdeed soon after the begin."""
        count = int(_RATE * len(_WELL) * seconds)
        self._marks.clear()
        # What A will be sent is made before: signing it takes a whole core for seconds, and B would feel that.
        act = misdeed(self)
        requests = self.events(_WELL, count)
        self._until_calm()
        begin = time.monotonic() + _HEAD_START
        # Before everything else on its core: what is measured is the hub's lateness, and not the generator's.
        load = start_pace(
            self.hub.port,
            requests,
            self._path,
            count=count,
            rate=_RATE * len(_WELL),
            connections=8,
            core=OTHERS,
            begin=begin,
            first_served=True,
        )
        others = act(begin + 1)
        finished(load, punctual=True)
        if others is not None:
            finished(others)
        until_handled(self._marks)
        return {"POST → 200": self._marks.accept_ms(), "POST → handler": self._marks.handle_ms()}

    def _until_calm(self) -> None:
        """Wait until nothing of the window before is left to be handled or archived."""
        deadline = time.monotonic() + _CALM_WITHIN
        while self.hub.logged(_WELL + self._rogues):
            if time.monotonic() > deadline:
                raise Unsound(f"the hub had still work {_CALM_WITHIN:.0f} s after a window")
            time.sleep(0.1)

    def events(self, apps: list[App], count: int, say: str = "") -> Requests:
        """Events of bots that were never sent before."""
        self._series += 1
        path = self.plan.scratch / f"isolation-{self._series}"
        return write_requests(path, count, apps, chats=100 * len(apps), say=say, series=self._series)


Act = Callable[[float], "subprocess.Popen[str] | None"]
"""Does it at an instant (monotonic seconds)."""
Misdeed = Callable[[Stage], Act]
"""Makes ready what it needs, and gives what does it."""


def nothing(stage: Stage) -> Act:
    """B alone."""
    return lambda instant: None


def _says(word: str) -> Misdeed:
    def prepare(stage: Stage) -> Act:
        app = stage.rogue()
        head, _, body = stage.events([app], 1, word).path.read_bytes().partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        request = Request(f"http://127.0.0.1:{stage.hub.port}/webhook/{app.bot}", body, fields)

        def act(instant: float) -> None:
            _until(instant)
            urlopen(request, timeout=5).close()

        return act

    return prepare


def _flood(stage: Stage) -> Act:
    rate = _RATE * _FLOOD
    count = int(rate * (stage.beside - 1))
    path = stage.plan.scratch / "flood-marks"
    Marks(path, count)
    requests = stage.events([stage.rogue()], count)
    return lambda instant: start_pace(
        stage.hub.port, requests, path, count=count, rate=rate, core=OTHERS, begin=instant
    )


def _break(stage: Stage) -> Act:
    file = stage.config / stage.rogue().bot / "config.yaml"

    def act(instant: float) -> None:
        _until(instant)
        file.write_text("handler: [what\n")

    return act


def _until(instant: float) -> None:
    time.sleep(max(0.0, instant - time.monotonic()))


_ONCE: Final = ("blocks its loop 10 s", "exits its process")
"""Who has done that is kept apart for ten minutes, so that nobody feels it more often."""
MISDEEDS: Final[dict[str, Misdeed]] = {
    "blocks its loop 10 s": _says("block"),
    "exits its process": _says("exit"),
    f"gets {_FLOOD}× the traffic": _flood,
    "has a broken config": _break,
}
