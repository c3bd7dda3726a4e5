"""hub.yaml, environment and command line: who wins, and what is said about faults."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from app.core.errors import ConfigError
from app.core.settings import ROLES, SHORT_NAMES, Settings, env_name, load_settings
from app.core.shape import keys_of


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return tmp_path / "hub.yaml"


def faults_of(path: Path | None, env: dict[str, str] | None = None, **overrides: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(path, env or {}, overrides)
    return [str(fault) for fault in caught.value.faults]


def test_everything_is_optional(hub: Path) -> None:
    assert load_settings(None, {}) == load_settings(hub, {}) == Settings()
    hub.write_text("server:\n  #port: 1\nredis:\n")
    assert load_settings(hub, {}) == Settings()


def test_the_defaults_are_those_of_the_design() -> None:
    settings = Settings()
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 8000)
    assert (settings.server.admin.host, settings.server.admin.port) == ("127.0.0.1", 9091)
    assert (settings.redis.url, settings.redis.prefix, settings.redis.fsync) == ("embedded", "hub:", "always")
    assert settings.limits.model_dump() == {
        "app_per_second": 50, "app_per_minute": 1000, "apis": {}, "chat_per_second": 5, "message_per_second": 5,
        "ephemeral_per_second": 40, "card_per_second": 10, "hook_per_second": 5, "hook_per_minute": 100,
        "headroom": 0.1, "quota": {},
    }  # fmt: skip
    assert (settings.drain_timeout, settings.max_body, settings.spool.max_size) == (25, 1 << 20, 1 << 30)
    assert settings.active_roles == set(ROLES)


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(hub: Path) -> None:
    hub.write_text("server: {port: 1, host: 127.0.0.1, admin: {port: 2}}\nregion: north\n")
    env = {"HUB_PORT": "10", "HUB_SERVER__ADMIN__PORT": "20", "HUB_REGION": ""}

    settings = load_settings(hub, env, {"server.port": 100, "server.host": None})

    assert (settings.server.port, settings.server.admin.port) == (100, 20)
    assert settings.server.host == "127.0.0.1"
    assert settings.region == "north"


def test_every_key_has_a_variable_and_common_ones_a_short_name() -> None:
    env = {
        "HUB_REDIS_URL": "redis://h", "HUB_DATABASE_URL": "postgresql://h/d", "HUB_DATA_DIR": "/d",
        "HUB_MASTER_KEY": "k", "HUB_MASTER_KEY_FILE": "/k",
        "HUB_ADMIN_TOKEN": "t", "HUB_NODE_ID": "n1", "HUB_ROLES": "gateway, worker",
        "HUB_PORT": "1", "HUB_ADMIN_PORT": "2", "HUB_SECURITY__TRUSTED_PROXIES": "10.0.0.0/8,192.0.2.1",
        "HUB_SPOOL__ENABLED": "false", "HUB_DRAIN_TIMEOUT": "5m", "HUB_DATABASE__POOL__MAX_CONNECTIONS": "7",
    }  # fmt: skip
    settings = load_settings(None, env)

    assert (settings.redis.url, settings.database.url) == ("redis://h", "postgresql://h/d")
    assert settings.data_dir == Path("/d")
    assert settings.master_key is not None
    assert settings.master_key.get_secret_value() == "k"
    assert settings.admin_token is not None
    assert settings.admin_token.get_secret_value() == "t"
    assert settings.node_id == "n1"
    assert settings.active_roles == {"gateway", "worker"}
    assert (settings.server.port, settings.server.admin.port) == (1, 2)
    assert settings.security.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("192.0.2.1"))
    assert (settings.spool.enabled, settings.drain_timeout, settings.database.pool.max_connections) == (False, 300, 7)
    assert settings.unknown_env == ()


def test_unknown_variables_are_told_and_harmless() -> None:
    settings = load_settings(None, {"HUB_PROT": "1", "HUB_SERVER__PROT": "2", "PATH": "/bin"})
    assert settings.unknown_env == ("HUB_PROT", "HUB_SERVER__PROT")


def test_what_kubernetes_says_of_a_service_is_no_port() -> None:
    settings = load_settings(None, {"HUB_PORT": "tcp://10.0.0.1:80"})
    assert settings.server.port == 8000
    assert settings.unknown_env == ("HUB_PORT=tcp://10.0.0.1:80 (Kubernetes' own, of a Service of that name)",)


def test_two_names_of_one_setting_may_not_disagree() -> None:
    assert load_settings(None, {"HUB_PORT": "5", "HUB_SERVER__PORT": "5"}).server.port == 5
    (fault,) = faults_of(None, {"HUB_PORT": "5", "HUB_SERVER__PORT": "6"})
    assert fault == "environment: HUB_SERVER__PORT: disagrees with HUB_PORT: set only one of them"


def test_spool_off_stays_off_beside_another_key(hub: Path) -> None:
    hub.write_text("spool: off\n")
    settings = load_settings(hub, {"HUB_SPOOL__MAX_SIZE": "2MiB"})
    assert (settings.spool.enabled, settings.spool.max_size) == (False, 2 << 20)


def test_all_faults_come_at_once_each_with_its_place(hub: Path) -> None:
    hub.write_text(
        "server: {port: high, prot: 9}\n"
        "redis: {url: mysql://user:s3cret@host}\n"
        "roles: [gateway, wroker]\n"
        "limits: {headroom: 1}\n"
        "log: {level: ${LEVEL}}\n"
        "archive: [s3cret]\n"
        "pools: {a: 1}\n"
        "admin: {port: 5}\n"
    )
    text = "\n".join(faults_of(hub, {"HUB_WORKER__PROCESSES": "0"}, **{"drain_timeout": "soon"}))

    for part in (
        f"{hub}: server.port: expected a valid integer, found text (line 1)",
        f"{hub}: server.prot: unknown key; did you mean port? allowed here: host, port, admin (line 1)",
        f"{hub}: redis.url: expected embedded, or a URL",
        f"{hub}: roles[1]: expected 'all', 'gateway'",
        f"{hub}: limits.headroom: expected less than 1, found 1",
        f"{hub}: log.level: the environment variable LEVEL is not set (line 5)",
        f"{hub}: archive: expected keys with values, found a list (line 6)",
        f"{hub}: pools: not part of this version: remove it (line 7)",
        f"{hub}: admin: unknown key; ",
        "environment: HUB_WORKER__PROCESSES: expected greater than or equal to 1",
        "command line: drain_timeout: expected a span such as",
    ):
        assert part in text
    assert "s3cret" not in text


def test_a_value_from_above_makes_an_unset_placeholder_harmless(hub: Path) -> None:
    hub.write_text("redis: {url: ${REDIS}}\n")
    assert len(faults_of(hub)) == 1
    assert load_settings(hub, {"HUB_REDIS_URL": "redis://h"}).redis.url == "redis://h"


def test_yes_is_no_number(hub: Path) -> None:
    hub.write_text("worker: {processes: yes}\n")
    assert faults_of(hub) == [f"{hub}: worker.processes: expected a number, found true or false (line 1)"]


def test_one_port_cannot_serve_two_listeners() -> None:
    (fault,) = faults_of(None, {"HUB_PORT": "9091"})
    assert "server.port and server.admin.port are the same" in fault
    assert load_settings(None, {"HUB_PORT": "0", "HUB_ADMIN_PORT": "0"}).server.port == 0


def test_secrets_do_not_print() -> None:
    env = {
        "HUB_MASTER_KEY": "s3cret", "HUB_ADMIN_TOKEN": "s3cret", "HUB_REDIS_URL": "redis://:s3cret@h",
        "HUB_DATABASE_URL": "postgresql://u:s3cret@h/d",
    }  # fmt: skip
    settings = load_settings(None, env)
    assert "s3cret" not in repr(settings) + str(settings)


def test_names_of_variables_are_unambiguous() -> None:
    names = [env_name(key.path) for key in keys_of(Settings)]
    assert len(names) == len(set(names))
    assert not set(names) & set(SHORT_NAMES)


def test_every_key_is_described() -> None:
    assert [key.path for key in keys_of(Settings) if not key.description] == []


def test_a_bots_own_port_stands_over_the_file_and_below_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "hub.yaml"
    file.write_text("server: {port: 1, admin: {port: 2}}\n")
    own = {"server.port": 9001, "server.admin.port": None}
    assert load_settings(file, {}, own=own).server.port == 9001
    assert load_settings(file, {}, own=own).server.admin.port == 2
    assert load_settings(file, {"HUB_PORT": "3"}, own=own).server.port == 3
    assert load_settings(file, {"HUB_PORT": "3"}, {"server.port": 4}, own).server.port == 4
