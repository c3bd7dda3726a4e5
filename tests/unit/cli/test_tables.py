"""Tables keep whole what another command is given; only prose is folded, and only on a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from app.cli.tables import instant, print_rows

ID = "1795270560036-0"
ROW = {"id": ID, "died": instant(0), "chat": "oc_" + "a" * 32, "reason": "it cannot succeed, " * 8, "done": False}


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, out: io.StringIO) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", out)
    print_rows([ROW], tuple(ROW), none="nothing", folds=("reason",))
    return [line.rstrip() for line in out.getvalue().splitlines() if line.strip()]


def test_into_a_pipe_a_row_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, *rows = shown(monkeypatch, io.StringIO())
    assert len(rows) == 1
    assert str(ROW["reason"]).strip() in rows[0]
    assert rows[0].endswith("no")


def test_a_narrow_terminal_folds_prose_and_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, *rows = shown(monkeypatch, _Terminal())
    assert len(rows) > 1
    assert ID in rows[0]
    assert str(ROW["chat"]) in rows[0]


def test_other_peoples_words_do_not_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    print_rows([{"note": "[red]\x1b[2J"}], ("note",), none="")
    assert "[red]\N{REPLACEMENT CHARACTER}[2J" in capsys.readouterr().out
