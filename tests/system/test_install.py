"""What `pip install .` puts on a machine is the whole hub: built, installed, and run far from the checkout."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.ports import free_port
from tests.system.hub_process import INHERITED, HubProcess
from tests.system.world import Site
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.system

CHECKOUT = Path(__file__).parents[2]
SOURCES = ("app", "bots", "pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True)
class Installed:
    """A hub that pip has put somewhere: where, and how it is begun."""

    place: Path
    python: Path
    env: dict[str, str]

    @property
    def command(self) -> tuple[str, str]:
        """`feishu-hub`, as it was installed."""
        return str(self.python), str(self.place / "bin" / "feishu-hub")


@pytest.fixture(scope="module", params=["here", pytest.param("clean", marks=pytest.mark.long)])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Beside what the tests' own environment has; in a long run also where nothing was, with all from the index."""
    base = tmp_path_factory.getbasetemp()
    # Each process of a run has a directory in the run's.
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"install-{request.param}"
    root.mkdir(exist_ok=True)
    clean = request.param == "clean"
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "done").exists():
            install(root, clean=clean)
            (root / "done").touch()
    site = root / "site"
    if clean:
        return Installed(site, site / "bin" / "python", INHERITED)
    # There `app` is the installed one, and the checkout is nowhere.
    return Installed(site, Path(sys.executable), {**INHERITED, "PYTHONPATH": str(site)})


def install(root: Path, *, clean: bool) -> None:
    """Build the wheel and have pip install it, which takes as long as all that is tested of it."""
    source = root / "source"
    source.mkdir()
    for name in SOURCES:
        path = CHECKOUT / name
        ignored = shutil.ignore_patterns("__pycache__")
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=ignored)
        else:
            shutil.copy(path, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    if clean:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / "site"], check=True)
        python = root / "site" / "bin" / "python"
        subprocess.run([*pip, "--python", python, "install", f"{source}[postgres]"], check=True, cwd=root)
        return
    wheels = root / "wheels"
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", wheels, source], check=True, cwd=root
    )
    [wheel] = wheels.glob("feishu_hub-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", root / "site", wheel], check=True, cwd=root)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A working directory of the user's own."""
    path = tmp_path / "elsewhere"
    path.mkdir()
    return path


async def feishu_hub(installed: Installed, cwd: Path, *arguments: str | Path) -> str:
    """The command that pip has installed; what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(*installed.command, *map(str, arguments)),
        cwd=cwd,
        env=installed.env,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, printed.decode()
    return printed.decode()


@asynccontextmanager
async def running(
    installed: Installed, cwd: Path, hub: HubProcess, *arguments: str | Path
) -> AsyncIterator[HubProcess]:
    """A hub of the installed command."""
    hub.log = cwd / "hub.log"
    with hub.log.open("ab") as output:
        hub.process = await asyncio.create_subprocess_exec(
            *(*installed.command, *map(str, arguments)),
            *("--port", str(hub.port), "--admin-port", str(hub.admin_port)),
            cwd=cwd,
            env=installed.env,
            stdout=output,
            stderr=output,
        )
    try:
        await hub.until_ready(60)
        yield hub
    finally:
        hub.signal(signal.SIGTERM)
        assert await hub.ended() == 0, hub.said()


def test_it_is_the_installed_package_that_runs(installed: Installed, elsewhere: Path) -> None:
    found = subprocess.run(
        [installed.python, "-c", "import app, bots.echo; print(app.__path__[0], bots.echo.__file__)"],
        cwd=elsewhere,
        env=installed.env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.count(str(installed.place)) == 2
    assert str(CHECKOUT / "app") not in found.stdout


async def test_it_runs_a_directory_of_the_users_own(installed: Installed, elsewhere: Path, site: Site) -> None:
    """With a handler from `bots/` beside it, and one of the installed examples."""
    site.bot("mine", handler="repeat")
    site.bot("example", handler="echo")
    shutil.move(site.bots_dir, elsewhere / "bots")
    hub = HubProcess(site.config, elsewhere / "data", free_port(), free_port())
    arguments = ("run", "-c", site.config, "--host", "127.0.0.1", "--data-dir", hub.data_dir)
    async with running(installed, elsewhere, hub, *arguments):
        site.point_at(hub)
        assert await site.asks("mine", "hello") == "echo hello"
        said = await site.says("example", "hello")
        await until(lambda: site.replies(said))
        await hub.stored("mine", 2)
        where = ("-c", site.config, "--data-dir", hub.data_dir)
        assert "mine" in await feishu_hub(installed, elsewhere, "messages", "list", *where)
        async with aiohttp.ClientSession() as session, session.get(f"{hub.admin_url}/docs") as page:
            assert page.status == 200


async def test_dev_brings_its_page_and_examples_along(installed: Installed, elsewhere: Path) -> None:
    hub = HubProcess(elsewhere / "config", elsewhere / "data" / "dev", free_port(), free_port())
    async with running(installed, elsewhere, hub, "dev"), aiohttp.ClientSession() as session:
        async with session.get(f"{hub.admin_url}/playground/") as answer:
            assert answer.status == 200
            page = await answer.text()
        files = re.findall(r'(?:src|href)="([^":]+\.(?:js|css|svg))"', page)
        assert files
        for file in files:
            async with session.get(f"{hub.admin_url}/playground/{file.removeprefix('/playground/')}") as answer:
                assert answer.status == 200, file
        assert "echo" in str(await hub.api("GET", "/bots"))


async def test_new_bot_from_its_templates(installed: Installed, elsewhere: Path) -> None:
    await feishu_hub(installed, elsewhere, "bots", "add", "fresh")
    assert (elsewhere / "config" / "fresh" / "config.yaml").exists()
