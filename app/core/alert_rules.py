"""What alerts may watch and when they fire: signals, the rules' small language, the rules that need no writing."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from app.core.values import parse_span

Severity = Literal["warning", "critical"]
Unit = Literal["count", "share", "seconds"]

_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {">": operator.gt, "<": operator.lt}
_CONDITION: Final = re.compile(r"^([a-z_]+)\s*([<>])\s*(\S+)$")
_NUMBER: Final = re.compile(r"^\d+(\.\d+)?$")


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing that is measured; `of` is what it is measured for each of (empty: the whole hub)."""

    name: str
    of: Literal["", "node", "bot", "limit", "quota", "certificate", "secret", "channel"]
    unit: Unit
    en: str
    zh: str


SIGNALS: Final[Mapping[str, Signal]] = {
    signal.name: signal
    for signal in (
        Signal("limit_used", "limit", "share", "share of a send limit used", "发送限额使用率"),
        Signal("slot_wait", "limit", "seconds", "wait for a send slot", "等待发送名额"),
        Signal(
            "refusals_per_minute", "bot", "count", "sends a minute that Feishu refused as too many", "每分钟被限频次数"
        ),
        Signal("quota_used", "quota", "share", "share of the month's calls used", "本月调用额度使用率"),
        Signal("quota_projected", "quota", "share", "use of the month's calls by its end", "月底预计额度使用率"),
        Signal(
            "quota_stopped", "quota", "count", "whether Feishu says that the month is used up", "飞书是否已停用本月额度"
        ),
        Signal("token_failures_per_minute", "bot", "count", "failed token fetches a minute", "每分钟获取令牌失败次数"),
        Signal("errors_per_minute", "bot", "count", "events a minute that failed", "每分钟失败事件数"),
        Signal("error_share", "bot", "share", "share of events that failed", "事件失败率"),
        Signal("requests_per_minute", "", "count", "requests a minute", "每分钟请求数"),
        Signal("latency", "node", "seconds", "p95 until Feishu is answered", "应答飞书耗时 p95"),
        Signal("response_time", "bot", "seconds", "p95 until an event is handled", "事件处理完成耗时 p95"),
        Signal("queue_waiting", "bot", "count", "events that wait", "排队事件数"),
        Signal("dead_letters_per_minute", "bot", "count", "new dead letters a minute", "每分钟新增死信数"),
        Signal("node_offline", "node", "seconds", "time since a node was heard", "节点失联时长"),
        Signal("cpu", "node", "share", "CPU in use", "CPU 使用率"),
        Signal("memory", "node", "share", "memory in use", "内存使用率"),
        Signal("spool_events", "node", "count", "events in the local spool", "本地暂存事件数"),
        Signal("redis_away", "node", "seconds", "time without Redis", "Redis 失联时长"),
        Signal("database_away", "node", "seconds", "time without the database", "数据库失联时长"),
        Signal("bot_faults", "bot", "count", "faults of a bot's configuration or code", "机器人配置或代码错误数"),
        Signal("certificate_expires", "certificate", "seconds", "until a certificate expires", "证书剩余有效期"),
        Signal("secret_expires", "secret", "seconds", "until a secret expires", "密钥剩余有效期"),
        Signal(
            "delivery_failures",
            "channel",
            "count",
            "alerts in succession that could not be delivered",
            "连续投递失败次数",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Condition:
    """`signal > bound` or `signal < bound`; the bound in the signal's own unit (seconds, a share of 1)."""

    signal: Signal
    compare: Literal[">", "<"]
    bound: float

    def holds(self, value: float) -> bool:
        """Whether a value is on the wrong side of the bound."""
        return _COMPARE[self.compare](value, self.bound)


@dataclass(frozen=True, slots=True)
class Rule:
    """When an alert fires: every condition holds, for `hold` seconds."""

    name: str
    conditions: tuple[Condition, ...]
    hold: float
    severity: Severity
    en: str
    zh: str
    channels: tuple[str, ...] = ()
    """Where it goes; empty: to every channel."""


def parse_when(text: str) -> tuple[Condition, ...]:
    """`signal > bound`, several joined by `and`; ValueError says what is wrong."""
    conditions = tuple(_condition(part.strip()) for part in re.split(r"\band\b", text))
    of = {condition.signal.of for condition in conditions}
    if len(of) > 1:
        raise ValueError(
            f"expected signals of one kind joined by `and`, found one of each {' and of each '.join(map(repr, of))}"
        )
    return conditions


def value_text(value: float, unit: Unit) -> str:
    """A signal's value as people read it."""
    if unit == "share":
        return f"{value * 100:.3g}%"
    if unit == "seconds":
        if value < 1:
            return f"{value * 1000:.0f}ms"
        for size, letter in ((86400, "d"), (3600, "h"), (60, "m")):
            if value >= 2 * size:
                return f"{value / size:.0f}{letter}"
        return f"{value:.3g}s"
    # A rate of a window is hardly ever a whole number: three digits of it say enough.
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _condition(text: str) -> Condition:
    match = _CONDITION.match(text)
    if match is None:
        raise ValueError(f"expected `signal > bound` such as `queue_waiting > 500`, found {text!r}")
    name, compare, bound = match[1], match[2], match[3]
    signal = SIGNALS.get(name)
    if signal is None:
        raise ValueError(f"unknown signal {name}; known are {', '.join(SIGNALS)}")
    return Condition(signal, ">" if compare == ">" else "<", _bound(bound, signal))


def _bound(text: str, signal: Signal) -> float:
    if signal.unit == "seconds":
        return parse_span(text)
    number = text.removesuffix("%") if signal.unit == "share" else text
    if not _NUMBER.match(number):
        wanted = "a share such as 80% or 0.8" if signal.unit == "share" else "a number"
        raise ValueError(f"expected {wanted} to compare {signal.name} with, found {text!r}")
    return float(number) / (100 if text.endswith("%") else 1)


def _rule(name: str, when: str, hold: float, severity: Severity, en: str, zh: str) -> Rule:
    return Rule(name, parse_when(when), hold, severity, en, zh)


DEFAULT_RULES: Final[Mapping[str, Rule]] = {
    rule.name: rule
    for rule in (
        _rule(
            "LimitNearlyUsed", "limit_used > 80%", 60, "warning", "A send limit is nearly used up", "发送限额即将用尽"
        ),
        _rule("SlotWaitLong", "slot_wait > 2s", 0, "warning", "Sends wait long for a slot", "发送排队过久"),
        _rule(
            "SendsRefused",
            "refusals_per_minute > 0",
            0,
            "warning",
            "Feishu refuses sends as too many",
            "飞书限频拒绝发送",
        ),
        _rule(
            "QuotaMostlyUsed",
            "quota_used > 80%",
            0,
            "warning",
            "The month's calls are mostly used",
            "本月调用额度大部分已用",
        ),
        _rule(
            "QuotaNearlyGone",
            "quota_used > 95%",
            0,
            "critical",
            "The month's calls are nearly gone",
            "本月调用额度即将用尽",
        ),
        _rule(
            "QuotaRunsOut",
            "quota_projected > 100%",
            600,
            "warning",
            "The month's calls will not last",
            "本月调用额度预计不足",
        ),
        _rule("QuotaUsedUp", "quota_stopped > 0", 0, "critical", "The month's calls are used up", "本月调用额度已用完"),
        _rule(
            "TokenFetchFailing",
            "token_failures_per_minute > 0",
            0,
            "critical",
            "No access token can be had",
            "无法获取访问令牌",
        ),
        _rule(
            "HighErrorRate",
            "errors_per_minute > 5 and error_share > 5%",
            60,
            "critical",
            "Many events fail",
            "事件错误率过高",
        ),
        _rule("HighTraffic", "requests_per_minute > 10000", 60, "warning", "Unusual traffic", "流量过高"),
        _rule("HighLatency", "latency > 1000ms", 60, "critical", "Feishu is answered late", "应答飞书过慢"),
        _rule("SlowResponses", "response_time > 5s", 60, "warning", "A bot answers late", "机器人响应过慢"),
        _rule("QueueLong", "queue_waiting > 100", 60, "warning", "Many events wait", "队列积压"),
        _rule("DeadLettersGrowing", "dead_letters_per_minute > 0", 0, "warning", "Events were given up", "死信增加"),
        _rule("NodeOffline", "node_offline > 1m", 10, "critical", "A node is offline", "节点离线"),
        _rule("HighCPU", "cpu > 80%", 60, "warning", "A machine's CPU is nearly full", "CPU 使用率过高"),
        _rule("HighMemory", "memory > 85%", 60, "warning", "A machine's memory is nearly full", "内存使用率过高"),
        _rule("SpoolInUse", "spool_events > 0", 10, "critical", "Events go to the local spool", "本地暂存启用"),
        _rule("RedisAway", "redis_away > 10s", 0, "critical", "Redis is away", "Redis 不可用"),
        _rule("DatabaseAway", "database_away > 1m", 0, "warning", "Messages cannot be archived", "消息无法归档"),
        _rule("BotBroken", "bot_faults > 0", 30, "warning", "A bot's configuration is broken", "机器人配置错误"),
        _rule(
            "CertificateExpires",
            "certificate_expires < 14d",
            0,
            "warning",
            "A certificate is about to expire",
            "证书即将过期",
        ),
        _rule("SecretExpires", "secret_expires < 14d", 0, "warning", "A secret is about to expire", "密钥即将过期"),
        _rule("AlertsNotDelivered", "delivery_failures > 0", 0, "warning", "Alerts do not arrive", "告警投递失败"),
    )
}
