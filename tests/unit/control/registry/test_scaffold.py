"""A new bot's files pass the check, but for what only a person can fill in."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from app.control.registry.check import check_all, stand_in_credentials
from app.control.registry.scaffold import add_bot, handler_name
from app.control.registry.snapshot import Registry
from app.core.errors import ConfigError
from app.model.bot import BotConfig


def test_a_new_bot_is_right_once_its_credentials_are_there(tmp_path: Path) -> None:
    root, handlers = tmp_path / "config", tmp_path / "bots"
    written = add_bot(root, "hr-2", handler_name("hr-2"), handlers)

    assert written == [handlers / "hr_2.py", root / "hr-2" / "credentials.yaml", root / "hr-2" / "config.yaml"]
    assert stat.S_IMODE(written[1].stat().st_mode) == 0o600
    registry = Registry(root, {})
    registry.load()
    assert registry.statuses["hr-2"].state == "missing credentials"
    ready = Registry(root, {}, stand_in_credentials)
    ready.load()
    assert ready.bots["hr-2"].config == BotConfig(handler="hr_2")
    assert check_all(ready, handlers, frozenset({"hr-2"})).faults == ()


def test_each_credential_says_where_in_the_console_it_stands(tmp_path: Path) -> None:
    add_bot(tmp_path, "one", "one", tmp_path / "bots")
    lines = (tmp_path / "one" / "credentials.yaml").read_text("utf-8").splitlines()
    for key in ("app_id", "app_secret", "verification_token", "encrypt_key"):
        (line,) = [line for line in lines if line.startswith(f'{key}: ""')]
        assert "# developer console → " in line


def test_a_handler_that_is_there_is_kept(tmp_path: Path) -> None:
    handlers = tmp_path / "bots"
    handlers.mkdir()
    (handlers / "own.py").write_text("mine")
    add_bot(tmp_path / "config", "one", "own", handlers)
    assert (handlers / "own.py").read_text() == "mine"


@pytest.mark.parametrize(("bot", "handler"), [("One", "one"), ("../one", "one"), ("one", "../one"), ("one", "_one")])
def test_what_cannot_be_a_name_writes_nothing(tmp_path: Path, bot: str, handler: str) -> None:
    with pytest.raises(ConfigError):
        add_bot(tmp_path / "config", bot, handler, tmp_path / "bots")
    assert list(tmp_path.iterdir()) == []


def test_a_bot_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    add_bot(tmp_path, "one", "one", tmp_path / "bots")
    with pytest.raises(ConfigError, match="is there already"):
        add_bot(tmp_path, "one", "other", tmp_path / "bots")
    assert not (tmp_path / "bots" / "other.py").exists()


@pytest.mark.parametrize(("bot", "handler"), [("hr-2", "hr_2"), ("7up", "bot_7up"), ("echo", "echo")])
def test_a_bots_id_gives_a_name_that_python_takes(bot: str, handler: str) -> None:
    assert handler_name(bot) == handler
