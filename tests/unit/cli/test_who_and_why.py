"""The audit names who gives a command as the system knows them, and wants a reason."""

from __future__ import annotations

import os
import pwd
import socket

import pytest
from typer.testing import CliRunner

from app.cli.keys import app
from app.cli.options import somebody


def test_nobody_goes_by_a_name_that_they_gave_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "the-auditor")
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert somebody() == f"{pwd.getpwuid(os.getuid()).pw_name} at {socket.gethostname()}"
    # As on OpenShift.
    monkeypatch.setattr(os, "getuid", lambda: 1_234_567_890)
    assert somebody() == f"uid 1234567890 at {socket.gethostname()}"
    monkeypatch.setenv("SUDO_USER", "alice")
    assert somebody() == f"uid 1234567890 at {socket.gethostname()} (SUDO_USER=alice)"


def test_nothing_is_shredded_without_a_reason() -> None:
    result = CliRunner().invoke(app, ["shred", "echo", "--yes", "--why", " "])
    assert (result.exit_code, "Traceback" in result.output) == (2, False)
    assert "--why" in result.output
