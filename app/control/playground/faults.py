"""Faults on demand: what goes wrong with which calls, how often."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, get_args

FaultKind = Literal["latency", "reset", "half", "lost", "html", "token", "code"]
KINDS: Final = frozenset(get_args(FaultKind))


@dataclass(eq=False, slots=True)
class Fault:
    """One thing that goes wrong; `api` is a name or pattern (`im.v1.message.*`), None means every call.

    latency  waits `seconds`, before the call is carried out or (`when="after"`) between that and its answer
    reset    the connection is reset, nothing was done
    half     the call is carried out, half of the answer is written, then the connection is closed
    lost     the call is carried out, then the connection is reset without an answer
    html     a gateway's HTML error page with `status` (500), nothing was done
    token    the presented access token stops working: 99991663
    code     answered with `code`, `status` and `headers`, nothing was done
    """

    fault_id: int
    kind: FaultKind
    times: int | None = None
    probability: float = 1.0
    api: str | None = None
    app: str | None = None
    code: int = 0
    status: int = 0
    msg: str = ""
    seconds: float = 0.0
    when: Literal["before", "after"] = "after"
    headers: dict[str, str] = field(default_factory=dict)
    hits: int = 0


class Faults:
    """The faults that wait for a call; the first that fits happens, latencies beside it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._faults: list[Fault] = []
        self._serial = 0

    def add(
        self,
        kind: FaultKind,
        *,
        times: int | None = None,
        probability: float = 1.0,
        api: str | None = None,
        app: str | None = None,
        code: int = 0,
        status: int = 0,
        msg: str = "",
        seconds: float = 0.0,
        when: Literal["before", "after"] = "after",
        headers: dict[str, str] | None = None,
    ) -> Fault:
        """Queue a fault; without `times` it happens once, or with a probability below 1 until it is cleared."""
        if kind not in KINDS:
            raise ValueError(f"fault kind {kind!r} is not known: use one of {', '.join(sorted(KINDS))}")
        if times is None and probability >= 1.0:
            times = 1
        self._serial += 1
        fault = Fault(self._serial, kind, times, probability, api, app, code, status, msg, seconds, when, headers or {})
        self._faults.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> None:
        """Take away one fault, or all."""
        self._faults = [fault for fault in self._faults if fault_id is not None and fault.fault_id != fault_id]

    def waiting(self) -> list[dict[str, Any]]:
        """The faults that still wait, as JSON."""
        return [asdict(fault) for fault in self._faults]

    def __bool__(self) -> bool:
        return bool(self._faults)

    def strike(self, api: str, app_id: str) -> tuple[list[Fault], Fault | None]:
        """What befalls this call: its latencies, and the one fault that ends it."""
        latencies: list[Fault] = []
        final: Fault | None = None
        for fault in list(self._faults):
            if final is not None and fault.kind != "latency":
                continue
            if fault.api is not None and not fnmatchcase(api, fault.api):
                continue
            if fault.app is not None and fault.app != app_id:
                continue
            if fault.probability < 1.0 and self._chance.random() >= fault.probability:
                continue
            fault.hits += 1
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
            if fault.kind == "latency":
                latencies.append(fault)
            else:
                final = fault
        return latencies, final
