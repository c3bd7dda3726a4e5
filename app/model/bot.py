"""One bot as its directory describes it: config.yaml, credentials.yaml, and the two together."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from app.model.values import Span

BOT_ID: Final = re.compile(r"^[a-z0-9][a-z0-9_-]{0,63}$")

Conversation = Literal["chat", "thread", "sender", "none"]


class Frozen(BaseModel):
    """A part of a configuration: unknown keys are errors, nothing changes after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class BotServer(Frozen):
    """`server`: how much of a node one bot may use, and its port when it runs as a process of its own."""

    port: int | None = Field(None, ge=1, le=65535, description="port of a bot that runs alone (`feishu-hub run -c config/BOT`)")
    workers: int = Field(16, ge=1, le=1000, description="events handled at once, for each node")


class RetryPolicy(Frozen):
    """`message.retry_policy`: what happens to an event whose handler fails."""

    max_attempts: int = Field(3, ge=1, le=100, description="attempts before an event goes to the dead letters")
    backoff: Span = Field(0.5, description="wait before the second attempt; doubles with jitter")


class BotMessage(Frozen):
    """`message`: the bot's queue."""

    queue_size: int = Field(100_000, ge=1, description="events that may wait; over it Feishu gets 503 and redelivers")
    stale_after: Span | None = Field(None, description="age from which a received message is stale")
    on_stale: Literal["process", "drop"] = Field("process", description="what happens to a stale message")
    retry_policy: RetryPolicy = RetryPolicy()
    max_hold: Span = Field(60.0, description="how long retries of one event may hold up its conversation, in sum")


class BotSecurity(Frozen):
    """`security`: who may post for this bot, beside what the hub allows."""

    allow_ips: tuple[IPv4Network | IPv6Network, ...] = Field((), description="source addresses; empty allows all")


class HealthCheck(Frozen):
    """`monitoring.health_check`, used when the bot runs as a process of its own."""

    path: str = "/healthz"
    interval: Span = 30.0


class BotMetrics(Frozen):
    """`monitoring.metrics`, used when the bot runs as a process of its own."""

    enable: bool = True
    port: int | None = Field(None, ge=1, le=65535)
    path: str = "/metrics"


class BotMonitoring(Frozen):
    """`monitoring`, used when the bot runs as a process of its own."""

    health_check: HealthCheck = HealthCheck()
    metrics: BotMetrics = BotMetrics()


class BotLimits(Frozen):
    """`limits`: bounds on sends, over the hub's; None takes the hub's."""

    app_per_second: float | None = Field(None, gt=0)
    app_per_minute: float | None = Field(None, gt=0)
    chat_per_second: float | None = Field(None, gt=0)


class AgentsRef(Frozen):
    """`agents`: which pool of remote agents answers instead of a handler."""

    pool: str


class Schedule(Frozen):
    """One of `schedules`: a cron expression and what it starts."""

    name: str
    cron: str
    tz: str = "Asia/Shanghai"
    handler: str | None = Field(None, description="name of a `bot.cron` function")
    chat_id: str | None = None
    text: str | None = Field(None, repr=False)


class BotConfig(Frozen):
    """config.yaml."""

    handler: str | None = Field(None, description="module in bots/ that answers this bot's events")
    agents: AgentsRef | None = Field(None, description="pool of remote agents that answers instead of a handler")
    enabled: bool = Field(True, description="false: the bot answers 404 and its mail waits")
    owners: tuple[str, ...] = Field((), description="open ids of the people responsible for the bot")
    settings: dict[str, Any] = Field(default_factory=dict, description="checked against the handler's own settings model")
    server: BotServer = BotServer()
    timeout: Span = Field(60.0, gt=0, description="what a handler may take, waiting for a send slot not counted")
    conversation: Conversation = Field("chat", description="what is kept in order")
    message: BotMessage = BotMessage()
    limits: BotLimits = BotLimits()
    events_per_second: float | None = Field(None, gt=0, description="inbound bound over all gateways")
    dedup_ttl: Span = Field(12 * 3600.0, description="how long an event id is remembered; Feishu redelivers for 7.1 h")
    max_age: Span = Field(8 * 3600.0, description="oldest signed timestamp that is accepted")
    allow_plaintext: bool = Field(False, description="accept a bot without encrypt_key (weak)")
    legacy_cards: bool = Field(False, description="accept old card callbacks, signed with SHA-1 (weak)")
    bot_turns_per_minute: int = Field(20, ge=0, description="answers to other bots in one chat before it stops")
    retain: Span = Field(30 * 86400.0, description="how long messages are kept in the store")
    schedules: tuple[Schedule, ...] = ()
    security: BotSecurity = BotSecurity()
    monitoring: BotMonitoring = BotMonitoring()

    @model_validator(mode="after")
    def _one_answerer(self) -> BotConfig:
        if self.handler is not None and self.agents is not None:
            raise ValueError("handler and agents exclude each other: name one")
        return self


def _as_list(value: Any) -> Any:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_as_list)]


class Credentials(Frozen):
    """credentials.yaml; several keys or tokens are accepted while one is being changed."""

    app_id: str = Field(description="developer console → Credentials & Basic Info → App ID")
    app_secret: SecretStr = Field(description="developer console → Credentials & Basic Info → App Secret")
    verification_token: Secrets = Field(description="developer console → Events & Callbacks → Encryption Strategy → Verification Token")
    encrypt_key: Secrets = Field((), description="developer console → Events & Callbacks → Encryption Strategy → Encrypt Key")
    domain: str = Field("feishu", description="feishu, lark, or the URL of another Open API")

    @property
    def base_url(self) -> str:
        """Where the Open API of this app's side of the world is."""
        return {"feishu": "https://open.feishu.cn", "lark": "https://open.larksuite.com"}.get(
            self.domain, self.domain.rstrip("/")
        )


@dataclass(frozen=True, slots=True)
class BotSpec:
    """A bot as the data plane knows it: one good version of its directory."""

    id: str
    config: BotConfig
    credentials: Credentials
    revision: str
    """Changes whenever anything in the directory does."""
    directory: str
    keys: tuple[bytes, ...] = field(repr=False)
    """AES keys, one for each encrypt key: SHA-256 of it, made once."""
    tokens: tuple[bytes, ...] = field(repr=False)
    encrypt_keys: tuple[bytes, ...] = field(repr=False)
