"""Posts alerts to any HTTP address in the form of Prometheus' Alertmanager, for its many receivers."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import orjson

from app.control.alerts.notice import Item, Notice
from app.control.alerts.wording import Wording
from app.core.errors import HubError

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
# Alertmanager docs: `endsAt` of an alert that has not ended.
_NEVER: Final = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Webhook:
    """POSTs JSON; any 2xx is success."""

    name: str
    standby: bool
    session: aiohttp.ClientSession = field(repr=False)
    url: str = field(repr=False)
    secret: str | None = field(repr=False)
    wording: Wording

    async def send(self, notice: Notice) -> None:
        body = orjson.dumps(self._document(notice))
        headers = {"Content-Type": "application/json"}
        if self.secret is not None:
            headers["X-Hub-Signature"] = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        try:
            # No redirects: one would carry the alert, and its signature, to a place that nobody named.
            async with self.session.post(
                self.url, data=body, headers=headers, timeout=_TIMEOUT, allow_redirects=False
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # Their messages quote the address, which may hold a token.
            raise HubError(
                f"alerts.channels.{self.name}: the webhook cannot be reached ({type(error).__name__})", retryable=True
            ) from None
        if not 200 <= status < 300:
            raise HubError(f"alerts.channels.{self.name}: the webhook answered {status}", retryable=True)

    def _document(self, notice: Notice) -> dict[str, Any]:
        alerts = [self._alert(item, notice.at) for item in notice.items]
        burning = any(alert["status"] == "firing" for alert in alerts)
        return {
            "version": "4",
            "receiver": self.name,
            "status": "firing" if burning else "resolved",
            "groupKey": notice.id,
            "truncatedAlerts": 0,
            "groupLabels": {},
            "commonLabels": {},
            "commonAnnotations": {"summary": self.wording.title(notice)},
            "externalURL": self.wording.dashboard or "",
            "alerts": alerts,
        }

    def _alert(self, item: Item, at: float) -> dict[str, Any]:
        alert = item.alert
        over = item.news == "resolved"
        return {
            "status": "resolved" if over else "firing",
            "labels": {"alertname": alert.rule, "subject": alert.subject, "severity": alert.severity},
            "annotations": {"summary": self.wording.line(item), "value": f"{alert.value:g}"},
            "startsAt": _instant(alert.fired or alert.since),
            "endsAt": _instant(at) if over else _NEVER,
            "generatorURL": self.wording.dashboard or "",
            "fingerprint": hashlib.sha256(alert.key.encode()).hexdigest()[:16],
        }


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
