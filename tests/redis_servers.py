"""Redis-compatible servers of a test's own: single ones, a Sentinel's, a Cluster's."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from app.core.engine import find_binary
from tests.ports import free_port
from tests.waiting import wait_until


class Server:
    """One server process, on a unix socket and, if a port is given, on loopback too."""

    def __init__(self, *flags: str, port: int = 0, binary: str | None = None, config: str | None = None) -> None:
        # Not under pytest's directory: a socket's path has room for about 100 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="hub-test-"))
        self.path = self.directory / "server.sock"
        self.port = port
        command = [binary or find_binary()]
        if config is not None:
            (self.directory / "server.conf").write_text(config)
            command += [str(self.directory / "server.conf"), "--sentinel"]
        command += ["--port", str(port), "--unixsocket", str(self.path), "--unixsocketperm", "700"]
        if "--cluster-enabled" in flags and "--cluster-port" not in flags:
            # The default, 10,000 above, may be that of an outgoing connection just now.
            command += ["--cluster-port", str(free_port())]
        command += ["--dir", str(self.directory), "--logfile", str(self.directory / "server.log"), *flags]
        self._process = subprocess.Popen(command)
        try:
            wait_until(self._answers)
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Its unix socket's URL."""
        return f"unix://{quote(str(self.path))}"

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def close(self) -> None:
        """Kill it and remove what it kept."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the test server ended at once"
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                client.connect(str(self.path))
                client.sendall(b"PING\r\n")
                return client.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False  # not listening yet
