"""`feishu-hub config`: what is in force, and whether it is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli.config import app


@pytest.fixture(autouse=True)
def config_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with an empty `config`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "config").mkdir()
    return tmp_path / "config"


def config(*args: str) -> Result:
    return CliRunner().invoke(app, list(args))


def test_settings_and_bots_are_validated_together(config_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config("validate").exit_code == 0
    (config_dir / "hub.yaml").write_text("prot: 1\n")
    (config_dir / "one").mkdir()
    (config_dir / "one" / "config.yaml").write_text("handlr: x\n")
    monkeypatch.setenv("HUB_PORT", "high")

    result = config("validate")

    assert result.exit_code == 1
    for part in ("config/hub.yaml: prot: unknown key", "environment: HUB_PORT: ", "config/one/config.yaml: handlr"):
        assert part in result.output
    report = json.loads(config("validate", "--json").output)
    assert not report["ok"]
    assert {"file", "key", "problem"} == set(report["faults"][0])


def test_addresses_that_cannot_be_used_are_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_REDIS_URL", "redis://:pazzword@h:notaport/0")
    monkeypatch.setenv("HUB_DATABASE_URL", "postgresql://u:pazzword@h:bad/x")
    result = config("validate")
    assert result.exit_code == 1
    assert "HUB_REDIS_URL: redis.url: the URL cannot be read" in result.output
    assert "HUB_DATABASE_URL: database.url: the port is no number" in result.output
    assert "pazzword" not in result.output


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_apprise_is_asked_whether_it_knows_its_addresses(config_dir: Path) -> None:
    (config_dir / "hub.yaml").write_text(
        'alerts: {channels: {pager: {apprise: "slackk://pazzword/a/b"}, '
        'mail: {apprise: "mailtos://user:pazzword@smtp.example.com"}}}\n'
    )
    result = config("validate")
    assert result.exit_code == 1
    assert "hub.yaml: alerts.channels.pager.apprise: apprise does not know" in result.output
    assert "mail.apprise" not in result.output
    assert "pazzword" not in result.output


def test_variables_that_name_nothing_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_PROT", "1")
    result = config("validate")
    assert result.exit_code == 0
    assert "warning: environment: HUB_PROT: names no setting" in result.output


def test_bots_that_hub_yaml_names_and_that_are_not_there_are_warned_of(config_dir: Path) -> None:
    (config_dir / "hub.yaml").write_text(
        "api_tokens: [{name: ci, token: sixteen-and-some-more, bots: [one, two]}, "
        "{name: all, token: sixteen-and-even-more, bots: ['*']}]\n"
        "limits: {quota: {acme: {bots: [three]}}}\n"
        "alerts: {channels: {chat: {bot: four, feishu_chat: oc_1}}}\n"
    )
    (config_dir / "one").mkdir()
    (config_dir / "one" / "config.yaml").write_text("handler: one\n")
    warnings = json.loads(config("validate", "--json").output)["warnings"]
    assert [one for one in warnings if one.startswith("hub.yaml")] == [
        "hub.yaml: api_tokens[0].bots: there is no bot two; there are one",
        "hub.yaml: limits.quota.acme.bots: there is no bot three; there are one",
        "hub.yaml: alerts.channels.chat.bot: there is no bot four; there are one",
    ]


def test_get_prints_what_is_in_force(config_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (config_dir / "hub.yaml").write_text("server: {port: 1}\n")
    assert config("get", "server.port").output == "1\n"
    monkeypatch.setenv("HUB_PORT", "2")
    assert config("get", "server.port").output == "2\n"
    assert json.loads(config("get", "server.admin", "--json").output) == {
        "server.admin.host": "127.0.0.1",
        "server.admin.port": 9091,
        "server.admin.max_followers": 200,
    }
    assert "drain_timeout" in config("get").output


def test_json_has_the_types_of_the_values() -> None:
    shown = json.loads(config("get", "--json").output)
    assert (shown["spool.enabled"], shown["region"], shown["roles"]) == (True, None, ["all"])
    assert (shown["drain_timeout"], shown["redis.prefix"]) == ("25s", "hub:")


def test_get_shows_no_secret_and_knows_near_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_MASTER_KEY", "s3cret")
    monkeypatch.setenv("HUB_REDIS_URL", "redis://:s3cret@h")
    assert config("get", "master_key").output == "set\n"
    assert "s3cret" not in config("get").output
    unknown = config("get", "redis.ulr")
    assert unknown.exit_code == 1
    assert "did you mean redis.url" in unknown.output


def test_get_names_faults_where_settings_are_wrong(config_dir: Path) -> None:
    (config_dir / "hub.yaml").write_text("server: 5\n")
    result = config("get", "server.port")
    assert result.exit_code == 1
    assert "config/hub.yaml: server: expected keys with values, found a number" in result.output
