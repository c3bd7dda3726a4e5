"""One bot as its directory describes it: config.yaml, credentials.yaml, and the two together."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from app.core.limit_settings import ApiLimit
from app.core.shape import Frozen
from app.core.values import Networks, Number, Reserved, Span, Whole, Words
from app.model.schedule import BotSchedule, each_once

BOT_ID: Final = re.compile(r"^[a-z0-9][a-z0-9_-]{0,63}\Z")
HANDLER_NAME: Final = r"^[A-Za-z][A-Za-z0-9_]*$"
"""A module in bots/: no path, and no name that begins with `_`."""
HANDLER_MODULES: Final = "feishu_hub_handler_"
"""What the names of imported handlers begin with in `sys.modules`."""

Conversation = Literal["chat", "thread", "sender", "none"]

_DOMAINS: Final = {"feishu": "https://open.feishu.cn", "lark": "https://open.larksuite.com"}


def _domain(value: str) -> str:
    value = value.strip().rstrip("/")
    if value not in _DOMAINS and not re.match(r"^https?://[^\s/?#]+[^\s?#]*\Z", value):
        raise ValueError("expected feishu, lark, or the URL of an Open API such as https://open.example.com")
    return value


def _filled(value: SecretStr) -> SecretStr:
    # None of Feishu's secrets has space around it; copying and mounted files put it there.
    value = SecretStr(value.get_secret_value().strip())
    if not value.get_secret_value():
        raise ValueError("empty")
    return value


def _as_list(value: Any) -> Any:
    """One secret, several, or none: an empty one is none, since it must never verify anything."""
    if value is None or value == "":
        return ()
    return (value,) if isinstance(value, str | SecretStr) else value


def _at_least_one(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if not value:
        raise ValueError("empty")
    return value


Secret = Annotated[SecretStr, AfterValidator(_filled)]
Secrets = Annotated[tuple[Secret, ...], BeforeValidator(_as_list)]


class BotServer(Frozen):
    """`server`: how much of a node one bot may use, and its port when it runs as a process of its own."""

    port: Whole | None = Field(
        None, ge=0, le=65535, description="port of a bot that runs alone (`feishu-hub run -c config/BOT`)"
    )
    workers: Whole = Field(16, ge=1, le=1000, description="events handled at once, for each node")


class RetryPolicy(Frozen):
    """`message.retry_policy`: what happens to an event whose handler fails."""

    max_attempts: Whole = Field(3, ge=1, le=100, description="attempts before an event goes to the dead letters")
    backoff: Span = Field(0.5, description="wait before the second attempt; doubles with jitter")


class BotMessage(Frozen):
    """`message`: the bot's queue."""

    queue_size: Whole = Field(100_000, ge=1, description="events that may wait; over it Feishu gets 503 and redelivers")
    stale_after: Span | None = Field(None, description="age from which a received message is stale; null: never")
    on_stale: Literal["process", "drop"] = Field("process", description="what happens to a stale message")
    retry_policy: RetryPolicy = RetryPolicy()
    max_hold: Span = Field(60.0, description="how long retries of one event may hold up its conversation, in sum")
    long: Literal["split", "file"] = Field(
        "split", description="what becomes of an answer that is too long for one message: several, or a file"
    )


class BotSecurity(Frozen):
    """`security`: who may post for this bot, beside what the hub allows."""

    allow_ips: Networks = Field((), description="source networks; empty allows all")


class HealthCheck(Frozen):
    """`monitoring.health_check`, used when the bot runs as a process of its own."""

    path: str = Field("/healthz", pattern="^/", description="where a bot that runs alone says that it lives")
    interval: Span = Field(30.0, gt=0, description="how often a watcher should ask; the hub starts no check")


class BotMetrics(Frozen):
    """`monitoring.metrics`, used when the bot runs as a process of its own."""

    enable: bool = Field(True, description="whether a bot that runs alone shows metrics")
    port: Whole | None = Field(None, ge=0, le=65535, description="port of its admin listener; null: as hub.yaml has it")
    path: str = Field("/metrics", pattern="^/", description="where its metrics are")


class BotMonitoring(Frozen):
    """`monitoring`, used when the bot runs as a process of its own."""

    health_check: HealthCheck = HealthCheck()
    metrics: BotMetrics = BotMetrics()


