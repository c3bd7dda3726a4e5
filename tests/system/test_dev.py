"""`feishu-hub dev` where a hub's own settings, a proxy and real credentials are at hand: it stays a trial."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys

import pytest

from tests.ports import free_port
from tests.system.hub_process import INHERITED, feishu_hub
from tests.system.world import Site
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.system

# Nothing listens there: whoever used one of these could not answer.
NOWHERE = "127.0.0.1:1"
ELSEWHERE = {
    "HUB_REDIS_URL": f"redis://{NOWHERE}/0",
    "HUB_DATABASE_URL": f"postgresql://hub@{NOWHERE}/hub",
    **{name: f"http://{NOWHERE}" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")},
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_trial_keeps_to_itself_and_leaves_real_apps_to_feishu(site: Site) -> None:
    site.bot("real")
    (site.config / "tried").mkdir()
    (site.config / "tried" / "config.yaml").write_text("handler: repeat\n")
    host, port, data_dir, log = loopback(), free_port(), site.root / "trial", site.root / "said"
    own = site.root / "own"
    env = ELSEWHERE | {"HUB_DATA_DIR": str(own)}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.cli.main", "dev", "-c", str(site.config), "--bots", str(site.bots_dir)),
            *("--data-dir", str(data_dir), "--host", host, "--port", str(port), "--admin-port", "0"),
            env={**INHERITED, **env},
            stdout=output,
            stderr=output,
        )
    try:
        await until(lambda: "Ctrl-C stops it" in log.read_text())
        told = log.read_text()
        assert re.search(r"playground +http://127\.0\.0\.1:[1-9][0-9]+/playground", told)
        assert "real: its credentials.yaml is filled in" in told
        assert "tried: its" not in told
        assert f"data         {data_dir}" in told

        where = ("--data-dir", str(data_dir))
        assert await feishu_hub("say", "tried", "hello", *where, env=env) == (0, "echo hello\n", "")
        status, said, _ = await feishu_hub("say", "real", "hello", *where, env=env)
        assert (status, said) == (1, ""), "the playground has no such bot"
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        site.apps["real"].event_url = site.apps["real"].callback_url = f"{url}/webhook/real"
        assert await site.asks("real", "hello") == "echo hello"
        # A command about the trial does not go to the hub elsewhere either.
        status, _, errors = await feishu_hub("dead", "list", "-c", str(site.config), *where, env=env)
        assert status == 0, errors
        assert not own.exists()
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0, log.read_text()


def loopback() -> str:
    """IPv6's where there is any."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return "127.0.0.1"
    return "::1"
