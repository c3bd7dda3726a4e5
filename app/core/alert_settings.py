"""The section `alerts` of hub.yaml: rules over the built-in ones, and where alerts go."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from app.core.alert_rules import DEFAULT_RULES, Rule, Severity, parse_when
from app.core.shape import Frozen
from app.core.values import Span, Whole, Words, read_switch

_NAME: Final = re.compile(r"^[A-Za-z][A-Za-z0-9_-]{0,63}\Z")


def _when(text: str) -> str:
    parse_when(text)
    return text


def _named(value: dict[str, Any]) -> dict[str, Any]:
    for name in value:
        if not _NAME.match(name):
            raise ValueError("a name starts with a letter and holds letters, digits, - and _ only")
    return value


def _http(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not value.get_secret_value().startswith(("https://", "http://")):
        raise ValueError("expected a URL that starts with https:// or http://")
    return value


class RuleSettings(Frozen):
    """`alerts.rules.NAME`: changes to a built-in rule, or a rule of the operator's own."""

    enabled: bool = True
    when: Annotated[str, AfterValidator(_when)] | None = None
    hold: Span | None = Field(None, alias="for")
    severity: Severity | None = None
    channels: Words = ()


class ChannelSettings(Frozen):
    """`alerts.channels.NAME`: exactly one way to send alerts, with its details."""

    feishu_hook: Annotated[SecretStr | None, AfterValidator(_http)] = None
    """The address of a group's custom bot, which holds its token."""
    secret: SecretStr | None = None
    """Of a custom bot: signs what is posted. Of a webhook: its HMAC-SHA256 stands in `X-Hub-Signature`."""
    feishu_chat: str | None = None
    """The chat that `bot` posts cards into."""
    bot: str | None = None
    webhook: Annotated[SecretStr | None, AfterValidator(_http)] = None
    apprise: SecretStr | None = None
    standby: bool = False
    """Whether it is used only where another channel failed."""

    @property
    def kind(self) -> Literal["feishu_hook", "feishu_chat", "webhook", "apprise"]:
        """Which way it goes."""
        for kind in ("feishu_hook", "feishu_chat", "webhook"):
            if getattr(self, kind) is not None:
                return kind
        return "apprise"

    @model_validator(mode="after")
    def _one_way(self) -> ChannelSettings:
        given = [way for way in ("feishu_hook", "feishu_chat", "webhook", "apprise") if getattr(self, way) is not None]
        if len(given) != 1:
            raise ValueError("name exactly one of feishu_hook, feishu_chat, webhook, apprise")
        if (self.bot is not None) != (given == ["feishu_chat"]):
            raise ValueError("feishu_chat and bot go together: the chat, and the bot that posts into it")
        if self.secret is not None and given[0] not in ("feishu_hook", "webhook"):
            raise ValueError(f"secret is for feishu_hook and webhook, not for {given[0]}")
        return self


class AlertSettings(Frozen):
    """`alerts`: what the operator is told, and where."""

    enabled: bool = Field(True, description="whether rules are evaluated")
    language: Literal["both", "en", "zh"] = Field("both", description="language of what is sent")
    link: str | None = Field(
        None,
        pattern=r"^https?://[^\s]+[^\s/]$",
        description="address at which operators reach the admin listener; messages point at its dashboard",
    )
    interval: Span = Field(
        5.0, ge=0.05, le=60, description="how often nodes take their numbers and rules are evaluated"
    )
    window: Span = Field(60.0, gt=0, le=3600, description="over how long rates and percentiles are taken")
    settle: Span = Field(60.0, description="how long a condition must be over before its alert counts as resolved")
    repeat: Span = Field(3600.0, ge=1, description="how often an alert that stays is sent again")
    history: Whole = Field(10_000, ge=1, le=1_000_000, description="how many past alerts are kept")
    rules: Annotated[dict[str, Annotated[RuleSettings, BeforeValidator(read_switch)]], AfterValidator(_named)] = Field(
        {}, description="over the built-in rules, by name, and rules of one's own: docs/alerts.md"
    )
    channels: Annotated[dict[str, ChannelSettings], AfterValidator(_named)] = Field(
        {}, repr=False, description="where alerts go, by a name of one's own: docs/alerts.md"
    )
    certificates: Words = Field((), description="certificates to watch: HOST, HOST:PORT, or the path of a PEM file")
    secrets: dict[str, date] = Field({}, description="secrets that expire: a name of one's own and the day")

    @model_validator(mode="after")
    def _fits(self) -> AlertSettings:
        for name, rule in self.rules.items():
            if name not in DEFAULT_RULES and rule.when is None and rule.enabled:
                raise ValueError(
                    f"rules.{name} is no built-in rule and lacks `when`; built in are {', '.join(DEFAULT_RULES)}"
                )
            unknown = [channel for channel in rule.channels if channel not in self.channels]
            if unknown:
                raise ValueError(
                    f"rules.{name}.channels names {', '.join(unknown)}, which alerts.channels does not have"
                )
        return self

    def effective(self) -> dict[str, Rule]:
        """The rules in force, the built-in ones as changed here."""
        found = dict(DEFAULT_RULES)
        for name, given in self.rules.items():
            if not given.enabled:
                found.pop(name, None)
                continue
            when = parse_when(given.when) if given.when is not None else None
            if name in found:
                rule = found[name]
            else:
                assert when is not None  # held by _fits
                rule = Rule(name, when, 60.0, "warning", name, name)
            found[name] = replace(
                rule,
                conditions=when or rule.conditions,
                hold=rule.hold if given.hold is None else given.hold,
                severity=given.severity or rule.severity,
                channels=given.channels,
            )
        return found
