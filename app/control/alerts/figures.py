"""The alerts' part of the metrics page: this node's numbers and, if it evaluates, the cluster's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.control.alerts.round import Readings
from app.control.alerts.states import Alert


@dataclass(frozen=True, slots=True, eq=False)
class Figures(Collector):
    """Numbers already measured when somebody asks."""

    cpu: float = 0.0
    memory: float = 0.0
    redis_away: float = 0.0
    faults: Mapping[str, int] = field(default_factory=dict)
    """How many, by broken bot."""
    readings: Readings = field(default_factory=dict)
    """Empty except on the node that evaluates."""
    alerts: Iterable[Alert] = ()

    def collect(self) -> Iterable[Metric]:
        """The families; every node has them all, some empty."""
        yield GaugeMetricFamily("hub_cpu_share", "CPU of the machine or container in use", self.cpu)
        yield GaugeMetricFamily("hub_memory_share", "Memory of the machine or container in use", self.memory)
        yield GaugeMetricFamily("hub_redis_away_seconds", "For how long Redis has not answered", self.redis_away)
        yield _by("hub_bot_faults", "Faults of a bot's configuration or code", "bot", self.faults)
        for name, text, label, signal in (
            ("hub_node_offline_seconds", "For how long a node has not been heard", "node", "node_offline"),
            ("hub_certificate_expires_seconds", "Until a certificate expires", "certificate", "certificate_expires"),
            ("hub_secret_expires_seconds", "Until a secret expires", "secret", "secret_expires"),
            ("hub_alert_channel_failures", "Alerts in succession that failed", "channel", "delivery_failures"),
        ):
            yield _by(name, text, label, self.readings.get(signal, {}))
        firing = Counter(alert.rule for alert in self.alerts if alert.state == "firing")
        yield _by("hub_alerts_firing", "Alerts that fire", "rule", firing)


def _by(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for subject, value in values.items():
        family.add_metric([subject], value)
    return family
