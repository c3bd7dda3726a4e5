"""The admin API of a running hub, as commands ask it."""

from __future__ import annotations

import http.client
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from app.core.errors import HubError

_TIMEOUT: Final = 120.0

Part = tuple[str, str, bytes]
"""A file of a form: the field, the file's name, its bytes."""


@dataclass(frozen=True, slots=True)
class AdminApi:
    """One hub's; errors are HubErrors that say what the hub said."""

    address: str
    token: str = field(repr=False)
    timeout: float = _TIMEOUT

    @classmethod
    def of(cls, config: Path, data_dir: Path | None, address: str | None) -> AdminApi:
        """Where hub.yaml and the environment say that it is, with the admin token; `address` goes over it."""
        from app.cli.settings import settings_of
        from app.core.sections import url_here

        if address is not None and not address.startswith(("http://", "https://")):
            raise HubError(f"--api {address}: expected an address such as http://127.0.0.1:9091")
        settings = settings_of(config, data_dir)
        admin = settings.server.admin
        if settings.admin_token is not None:
            token = settings.admin_token.get_secret_value()
        else:
            path = settings.data_dir / "admin_token"
            try:
                token = path.read_text().strip()
            except OSError:
                raise HubError(
                    f"no hub has run on {settings.data_dir}: name its data directory with --data-dir "
                    "(`feishu-hub dev` keeps its own in data/dev), or set HUB_ADMIN_TOKEN"
                ) from None
        return cls((address or url_here(admin.host, admin.port)).rstrip("/"), token)

    def get(self, path: str) -> Any:
        return self._read(self._ask("GET", path))

    def delete(self, path: str) -> Any:
        return self._read(self._ask("DELETE", path))

    def post(self, path: str, document: Any, part: Part | None = None, headers: Mapping[str, str] | None = None) -> Any:
        """Post a document, with a file beside it if there is one."""
        body, kind = json.dumps(document).encode(), "application/json"
        if part is not None:
            boundary = secrets.token_hex(16)
            name, filename, data = part
            quoted = filename.replace("\\", "_").replace('"', "_").replace("\r", "_").replace("\n", "_")
            head = f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{quoted}"\r\n\r\n'
            start = f'--{boundary}\r\nContent-Disposition: form-data; name="message"\r\n\r\n'.encode()
            body = start + body + head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
            kind = f"multipart/form-data; boundary={boundary}"
        return self._read(self._ask("POST", path, body, {"Content-Type": kind, **(headers or {})}))

    def events(self, path: str) -> Iterator[Any]:
        """What a stream of server-sent events tells, until it ends."""
        with self._ask("GET", path) as answer:
            try:
                for line in answer:
                    if line.startswith(b"data: "):
                        yield json.loads(line[6:])
            except (OSError, http.client.HTTPException) as error:
                raise HubError(f"the hub at {self.address} went away: {error}") from None

    def _read(self, answer: Any) -> Any:
        try:
            with answer:
                return json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise HubError(f"the hub at {self.address} went away: {error}") from None
        except ValueError:
            raise HubError(
                f"what answers at {self.address} is no hub's admin listener: see server.admin.port"
            ) from None

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        request = urllib.request.Request(f"{self.address}/api/v1{path}", method=method, data=body, headers=headers)
        try:
            # No proxy: the hub is here, or where --api says.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            return opener.open(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            said = _said(error)
            if error.code == 401:
                raise HubError(
                    f"the hub at {self.address} does not take this admin token: HUB_ADMIN_TOKEN, else the file "
                    "admin_token of the data directory, is another hub's (--data-dir names another directory)"
                ) from None
            raise HubError(f"the hub refused: {said}") from None
        except (OSError, http.client.HTTPException):
            raise HubError(f"no hub answers at {self.address}: is one running? --api names another address") from None


def _said(error: urllib.error.HTTPError) -> str:
    try:
        with error:
            return str(json.loads(error.read())["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"