class BotLimits(Frozen):
    """`limits`: bounds on sends, over the hub's; None takes the hub's."""

    app_per_second: Number | None = Field(
        None, gt=0, description="calls of one API in a second; null: as hub.yaml has it"
    )
    app_per_minute: Number | None = Field(
        None, gt=0, description="calls of one API in a minute; null: as hub.yaml has it"
    )
    apis: dict[str, ApiLimit] = Field(
        {}, description="APIs bounded otherwise, over those of hub.yaml: `API: {per_second: N, per_minute: N}`"
    )
    chat_per_second: Number | None = Field(
        None, gt=0, description="messages into one chat in a second; null: as hub.yaml has it"
    )
    ephemeral_per_second: Number | None = Field(
        None, gt=0, description="ephemeral cards into one chat in a second; null: as hub.yaml has it"
    )
    message_per_second: Number | None = Field(
        None, gt=0, description="changes of one message in a second; null: as hub.yaml has it"
    )
    card_per_second: Number | None = Field(
        None, gt=0, description="operations on one card that types in a second; null: as hub.yaml has it"
    )


class BotConfig(Frozen):
    """config.yaml."""

    handler: str | None = Field(
        None, pattern=HANDLER_NAME, description="module in bots/ that answers this bot's events; required"
    )
    agents: Reserved = Field(default_factory=dict, description="reserved for a later version")
    enabled: bool = Field(True, description="false: the bot answers 404 and its mail waits")
    owners: Words = Field((), description="open ids of the people responsible for the bot")
    # Not in repr: a handler's settings may be resolved secrets.
    settings: dict[str, Any] = Field(
        default_factory=dict, repr=False, description="checked against the handler's own settings model"
    )
    server: BotServer = BotServer()
    timeout: Span = Field(60.0, gt=0, description="what a handler may take, waiting for a send slot not counted")
    conversation: Conversation = Field(
        "chat", description="what is kept in order: the events of one chat, thread or sender, or nothing"
    )
    message: BotMessage = BotMessage()
    limits: BotLimits = BotLimits()
    events_per_second: Number | None = Field(None, gt=0, description="inbound bound, over all gateways; null: none")
    dedup_ttl: Span = Field(
        12 * 3600.0,
        ge=1,
        le=366 * 24 * 3600,
        description="how long an event id is remembered; Feishu redelivers for 7.1 h",
    )
    max_age: Span = Field(8 * 3600.0, gt=0, description="oldest signed timestamp that is accepted")
    allow_plaintext: bool = Field(False, description="accept a bot without encrypt_key (weak)")
    legacy_cards: bool = Field(False, description="accept old card callbacks, signed with SHA-1 (weak)")
    bot_turns_per_minute: Whole = Field(
        20, ge=0, description="answers to other bots in one chat before it stops; 0 answers none"
    )
    retain: Span = Field(
        30 * 86400.0, gt=0, description="how long messages are kept; within a day after that they are gone"
    )
    honour_recalls: bool = Field(False, description="true: what is withdrawn in Feishu is deleted here too")
    word_index: bool = Field(
        False, description="true: messages are found by their words; the index holds keyed hashes, see operations.md"
    )
    schedules: Annotated[tuple[BotSchedule, ...], AfterValidator(each_once)] = Field(
        (),
        description="list of `{name, cron, tz, handler, chat, message, missed}`, beside the handler's own `bot.cron`",
    )
    security: BotSecurity = BotSecurity()
    monitoring: BotMonitoring = BotMonitoring()


class Credentials(Frozen):
    """credentials.yaml; several keys or tokens are accepted while one is being changed."""

    app_id: str = Field(
        pattern=r"^[A-Za-z0-9_-]+$", description="developer console → Credentials & Basic Info → App ID"
    )
    app_secret: Secret = Field(description="developer console → Credentials & Basic Info → App Secret")
    verification_token: Annotated[Secrets, AfterValidator(_at_least_one)] = Field(
        description="developer console → Events & Callbacks → Encryption Strategy → Verification Token"
    )
    encrypt_key: Secrets = Field(
        (), description="developer console → Events & Callbacks → Encryption Strategy → Encrypt Key"
    )
    domain: Annotated[str, AfterValidator(_domain)] = Field(
        "feishu", description="feishu, lark, or the URL of another Open API"
    )

    @property
    def base_url(self) -> str:
        """The address of the Open API that the app belongs to."""
        return _DOMAINS.get(self.domain, self.domain)


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
