"""The settings of a node: hub.yaml, the environment over it, the command line over both."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr

from app.core.alert_settings import AlertSettings
from app.core.document import Document, KeyPath, dotted, read_document
from app.core.errors import ConfigError, Fault
from app.core.limit_settings import LimitSettings
from app.core.sections import (
    ApiToken,
    ArchiveSettings,
    DatabaseSettings,
    LogSettings,
    MetricsSettings,
    OutboxSettings,
    RedisSettings,
    SecuritySettings,
    ServerSettings,
    SpoolSettings,
    WorkerSettings,
)
from app.core.shape import Frozen, fit, keys_of
from app.core.values import Reserved, Size, Span, read_switch, split_words

Role = Literal["gateway", "worker", "channel", "archiver", "scheduler"]
AnyRole = Literal["all", "gateway", "worker", "channel", "archiver", "scheduler"]
ROLES: tuple[Role, ...] = ("gateway", "worker", "channel", "archiver", "scheduler")

ENV_PREFIX: Final = "HUB_"
SHORT_NAMES: Final = {
    "HUB_REDIS_URL": "redis.url",
    "HUB_DATABASE_URL": "database.url",
    "HUB_PORT": "server.port",
    "HUB_ADMIN_PORT": "server.admin.port",
}
"""Variables beside those that `env_name` gives every key."""

_NO_SETTINGS: Final = frozenset({"HUB_ENGINE_BINARY"})
"""Variables that are no settings and not unknown either: which server program the embedded engine runs."""

_SERVICE: Final = ("tcp://", "udp://", "sctp://")
"""How the variable begins that Kubernetes gives every container, NAME_PORT, for a Service: `hub` becomes HUB_PORT."""


def _roles(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError(f"name at least one of all, {', '.join(ROLES)}")
    return value


def _by_name(value: tuple[ApiToken, ...]) -> tuple[ApiToken, ...]:
    if len({token.name for token in value}) < len(value):
        raise ValueError("two tokens have the same name: each has to have its own")
    return value


def _command(value: Any) -> Any:
    return shlex.split(value) if isinstance(value, str) else value


class Settings(Frozen):
    """hub.yaml, whole."""

    node_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="name of this node; made once and kept in data_dir",
    )
    roles: Annotated[tuple[AnyRole, ...], AfterValidator(_roles), BeforeValidator(split_words)] = Field(
        ("all",), description="what this node does: all, or some of the roles"
    )
    region: str | None = Field(None, description="where this node stands, for people to read")
    data_dir: Path = Field(Path("data"), description="directory of everything this node keeps on disk")
    server: ServerSettings = ServerSettings()
    redis: RedisSettings = RedisSettings()
    database: DatabaseSettings = DatabaseSettings()
    spool: Annotated[SpoolSettings, BeforeValidator(read_switch)] = SpoolSettings()
    archive: ArchiveSettings = ArchiveSettings()
    worker: WorkerSettings = WorkerSettings()
    outbox: OutboxSettings = OutboxSettings()
    drain_timeout: Span = Field(25.0, description="what running handlers may still take when the node stops")
    max_body: Size = Field(1 << 20, ge=1 << 10, description="largest request body; beyond it 413")
    security: SecuritySettings = SecuritySettings()
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    master_key: SecretStr | None = Field(
        None,
        description="key that wraps every bot's data key; several with commas while rotating, newest first",
    )
    master_key_file: Path | None = Field(
        None, description="file that holds the master key, one or several; read again when it changes"
    )
    master_key_command: Annotated[tuple[str, ...], BeforeValidator(_command)] = Field(
        (), description="program and arguments that print the master key, where a key management service keeps it"
    )
    admin_token: SecretStr | None = Field(
        None, description="bearer token of the admin API; made at the first start and kept in data_dir"
    )
    api_tokens: Annotated[tuple[ApiToken, ...], AfterValidator(_by_name)] = Field(
        (),
        repr=False,
        description="tokens that may only send: a list of {name, token, bots}; take the token from the environment",
    )
    alerts: AlertSettings = AlertSettings()
    metrics: MetricsSettings = MetricsSettings()
    pools: Reserved = Field({}, description="reserved for a later version")

    _unknown_env: tuple[str, ...] = PrivateAttr(())

    @property
    def active_roles(self) -> frozenset[Role]:
        """The roles with `all` spelt out."""
        return frozenset(ROLES if "all" in self.roles else (role for role in self.roles if role != "all"))

    @property
    def unknown_env(self) -> tuple[str, ...]:
        """HUB_… variables that name no setting: worth a warning, no error."""
        return self._unknown_env


def env_name(key: str) -> str:
    """The environment variable of a setting: `server.port` is HUB_SERVER__PORT."""
    return ENV_PREFIX + key.upper().replace(".", "__")


def load_settings(
    path: Path | None,
    env: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    own: Mapping[str, object] | None = None,
) -> Settings:
    """Settings from a file (which need not exist), `HUB_…` variables over it, and `overrides` over both.

    `overrides` are dotted keys from the command line; `own` are those of a bot that runs alone, which override the file
    but not the environment. A value of None counts as not given. Raises ConfigError with every fault.
    """
    exists = path is not None and path.exists()
    document = read_document(path, env) if path and exists else Document(str(path or "settings"), {})
    faults = list(document.faults)
    chosen, unknown, clashes = _from_env(env)
    faults += clashes
    bots = {key: ("config.yaml", key, value) for key, value in (own or {}).items() if value is not None}
    chosen = bots | chosen
    chosen |= {key: ("command line", key, value) for key, value in (overrides or {}).items() if value is not None}

    data: dict[str, Any] = deepcopy(document.data)
    sources: dict[KeyPath, tuple[str, str, int | None]] = {}
    for key, (source, name, value) in chosen.items():
        way = tuple(key.split("."))
        _put(data, way, value)
        sources[way] = (source, name, None)

    def place(where: KeyPath) -> tuple[str, str, int | None]:
        for length in range(len(where), 0, -1):
            if where[:length] in sources:
                return sources[where[:length]]
        return document.file, dotted(where), document.lines.get(where)

    unresolved = frozenset(where for where in document.unresolved if where not in sources)
    settings, wrong = fit(Settings, data, place, unresolved)
    # A value that the file could not supply does no harm when something above the file does.
    replaced = {dotted(where) for where in document.unresolved if where in sources}
    faults = [fault for fault in faults if fault.key not in replaced or fault.file != document.file] + wrong
    if faults or settings is None:
        raise ConfigError(faults)
    settings._unknown_env = unknown
    return settings


def _from_env(env: Mapping[str, str]) -> tuple[dict[str, tuple[str, str, Any]], tuple[str, ...], list[Fault]]:
    """What the environment sets, by key; variables that name no setting; faults. An empty value counts as not set."""
    names = {env_name(key.path): key.path for key in keys_of(Settings)} | SHORT_NAMES
    chosen: dict[str, tuple[str, str, Any]] = {}
    unknown: list[str] = []
    faults: list[Fault] = []
    for name in sorted(env):
        if not name.startswith(ENV_PREFIX) or name in _NO_SETTINGS or not env[name].strip():
            continue
        key = names.get(name)
        if key is None:
            unknown.append(name)
        elif env[name].startswith(_SERVICE):
            unknown.append(f"{name}={env[name]} (Kubernetes' own, of a Service of that name)")
        elif key in chosen and chosen[key][2] != env[name]:
            faults.append(Fault("environment", name, f"disagrees with {chosen[key][1]}: set only one of them"))
        else:
            chosen[key] = ("environment", name, env[name])
    return chosen, tuple(unknown), faults


def _put(data: dict[str, Any], way: tuple[str, ...], value: object) -> None:
    for part in way[:-1]:
        inner = data.get(part)
        if inner is None or isinstance(inner, bool):  # a bool is `spool: off`, and stays so beside another key
            inner = data[part] = {} if inner is None else {"enabled": inner}
        if not isinstance(inner, dict):
            return  # the file holds something else there, which is a fault of its own
        data = inner
    data[way[-1]] = value
