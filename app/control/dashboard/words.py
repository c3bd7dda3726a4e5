"""The dashboard's words in English and Chinese, and which of the two a request wants."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Literal

Language = Literal["en", "zh"]
LANGUAGE_COOKIE: Final = "hub_language"

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "title": ("Feishu Hub", "飞书 Hub"),
    "login": ("Log in", "登录"),
    "logout": ("Log out", "退出"),
    "token": ("Admin token", "管理令牌"),
    "token_hint": ("It stands in the file admin_token of the data directory, or in HUB_ADMIN_TOKEN.",
                   "在数据目录的 admin_token 文件中，或环境变量 HUB_ADMIN_TOKEN 中。"),
    "wrong_token": ("This is not the admin token.", "管理令牌不正确。"),
    "too_many": ("Too many tries. Wait a minute.", "尝试次数过多，请一分钟后再试。"),
    "stale_form": ("This page was too old. Try again.", "页面已过期，请重试。"),
    "other_language": ("中文", "English"),
    "skip": ("Skip to the content", "跳到正文"),
    "bots": ("Bots", "机器人"),
    "bot": ("Bot", "机器人"),
    "state": ("State", "状态"),
    "waiting": ("Waiting", "等待中"),
    "per_minute": ("Messages/min", "消息/分钟"),
    "errors": ("Errors/min", "错误/分钟"),
    "dead": ("Dead letters", "死信"),
    "last_event": ("Last message", "最近消息"),
    "never": ("none yet", "暂无"),
    "no_bots": ("No bot is configured. Add one with: feishu-hub bots add NAME",
                "尚未配置机器人。添加：feishu-hub bots add NAME"),
    "state_ready": ("ready", "正常"),
    "state_disabled": ("disabled", "已停用"),
    "state_broken": ("broken", "故障"),
    "state_outdated": ("outdated", "沿用旧版本"),
    "state_removed": ("removed", "已移除"),
    "limits": ("Limits", "限流"),
    "limits_hint": ("Used and allowed by what Feishu counts; the waiting have their turn later.",
                    "按飞书的计数方式统计：已用、允许；等待者稍后发送。"),
    "no_limits": ("Nothing was sent lately.", "近期没有发送。"),
    "used_of": ("{used} of {allowed} in {span}", "{used} / {allowed}（{span}）"),
    "waiting_for": ("{count} waiting, {seconds} s", "{count} 个等待，{seconds} 秒"),
    "paused": ("paused by Feishu for {seconds} s", "飞书要求暂停 {seconds} 秒"),
    "kind_app": ("app and API", "应用与接口"),
    "kind_chat": ("chat", "会话"),
    "kind_user": ("person", "用户"),
    "kind_message": ("message", "消息"),
    "kind_card": ("card", "卡片"),
    "kind_hook": ("custom bot", "自定义机器人"),
    "kind_ephemeral": ("cards for one member", "仅一人可见的卡片"),
    "kind_alert": ("kept for alerts", "告警专用"),
    "quota": ("Quota of the month", "本月配额"),
    "no_quota": ("Nothing was counted this month.", "本月暂无计数。"),
    "quota_line": ("{used} of {allowed}, {projected} by the end of the month",
                   "{used} / {allowed}，预计月末 {projected}"),
    "quota_open": ("{used} calls, {projected} by the end of the month", "{used} 次，预计月末 {projected}"),
    "quota_stopped": ("used up, as Feishu says: nothing is sent until the month ends",
                      "飞书称配额已用尽：本月内不再发送"),
    "alerts": ("Alerts", "告警"),
    "no_alerts": ("Nothing fires.", "当前没有告警。"),
    "past": ("Past alerts", "历史告警"),
    "no_past": ("None so far.", "暂无历史。"),
    "silence": ("Silence", "静默"),
    "silenced": ("silenced until {time}", "静默至 {time}"),
    "since": ("since {time}", "自 {time}"),
    "state_firing": ("firing", "告警中"),
    "state_pending": ("pending", "观察中"),
    "state_resolved": ("resolved", "已恢复"),
    "time": ("Time", "时间"),
    "traffic": ("Traffic of the last hour", "最近一小时流量"),
    "traffic_hint": ("Messages in and out and dead letters a minute, of all bots on all nodes.",
                     "所有节点所有机器人每分钟的收发消息与死信。"),
    "away": ("Redis does not answer: what stands here may be old.", "Redis 无响应：此处内容可能已过时。"),
}  # fmt: skip

_EN: Final = MappingProxyType({key: pair[0] for key, pair in _WORDS.items()})
_ZH: Final = MappingProxyType({key: pair[1] for key, pair in _WORDS.items()})


def words(language: Language) -> MappingProxyType[str, str]:
    """Every word in one language."""
    return _ZH if language == "zh" else _EN


def language_of(cookie: str | None, accept: str | None) -> Language:
    """The chosen language, or the browser's first of the two, or English."""
    if cookie in ("en", "zh"):
        return "zh" if cookie == "zh" else "en"
    for part in (accept or "").split(","):
        tag = part.partition(";")[0].strip().lower()
        if tag.startswith(("zh", "en")):
            return "zh" if tag.startswith("zh") else "en"
    return "en"
