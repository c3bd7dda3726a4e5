"""The playground as `feishu-hub dev` sets it up: an app for every bot, some people, a group, and the chat page."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from pydantic import SecretStr

from app.control.playground.asgi import AsgiApp, Receive, Scope, Send
from app.control.playground.playground import Playground
from app.core.sections import url_here
from app.model.bot import Credentials
from app.model.catalog import Catalog

_PEOPLE: Final = ("小明", "Alice", "王芳")
_GROUP: Final = "试验群 Playground"
_NOTE: Final = "playground.json"
"""Says, in the data directory, where a playground runs on it."""
_PREFIXES: Final = ("/open-apis/", "/playground", "/_playground/")


class Running(Protocol):
    """The node that was started: where it listens and which bots it has."""

    @property
    def public(self) -> tuple[str, int]: ...
    @property
    def registry(self) -> Catalog: ...
    @property
    def token_file(self) -> Path: ...


class Stage:
    """Gives bots credentials of the playground, random for each data directory, and draws the scene.

    A bot whose credentials.yaml is filled in keeps those: it is Feishu's, and has no place here.
    """

    def __init__(self, data_dir: Path, *, address: str) -> None:
        """`address` is where the admin listener is reached."""
        self._address = address
        self._data_dir = data_dir
        self._secret = _kept_secret(data_dir / "playground.key")
        self._note = data_dir / _NOTE
        self._playground: Playground | None = None

    def credentials(self, bot: str) -> Credentials:
        """What stands in for a credentials.yaml that is missing, or has no values yet."""
        return Credentials(
            app_id=f"cli_{self._derived(bot, 'app_id')[:16]}",
            app_secret=SecretStr(self._derived(bot, "app_secret")),
            verification_token=(SecretStr(self._derived(bot, "verification_token")[:32]),),
            encrypt_key=(SecretStr(self._derived(bot, "encrypt_key")[:32]),),
            domain=self._address,
        )

    def beside(self, admin: AsgiApp) -> AsgiApp:
        """The admin app with the playground in front of it, on the same port."""
        playground = self._playground = Playground()
        # For commands beside it: `feishu-hub say` drives the playground, `alerts test` sends into it.
        self._note.touch(mode=0o600)
        self._note.write_text(json.dumps({"address": self._address, "token": playground.control_token}))

        async def both(scope: Scope, receive: Receive, send: Send) -> None:
            mine = scope["type"] == "http" and scope["path"].startswith(_PREFIXES) and _is_local(scope)
            await (playground.app if mine else admin)(scope, receive, send)

        return both

    async def close(self) -> None:
        """Let go of what is under way."""
        if self._playground is not None:  # else the note is that of the hub which was here before
            self._note.unlink(missing_ok=True)
            await self._playground.close()

    async def open(self, node: Running) -> None:
        """Put the node's bots on the stage and tell where to look."""
        playground = self._playground
        assert playground is not None
        public = url_here(*node.public)
        people = [playground.add_user(name) for name in _PEOPLE]

        def enter(bots: frozenset[str]) -> None:
            for bot in sorted(bots & node.registry.bots.keys()):
                own = self.credentials(bot)
                if node.registry.bots[bot].credentials.app_id != own.app_id:
                    real = f"{bot}: its credentials.yaml is filled in: it sends to Feishu itself, not to the playground"
                    _tell(f"    {real} · 真实应用")
                    continue
                url = f"{public}/webhook/{bot}"
                app = playground.add_app(
                    own.app_id,
                    own.app_secret.get_secret_value(),
                    bot,
                    own.encrypt_key[0].get_secret_value(),
                    own.verification_token[0].get_secret_value(),
                    url,
                    url,
                )
                for person in people:
                    playground.p2p_chat(app, person)
                if app not in group.apps:
                    group.apps.append(app)

        group = playground.group(_GROUP, [], people)
        enter(frozenset(node.registry.bots))
        node.registry.subscribe(enter)
        _tell(
            f"""
  Feishu Hub is running · 飞书机器人网关已启动

    playground   {self._address}/playground    write to a bot here · 在这里和机器人聊天
    dashboard    {self._address}/dashboard    bots, limits, alerts · 机器人、限流、告警
    webhook      {public}/webhook/<bot_id>
    admin        {self._address}/docs    metrics at /metrics, health at /health
    bots         {", ".join(sorted(node.registry.bots)) or "none"}
    data         {self._data_dir}    an engine and a database of its own, whatever hub.yaml and HUB_… name
    token        {node.token_file}    for dashboard and admin

  Ctrl-C stops it.
"""
        )

    def _derived(self, bot: str, what: str) -> str:
        return hmac.new(self._secret, f"{bot}\n{what}".encode(), hashlib.sha256).hexdigest()


def running_credentials(data_dir: Path) -> Callable[[str], Credentials] | None:
    """What the `dev` that runs on a data directory gave to its bots; None where none runs."""
    try:
        address = json.loads((data_dir / _NOTE).read_text())["address"]
    except (OSError, ValueError, KeyError):
        return None
    return Stage(data_dir, address=address).credentials


def _is_local(scope: Scope) -> bool:
    """Whether it was asked for by a local name: a foreign name that points here is a page that wants the token."""
    host: bytes = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return host.rpartition(b":")[0] in (b"127.0.0.1", b"localhost", b"[::1]") or host in (b"127.0.0.1", b"localhost")


def _kept_secret(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
