"""docs/operations.md is true: its metrics are those of /metrics, its commands exist, its files can be read."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from app.channel.usage import LimitUse, QuotaUse
from app.cli.main import app as command
from app.control.alerts.figures import Figures
from app.control.alerts.states import Alert
from app.control.health.counted import Counted
from app.control.health.counted_page import CountedPage
from app.control.health.exporter import Gauges, exposition
from app.control.health.limit_gauges import LimitGauges
from app.core import metrics
from app.core.alert_rules import SIGNALS
from app.gateway.counts import Counts
from app.worker.outcome import Ending
from tests.unit.docs.page import Page

PAGE = Page("docs/operations.md")


def _shown(empty: Path) -> dict[str, set[str]]:
    """Every metric of /metrics with its labels, where the gateway's numbers and the gauges have one value each."""
    counts = Counts()
    for name in ("accepted", "duplicates", "spooled", "odd_timestamps", "calls_answered", "calls_unanswered"):
        getattr(counts, name)["b"] = 1
    counts.refused["b", "not_verified", "token"] = 1
    page = generate_latest(REGISTRY) + exposition(
        Gauges(waiting={"b": 1}, dead={"b": 1}, outbox_waiting={"b": 1}, outbox_age={"b": 1}, bots={"ready": 1}),
        counts,
        CountedPage(Counted(empty)),
        Figures(
            faults={"b": 1},
            readings={signal: {"one": 1.0} for signal in SIGNALS},
            alerts=[Alert("R", "s", "warning", "firing", 1.0, 1.0)],
        ),
        LimitGauges(
            [LimitUse("app", "cli_a", "api", 1, 1.0, 2, 1.0, 0, 0.0, None)],
            [QuotaUse("default", "2026-11", 1, 9, 2, stopped=False)],
        ),
    )
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: {
            label for sample in family.samples for label in sample.labels if label != "le"
        }
        for family in text_string_to_metric_families(page.decode())
        if family.name.startswith("hub_")
    }


def _listed() -> dict[str, set[str]]:
    [table] = [table for table in PAGE.tables if table[0][0] == "metric"]
    return {row[0].strip("`"): {label for label in row[1].split(", ") if label} for row in table[1:]}


def test_metrics_are_those_of_the_metrics_page(tmp_path: Path) -> None:
    assert _listed().keys() == _shown(tmp_path).keys()
    assert len(_listed()) > 15


def test_labels_are_those_of_the_metrics_page(tmp_path: Path) -> None:
    labels = _shown(tmp_path)
    for found in vars(metrics).values():
        if isinstance(found, MetricWrapperBase):
            [family] = found.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels[name] = set(found._labelnames)
    assert _listed() == labels


def test_metrics_that_are_spoken_of_exist() -> None:
    named = set(re.findall(r"\bhub_[a-z_]+[a-z]\b", PAGE.text)) - {"hub_"}
    assert named - _listed().keys() - {"feishu_hub"} == set()


def test_outcomes_of_attempts_are_all_named() -> None:
    [table] = [table for table in PAGE.tables if table[0][0] == "metric"]
    [row] = [row for row in table if "hub_events_handled_total" in row[0]]
    named = set(re.findall(r"`(\w+)`", row[2]))
    assert named == {*Ending.__args__, "died"}  # type: ignore[attr-defined]


def test_commands_exist() -> None:
    import typer

    groups: dict[str, Any] = vars(typer.main.get_command(command))["commands"]
    verbs = {name: set(getattr(group, "commands", ())) for name, group in groups.items()}
    text = PAGE.text + Page("docs/sends.md").text + Page("docs/architecture.md").text
    found = re.findall(r"feishu-hub ((?:[a-z]+ ?){1,2})(?=[`\n-])", text)
    assert len(found) > 5
    for words in found:
        name, *verb = words.split()
        assert name in verbs, words
        assert not verbs[name] or verbs[name] & set(verb), words


def test_systemd_unit_stops_only_the_node() -> None:
    [unit] = PAGE.blocks("ini")
    parsed = configparser.ConfigParser(strict=True, interpolation=None)
    parsed.read_string(unit)
    assert parsed["Service"]["KillMode"] == "mixed"
    from app.core.settings import Settings

    # Longer than a drain takes, or systemd would kill what still finishes.
    assert float(parsed["Service"]["TimeoutStopSec"]) >= Settings().drain_timeout + 20


def test_the_proxy_of_the_page_is_believed() -> None:
    [found] = re.findall(r"`security: \{trusted_proxies: \[([^\]]+)\]\}`", PAGE.prose)
    from app.core.settings import Settings

    settings = Settings.model_validate({"security": {"trusted_proxies": [found]}})
    assert len(settings.security.trusted_proxies) == 1


def test_messages_at_the_start_are_the_codes_own() -> None:
    from tests.unit.docs.page import ROOT

    [table] = [table for table in PAGE.tables if table[0][0] == "it says"]
    source = "\n".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    # Strings are broken over lines in the source.
    joined = re.sub(r'"\s*\n\s*f?"', "", source)
    for row in table[1:]:
        for quoted in re.findall(r"`([^`]+)`", row[0]):
            for piece in filter(None, (piece.strip() for piece in quoted.split("…"))):
                loose = re.escape(piece).replace(r"10\ s", r"\{[^}]*\}\ s")
                assert re.search(loose, joined), piece
