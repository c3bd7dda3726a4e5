"""What the rules are applied to: the signals of the whole cluster, from its nodes' heartbeats and from Redis."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from app.channel.usage import LimitUse, QuotaUse
from app.control.alerts.round import Readings

# A dead node that was replaced by another is missed for a day, then forgotten.
MISSED_FOR: Final = 86_400.0

LOCAL_SIGNALS: Final = frozenset({"redis_away", "spool_events"})
"""What a node can see by itself, and reports by itself while Redis is away."""

_BY_NODE: Final = ("cpu", "memory", "latency", "spool_events", "database_away")
_BY_BOT: Final[Mapping[str, str]] = {
    "errors_per_minute": "errors",
    "refusals_per_minute": "refusals",
    "token_failures_per_minute": "token_failures",
}


def of_nodes(nodes: Iterable[Mapping[str, Any]], now: float) -> Readings:
    """The signals in the nodes' heartbeats; `now` in seconds since the epoch."""
    readings: defaultdict[str, dict[str, float]] = defaultdict(dict)
    sums: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    requests = 0.0
    for name in (*_BY_NODE, *_BY_BOT, "node_offline", "redis_away", "error_share", "response_time", "bot_faults"):
        readings[name] = {}
    for node in nodes:
        name = node["id"]
        readings["node_offline"][name] = 0.0 if node["alive"] else now - node["last_seen"]
        vitals = node.get("vitals")
        if vitals is None:
            continue
        requests += vitals["requests"]
        readings["redis_away"][name] = 0.0
        for signal in _BY_NODE:
            readings[signal][name] = vitals.get(signal, 0.0)  # an older hub does not say all
        for bot, count in vitals["faults"].items():
            readings["bot_faults"][bot] = max(count, readings["bot_faults"].get(bot, 0))
        for bot, figures in vitals["bots"].items():
            for figure, value in figures.items():
                sums[figure][bot] += value
            if "response" in figures:
                readings["response_time"][bot] = max(figures["response"], readings["response_time"].get(bot, 0.0))
    readings["requests_per_minute"][""] = requests
    for signal, figure in _BY_BOT.items():
        readings[signal].update(sums[figure])
    for bot, handled in sums["handled"].items():
        readings["error_share"][bot] = sums["errors"].get(bot, 0.0) / handled
    return readings


def gone(nodes: Sequence[Mapping[str, Any]], now: float) -> list[str]:
    """Nodes that have been missing so long that they will not come back."""
    return [node["id"] for node in nodes if not node["alive"] and now - node["last_seen"] > MISSED_FOR]


def of_limits(limits: Iterable[LimitUse]) -> Readings:
    """How much of Feishu's limits is used, and how long calls wait for a slot."""
    used: dict[str, float] = {}
    wait: dict[str, float] = {}
    for limit in limits:
        if limit.kind == "alert":
            # Alerts may use up their small share: an alert about it would only have to wait for it too.
            continue
        where = " ".join(filter(None, (limit.kind, limit.name, limit.api)))
        used[f"{where} {limit.span:g}s"] = limit.share
        wait[where] = max(limit.wait, wait.get(where, 0.0))
    return {"limit_used": used, "slot_wait": wait}


def of_quotas(quotas: Iterable[QuotaUse]) -> Readings:
    """How much of the month's calls is used; for an account of unknown quota, whether Feishu has stopped it."""
    found = list(quotas)
    known = [(quota, quota.allowed) for quota in found if quota.allowed]
    return {
        "quota_used": {quota.group: quota.used / allowed for quota, allowed in known},
        "quota_projected": {quota.group: quota.projected / allowed for quota, allowed in known},
        "quota_stopped": {quota.group: float(quota.stopped) for quota in found},
    }
