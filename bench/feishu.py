"""A local Feishu as a process of its own: who the bots are, and where their answers go."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from http.client import HTTPConnection
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from bench.events import App
from bench.machine import pinned


class Feishu:
    """The playground; ended with the block."""

    def __init__(self, apps: Sequence[App], *, core: int | None = None) -> None:
        self._apps = apps
        self._core = core
        self._process: subprocess.Popen[str]
        self._link: HTTPConnection
        self._token = ""
        self.url = ""
        """Address of the Open API."""

    def __enter__(self) -> Feishu:
        command = pinned(self._core, [sys.executable, "-m", "app.control.playground"])
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the playground did not start: its error stands above")
        said = json.loads(line)
        self.url, self._token = said["url"], said["token"]
        self._link = HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        for app in self._apps:
            self.add(app)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link.close()
        self._process.kill()
        self._process.wait()

    def add(self, app: App, event_url: str = "") -> None:
        """An app; its events go to `event_url`, to nobody where there is none."""
        self.control(
            "POST",
            "/apps",
            app_id=app.app_id,
            app_secret=app.secret,
            name=app.bot,
            encrypt_key=app.encrypt_key,
            verification_token=app.token,
            event_url=event_url,
        )

    @property
    def credentials(self) -> tuple[str, str]:
        """Address and token of the control API."""
        return f"{self.url}/_playground", self._token

    def control(self, method: str, path: str, **values: Any) -> Any:
        """Ask the control API; its answer's JSON."""
        headers = {"X-Playground-Token": self._token, "Content-Type": "application/json"}
        body = json.dumps(values) if method == "POST" else None
        self._link.request(method, f"/_playground{path}", body, headers)
        answer = self._link.getresponse()
        document = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"the playground refused {path}: {document}")
        return document
