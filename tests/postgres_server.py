"""A private PostgreSQL: a cluster of its own in a scratch directory, on loopback, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from tests.ports import free_port
from tests.waiting import wait_until

# Where Debian keeps the programs of the server, which it does not put on the PATH.
_PLACES = "/usr/lib/postgresql"
# Nothing of a test has to outlive a power cut.
_QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=64MB", "max_connections=100")

_EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
"""


def find_program(name: str) -> str | None:
    """Where a program of the PostgreSQL server is, the newest version first; None where there is none."""
    found = sorted(Path(_PLACES).glob(f"*/bin/{name}"), key=lambda path: float(path.parent.parent.name), reverse=True)
    return shutil.which(name) or (str(found[0]) if found else None)


class PostgresServer:
    """One cluster; `settings` are further lines of its configuration."""

    def __init__(self, *settings: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="hub-pg-"))
        self.port = free_port()
        self._data = self.directory / "data"
        self._settings = settings or _QUICK
        # initdb refuses to work for root.
        self._user = _unprivileged() if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self.directory, self._user)
        self._process: subprocess.Popen[bytes] | None = None
        self._empty: list[str] = []
        try:
            initdb = [_needed("initdb"), "-D", str(self._data), "-U", "hub", "-A", "trust", "-E", "UTF8", "--locale=C"]
            made = subprocess.run([*initdb, "--no-sync"], user=self._user, capture_output=True, cwd="/", check=False)
            assert made.returncode == 0, made.stderr.decode()
            self.start()
        except BaseException:
            self.close()
            raise

    def url(self, name: str = "postgres") -> str:
        """The URL of one of its databases, as hub.yaml takes it."""
        return f"postgresql://hub@127.0.0.1:{self.port}/{name}"

    @property
    def data(self) -> Path:
        """Everything that it keeps."""
        return self._data

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", *self._settings]
        # A run that is killed closes nothing: its server ends with it.
        leash = ["setpriv", "--pdeathsig", "QUIT"] if shutil.which("setpriv") else []
        command = [
            *leash,
            _needed("postgres"),
            "-D",
            str(self._data),
            *(word for line in options for word in ("-c", line)),
        ]
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, user=self._user, stdout=log, stderr=log, cwd="/")
        wait_until(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        ask = [_needed("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ask, check=False).returncode == 0

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it; SIGQUIT cuts all connections at once and leaves recovery to the next start, SIGINT does not."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(30)

    def close(self) -> None:
        """End it and remove what it kept."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database; whoever is still connected afterwards is cut off."""
        if self._empty:
            name = self._empty.pop()
        else:
            name = f"hub_{uuid.uuid4().hex[:12]}"
            self.execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            # To make and drop one for every test costs four times as much.
            self.execute(_EMPTY, name)
            self._empty.append(name)

    def keep_tables_in(self, place: Path) -> None:
        """Have what is made from now on in its own database kept in another, empty directory; its log stays."""
        if self._user is not None:
            shutil.chown(place, self._user)
        self.execute(f"CREATE TABLESPACE elsewhere LOCATION '{place}'")
        self.execute("ALTER DATABASE postgres SET default_tablespace = elsewhere")

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.directory / "server.log").read_text()

    def execute(self, statement: str, name: str = "postgres") -> None:
        """Run one statement as the server's owner."""
        command = [_needed("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.url(name), "-c", statement]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()

    def __enter__(self) -> PostgresServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _needed(program: str) -> str:
    found = find_program(program)
    assert found is not None, f"{program} of PostgreSQL is not installed"
    return found


def _unprivileged() -> str:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise AssertionError("no user to run PostgreSQL as: it refuses root")
