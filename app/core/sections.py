"""The sections of hub.yaml, a model each: what may stand there, its default, and what it means."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.core.shape import Frozen
from app.core.values import Networks, Size, Span, Whole, Words

_REDIS_SCHEMES: Final = (
    "redis://",
    "rediss://",
    "unix://",
    "redis+sentinel://",
    "rediss+sentinel://",
    "redis+cluster://",
    "rediss+cluster://",
)
_DATABASE_SCHEMES: Final = ("sqlite:///", "sqlite+aiosqlite:///", "postgresql://", "postgresql+asyncpg://")


def _redis_url(url: str) -> str:
    if url != "embedded" and not url.startswith(_REDIS_SCHEMES):
        raise ValueError(f"expected embedded, or a URL that starts with one of {', '.join(_REDIS_SCHEMES)}")
    return url


def _database_url(url: str) -> str:
    if url != "sqlite" and not url.startswith(_DATABASE_SCHEMES):
        raise ValueError(f"expected sqlite, or a URL that starts with one of {', '.join(_DATABASE_SCHEMES)}")
    return url


def url_here(host: str, port: int) -> str:
    """The URL at which this machine itself reaches what listens on `host`."""
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


class AdminListener(Frozen):
    """`server.admin`: metrics, API, dashboard."""

    host: str = Field("127.0.0.1", min_length=1, description="address the admin listener binds; loopback by default")
    port: Whole = Field(9091, ge=0, le=65535, description="port of the admin listener; 0 takes any free one")
    max_followers: Whole = Field(
        200, ge=0, le=800, description="who may follow messages and tasks (`…/events`) at once, on one node"
    )


class ServerSettings(Frozen):
    """`server`: the two listeners."""

    host: str = Field("0.0.0.0", min_length=1, description="address the public listener binds")
    port: Whole = Field(8000, ge=0, le=65535, description="port that Feishu's events reach; 0 takes any free one")
    admin: AdminListener = AdminListener()

    @model_validator(mode="after")
    def _two_ports(self) -> ServerSettings:
        if self.port and self.port == self.admin.port:
            raise ValueError("server.port and server.admin.port are the same: the two listeners need two ports")
        return self


class RedisSettings(Frozen):
    """`redis`: where events are kept until they are handled."""

    url: Annotated[str, AfterValidator(_redis_url)] = Field(
        "embedded",
        repr=False,
        description="embedded (a private engine in data_dir), redis://, rediss://, unix://, "
        "redis+sentinel://h1:p,h2:p/master/db or redis+cluster://h1:p,h2:p",
    )
    prefix: str = Field("hub:", pattern=r"^[^\s{}]+$", description="what every key starts with")
    fsync: Literal["always", "everysec"] = Field(
        "always", description="when the embedded engine syncs its file; everysec may lose a second of events"
    )
    min_replicas_ack: Whole = Field(0, ge=0, le=10, description="replicas that must hold an event before its 200")


class DatabasePool(Frozen):
    """`database.pool`: connections of one node; SQLite needs none of it."""

    max_connections: Whole = Field(20, ge=1, le=1000, description="connections open at most")
    min_connections: Whole = Field(5, ge=0, le=1000, description="unused connections that stay open, once opened")
    max_lifetime: Span = Field(300.0, ge=1, description="age from which a connection is replaced before its next use")
    idle_timeout: Span = Field(60.0, gt=0, description="how long an unused connection over min_connections stays open")

    @model_validator(mode="after")
    def _in_order(self) -> DatabasePool:
        if self.min_connections > self.max_connections:
            raise ValueError("database.pool.min_connections is over max_connections")
        return self


class DatabaseSettings(Frozen):
    """`database`: the message store."""

    url: Annotated[str, AfterValidator(_database_url)] = Field(
        "sqlite", repr=False, description="sqlite (a file in data_dir), sqlite:///PATH or postgresql://…"
    )
    pool: DatabasePool = DatabasePool()


class SpoolSettings(Frozen):
    """`spool`: where accepted events go while Redis cannot take them; `off` where disks do not last."""

    enabled: bool = Field(True, description="keep events on this node's disk while Redis cannot take them")
    max_size: Size = Field(1 << 30, ge=1 << 20, description="bound of the spool; beyond it Feishu gets 503")


class ArchiveSettings(Frozen):
    """`archive`: the way into the message store."""

    max_lag: Whole = Field(50_000, ge=1, description="entries that may wait in Redis; more move to disk")


class WorkerSettings(Frozen):
    """`worker`: the processes that run bot code."""

    processes: Whole = Field(1, ge=1, le=256, description="worker processes of this node")


class OutboxSettings(Frozen):
    """`outbox`: messages that are accepted now and sent later."""

    concurrency: Whole = Field(32, ge=2, le=1000, description="messages that one bot sends at once, for each node")
    max_waiting: Whole = Field(100_000, ge=1, description="messages of one bot that may wait; beyond it 503")
    keep_trying: Span = Field(
        24 * 3600.0, description="how long a message is tried again while Feishu does not take it; then it has failed"
    )
    fetch_allow: Networks = Field(
        (), description="networks of your own that images and files may be fetched from by URL; public ones always"
    )


class ApiToken(Frozen):
    """One of `api_tokens`: a program that may have some bots send messages, and nothing else."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="who it is for")
    token: SecretStr = Field(min_length=16, description="what it sends as `Authorization: Bearer …`")
    bots: Words = Field(min_length=1, description="the bots that it may send as; * is every bot")


class SecuritySettings(Frozen):
    """`security`: who may post to any bot."""

    allow_ips: Networks = Field((), description="source networks that may post; empty allows all")
    deny_ips: Networks = Field((), description="source networks that may not, whatever allow_ips says")
    trusted_proxies: Networks = Field((), description="proxies whose X-Forwarded-For is believed")


class LogSettings(Frozen):
    """`log`: what the node says on standard error."""

    format: Literal["json", "console"] = Field("json", description="json for machines, console for people")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is written")


class StatsdSettings(Frozen):
    """`metrics.statsd`: the numbers of the metrics page, over UDP."""

    host: str | None = Field(None, description="statsd server that gets the numbers of every node; null: none")
    port: Whole = Field(8125, ge=1, le=65535, description="its UDP port")
    prefix: str = Field("hub.", description="what every name starts with")
    interval: Span = Field(10.0, ge=0.1, description="how often numbers are sent")
    tags: bool = Field(False, description="labels as DogStatsD tags; else they are parts of the names")


class MetricsSettings(Frozen):
    """`metrics`: where numbers go by themselves, beside `/metrics`."""

    statsd: StatsdSettings = StatsdSettings()
