"""What is typed wrongly, or asked of what is not there, is said in a line, with the right exit status."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from app.cli.main import main


class Answer(BaseHTTPRequestHandler):
    """Something that is no hub, and a hub to which the token is nobody's."""

    def do_GET(self) -> None:
        self.send_response(200 if "page" in self.path else 401)
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setenv("HUB_ADMIN_TOKEN", "somebody-elses-token")
    monkeypatch.setenv("HUB_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "config"


def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    """Exit status, and all that was printed on one line."""
    monkeypatch.setattr("sys.argv", ["feishu-hub", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return int(ended.value.code or 0), " ".join((printed.out + printed.err).split())


@pytest.mark.parametrize("command", ["doctor", "messages list"])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("postgresql://u:pazz@h:bad/x", "database.url: the port is no number", id="port"),
        pytest.param("postgresql://u:pazz@h:99999/x", "database.url: there is no such port", id="high-port"),
        pytest.param("postgresql://u:pazz@h/x?foo=1", "database.url: ?foo= is no parameter of the driver", id="query"),
    ],
)
def test_a_database_url_that_cannot_be_used_is_named(
    command: str,
    url: str,
    words: str,
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HUB_DATABASE_URL", url)
    monkeypatch.setenv("HUB_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("HUB_MASTER_KEY", Fernet.generate_key().decode())
    status, printed = said(capsys, monkeypatch, *command.split(), "-c", str(config))
    assert status == 1
    assert words in printed
    assert "pazz" not in printed


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("send status echo m1 --api nonsense", 1, "--api nonsense: expected an address such as http://127.0.0.1:9091"),
        ("send status echo m1 --api http://127.0.0.1:1", 1, "no hub answers at http://127.0.0.1:1"),
        ("send status echo m1 --api SERVER", 1, "does not take this admin token: HUB_ADMIN_TOKEN"),
        ("send status echo page --api SERVER", 1, "is no hub's admin listener"),
        ("send echo oc_1 hello --idempotency-key schlüssel", 2, "it goes in a header"),
        ("run -c CONFIG --data-dir CONFIG/../file/data", 1, "file/data: Not a directory"),
        ("config get server.port -c CONFIG/no", 1, "no such directory"),
        ("bots list -c CONFIG/no", 1, "no such directory: make it"),
        ("bots list -c CONFIG/../file", 1, "not a directory: name another"),
        ("bots list -c CONFIG", 0, "`feishu-hub bots add NAME` makes one"),
        ("messages search --words refund -c CONFIG", 2, "words are looked up within a bot"),
        ("backup CONFIG/hub.zip -c CONFIG", 1, "a file that ends in .tar, .tar.gz or .tgz"),
        ("dead list echo -c CONFIG", 1, "no hub has run on"),
        ("-h", 0, "Usage"),
        ("dead list -h", 0, "Usage"),
        ("nonsense", 2, "No such command"),
    ],
)
def test_said_in_a_line(
    config: Path,
    server: str,
    command: str,
    status: int,
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = command.replace("CONFIG", str(config)).replace("SERVER", server).split()
    code, printed = said(capsys, monkeypatch, *given)
    assert (code, words in printed) == (status, True), printed
