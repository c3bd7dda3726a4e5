"""One bot's directory: read whole, or every fault of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from app.control.registry.check import stand_in_credentials
from app.control.registry.loader import examine, read_bot
from app.core.errors import ConfigError
from app.core.shape import keys_of
from app.model.bot import BotConfig, Credentials
from tests.unit.control.registry.conftest import WriteBot


def faults_of(directory: Path, **env: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_bot(directory, env)
    return [str(fault).removeprefix(f"{directory}/") for fault in caught.value.faults]


def test_a_good_directory_is_a_bot(write_bot: WriteBot) -> None:
    spec = read_bot(write_bot("support"), {})

    assert spec.id == "support"
    assert spec.config == BotConfig(handler="echo")
    assert spec.credentials.app_id == "cli_support"
    assert spec.credentials.base_url == "https://open.feishu.cn"
    assert spec.keys == (hashlib.sha256(b"key-s3cret").digest(),)
    assert (spec.tokens, spec.encrypt_keys) == ((b"token-s3cret",), (b"key-s3cret",))


def test_several_keys_and_tokens_are_accepted_while_one_is_changed(write_bot: WriteBot) -> None:
    credentials = "app_id: a\napp_secret: s\nverification_token: [t1, t2]\nencrypt_key: [k1, ' k2 ']\ndomain: lark\n"
    spec = read_bot(write_bot("support", credentials=credentials), {})

    assert (spec.tokens, spec.encrypt_keys) == ((b"t1", b"t2"), (b"k1", b"k2"))
    assert spec.credentials.base_url == "https://open.larksuite.com"


def test_every_fault_of_both_files_comes_at_once(write_bot: WriteBot) -> None:
    directory = write_bot(
        "support",
        config="handlr: echo\nserver: {wokers: 5}\ntimeout: soon\nagents: {pool: general}\n"
        "schedules: [{name: x, crom: y}]\nmessage: {retry_policy: {max_attempts: 0}}\n"
        "security: {allow_ips: [10.0.0.1/8]}\nevents_per_second: yes\ndedup_ttl: 100000000000000d\n",
        credentials="app_secret: ${SECRET}\nverification_token: ''\nencrypt_key: 7s3cret7\nappid: x\ndomain: ftp://x\n",
    )
    text = "\n".join(faults_of(directory))

    for part in (
        "config.yaml: handler: missing: name the module in bots/ that answers this bot",
        "config.yaml: handlr: unknown key; did you mean handler? allowed here: handler, ",
        "config.yaml: server.wokers: unknown key; did you mean workers? allowed here: port, workers (line 2)",
        "config.yaml: timeout: expected a span such as 500ms",
        "config.yaml: agents: not part of this version: remove it (line 4)",
        "config.yaml: schedules[0].cron: missing",
        "config.yaml: schedules[0].crom: unknown key; did you mean cron? allowed here: name, cron, tz, handler, ",
        "config.yaml: message.retry_policy.max_attempts: expected greater than or equal to 1, found 0 (line 6)",
        "config.yaml: security.allow_ips[0]: a single address with a mask: write 10.0.0.0/8",
        "config.yaml: events_per_second: expected a number, found true or false",
        "config.yaml: dedup_ttl: expected less than or equal to 31622400",
        "credentials.yaml: app_id: missing: developer console → Credentials & Basic Info → App ID",
        "credentials.yaml: app_secret: the environment variable SECRET is not set (line 1)",
        "credentials.yaml: verification_token: empty: developer console → Events & Callbacks",
        "credentials.yaml: appid: unknown key; did you mean app_id?",
        "credentials.yaml: domain: expected feishu, lark, or the URL",
    ):
        assert part in text
    assert "s3cret" not in text


def test_a_value_of_the_wrong_type_is_described_and_not_shown(write_bot: WriteBot) -> None:
    directory = write_bot(
        "support", credentials="app_id: [1]\napp_secret: 12345678\nverification_token: {a: 87654321}\n"
    )
    text = "\n".join(faults_of(directory))

    assert "app_id: expected a valid string, found a list (line 1)" in text
    assert "app_secret: expected a valid string, found a number: put it in quotes (line 2)" in text
    assert "verification_token: " in text
    assert "12345678" not in text
    assert "87654321" not in text


@pytest.mark.parametrize("empty", ["", "encrypt_key:\n", "encrypt_key: ''\n", "encrypt_key: []\n"])
def test_a_bot_without_encrypt_key_is_refused_unless_it_says_so(write_bot: WriteBot, empty: str) -> None:
    credentials = f"app_id: a\napp_secret: s\nverification_token: t\n{empty}"
    directory = write_bot("support", credentials=credentials)
    (fault,) = faults_of(directory)
    assert fault.startswith("credentials.yaml: encrypt_key: empty")
    assert "allow_plaintext: true" in fault

    write_bot("support", config="handler: echo\nallow_plaintext: true\n", credentials=credentials)
    assert read_bot(directory, {}).encrypt_keys == ()
    assert "neither encrypted nor signed" in examine(directory, {}).warnings[0]


def test_an_empty_key_among_several_is_refused(write_bot: WriteBot) -> None:
    directory = write_bot(
        "support", credentials="app_id: a\napp_secret: s\nverification_token: t\nencrypt_key: [k, '']\n"
    )
    assert faults_of(directory)[0].startswith("credentials.yaml: encrypt_key[1]: empty")


@pytest.mark.parametrize("name", ["Support", "-support", "a" * 65, "机器人", "a.b"])
def test_the_directory_must_have_a_bots_name(write_bot: WriteBot, name: str) -> None:
    assert "must match ^[a-z0-9][a-z0-9_-]{0,63}$" in faults_of(write_bot(name))[0]


@pytest.mark.parametrize("handler", ["../evil", "_private", "a.b", "/etc/passwd", ""])
def test_a_handler_is_a_name_and_no_path(write_bot: WriteBot, handler: str) -> None:
    assert any("handler" in fault for fault in faults_of(write_bot("support", config=f"handler: '{handler}'\n")))


def test_missing_files_are_named_with_what_to_do(write_bot: WriteBot) -> None:
    directory = write_bot("support", config=None, credentials=None)
    assert faults_of(directory) == [
        "config.yaml: missing: write a line `handler: NAME` into it",
        "credentials.yaml: missing: write credentials.yaml and fill in app_id, app_secret, verification_token and "
        "encrypt_key from Feishu's developer console",
    ]


def test_credentials_without_values_are_told_from_wrong_ones(write_bot: WriteBot) -> None:
    assert examine(write_bot("none", credentials=None), {}).unfilled
    unfilled = "app_id: ''\napp_secret:\nverification_token: []\nencrypt_key: ''\n"
    assert examine(write_bot("unfilled", credentials=unfilled), {}).unfilled
    assert not examine(write_bot("wrong", credentials=unfilled + "nonsense: 1\n"), {}).unfilled
    assert not examine(write_bot("both", config="handler: 5\n", credentials=unfilled), {}).unfilled


@pytest.mark.parametrize("credentials", [None, "app_id: ''\n", "app_id: ${APP}\napp_secret: s\n"])
def test_given_credentials_stand_in_for_those_that_have_no_values(write_bot: WriteBot, credentials: str | None) -> None:
    directory = write_bot("support", credentials=credentials)
    assert read_bot(directory, {}, stand_in_credentials("given")).credentials.app_id == "cli_given"


def test_credentials_that_are_there_are_used_and_checked_whatever_stands_in(write_bot: WriteBot) -> None:
    directory = write_bot("support")
    assert read_bot(directory, {}, stand_in_credentials("given")).credentials.app_id == "cli_support"
    write_bot("support", credentials="nonsense: 1\n")
    assert any(fault.key == "nonsense" for fault in examine(directory, {}, stand_in_credentials("given")).faults)


def test_secrets_readable_by_everybody_are_warned_of(write_bot: WriteBot) -> None:
    directory = write_bot("support")
    assert examine(directory, {}).warnings == ()
    (directory / "credentials.yaml").chmod(0o644)
    (warning,) = examine(directory, {}).warnings
    assert "chmod 600" in warning


def test_the_revision_follows_files_and_what_is_resolved_into_them(write_bot: WriteBot) -> None:
    credentials = "app_id: a\napp_secret: ${S}\nverification_token: file:token\nencrypt_key: k\n"
    directory = write_bot("support", credentials=credentials)
    token = directory / "token"
    token.write_text("t1\n")
    seen = {read_bot(directory, {"S": "s1"}).revision}
    assert read_bot(directory, {"S": "s1", "UNUSED": "x"}).revision in seen
    seen.add(read_bot(directory, {"S": "s2"}).revision)
    token.write_text("t2\n")
    seen.add(read_bot(directory, {"S": "s1"}).revision)
    write_bot("support", config="handler: other\n", credentials=credentials)
    seen.add(read_bot(directory, {"S": "s1"}).revision)
    assert len(seen) == 4


def test_secrets_are_in_no_repr(write_bot: WriteBot) -> None:
    directory = write_bot("support", config="handler: echo\nsettings: {key: ${S}}\n")
    reading = examine(directory, {"S": "settings-s3cret"})
    assert reading.spec is not None
    assert reading.spec.config.settings == {"key": "settings-s3cret"}
    assert "s3cret" not in repr(reading) + str(reading.spec) + repr(reading.spec.credentials)


@pytest.mark.parametrize("model", [BotConfig, Credentials])
def test_every_key_is_described(model: type[BotConfig | Credentials]) -> None:
    assert [key.path for key in keys_of(model) if not key.description] == []
