"""The cluster's signals, from what its nodes say of themselves."""

from __future__ import annotations

from typing import Any

import pytest

from app.channel.usage import LimitUse, QuotaUse
from app.control.alerts.readings import gone, of_limits, of_nodes, of_quotas
from app.core.alert_rules import SIGNALS

NOW = 1_700_000_000.0


def node(name: str, *, ago: float | None = None, **vitals: Any) -> dict[str, Any]:
    if ago is not None:
        return {"id": name, "alive": False, "last_seen": NOW - ago}
    said = {"requests": 0.0, "latency": 0.0, "cpu": 0.1, "memory": 0.1, "spool_events": 0, "faults": {}, "bots": {}}
    return {"id": name, "alive": True, "last_seen": NOW - 0.5, "vitals": said | vitals}


def test_counts_of_all_nodes_are_added_up() -> None:
    readings = of_nodes(
        [
            node("n1", requests=6000, bots={"echo": {"handled": 90.0, "errors": 3.0, "response": 1.0}}),
            node(
                "n2", requests=5000, bots={"echo": {"handled": 10.0, "errors": 3.0, "response": 7.0, "refusals": 1.0}}
            ),
        ],
        NOW,
    )
    assert readings["requests_per_minute"] == {"": 11_000}
    assert readings["errors_per_minute"] == {"echo": 6.0}
    assert readings["error_share"] == {"echo": pytest.approx(0.06)}
    assert readings["response_time"] == {"echo": 7.0}
    assert readings["refusals_per_minute"] == {"echo": 1.0}


def test_each_node_is_read_for_itself() -> None:
    readings = of_nodes(
        [node("n1", cpu=0.9, spool_events=4, database_away=70.0), node("n2", latency=2.0), node("n3", ago=90)], NOW
    )
    assert readings["cpu"] == {"n1": 0.9, "n2": 0.1}
    assert readings["spool_events"] == {"n1": 4, "n2": 0}
    assert readings["database_away"] == {"n1": 70.0, "n2": 0.0}, "n2 is an older hub, which does not say it"
    assert readings["latency"] == {"n1": 0.0, "n2": 2.0}
    assert readings["node_offline"] == {"n1": 0.0, "n2": 0.0, "n3": 90}


def test_a_fault_that_one_node_sees_is_one() -> None:
    readings = of_nodes([node("n1", faults={"hr": 2}), node("n2", faults={"hr": 1})], NOW)
    assert readings["bot_faults"] == {"hr": 2}


def test_a_node_that_has_not_counted_yet_is_only_there() -> None:
    readings = of_nodes([{"id": "n1", "alive": True, "last_seen": NOW}], NOW)
    assert readings["node_offline"] == {"n1": 0.0}
    assert readings["cpu"] == {}


def test_signals_are_known_by_these_names() -> None:
    assert of_nodes([], NOW).keys() <= SIGNALS.keys()


def test_a_node_is_missed_for_a_day() -> None:
    assert gone([node("n1"), node("n2", ago=3600), node("n3", ago=90_000)], NOW) == ["n3"]


def test_limits_are_read_by_their_spans_and_waits_by_the_longest() -> None:
    def use(span: float, used: int, wait: float) -> LimitUse:
        return LimitUse("app", "cli_a", "im.message.create", 0, used, 45, span, 0, wait, None)

    readings = of_limits([use(1.0, 45, 0.5), use(60.0, 9, 2.5)])
    assert readings["limit_used"] == {"app cli_a im.message.create 1s": 1.0, "app cli_a im.message.create 60s": 0.2}
    assert readings["slot_wait"] == {"app cli_a im.message.create": 2.5}


def test_alerts_do_not_alert_of_the_share_that_is_theirs() -> None:
    assert of_limits([LimitUse("alert", "oc_ops", "", 1, 1.0, 1, 4.0, 3, 5.0, None)]) == {
        "limit_used": {},
        "slot_wait": {},
    }


def test_a_quota_that_is_not_known_can_be_used_up_all_the_same() -> None:
    readings = of_quotas(
        [QuotaUse("a", "2026-11", 80, 100, 120, False), QuotaUse("default", "2026-11", 5, None, 9, True)]
    )
    assert readings["quota_used"] == {"a": 0.8}
    assert readings["quota_projected"] == {"a": 1.2}
    assert readings["quota_stopped"] == {"a": 0.0, "default": 1.0}
