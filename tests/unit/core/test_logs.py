"""What a log line holds, and what it must not."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from app.core.logs import LogFormat, configure_logs


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Logging is the process' own: every other test finds it as it was."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_values(form: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(form)
    text = "what somebody wrote"
    try:
        raise ValueError(len(text))
    except ValueError:
        structlog.get_logger().exception("failed", bot="echo")
    said = capsys.readouterr().err
    assert "ValueError: 19" in said
    assert "somebody wrote" not in said


def test_fields_that_could_hold_text_or_secrets_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    structlog.get_logger().info("said", text="hello", app_secret="s", bot="echo")
    line = json.loads(capsys.readouterr().err)
    assert (line["text"], line["app_secret"], line["bot"]) == ("<hidden>", "<hidden>", "echo")


def test_what_libraries_say_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")
    logging.getLogger("asyncio").error("Task exception was never %s", "retrieved")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["logger"]) == ("Task exception was never retrieved", "asyncio")
    assert line["level"] == "error"
