"""Directories of bots that cannot be looked into, as somebody who is not root meets them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.control.registry.snapshot import Registry
from tests.unit.control.registry.conftest import WriteBot

NOBODY = 65534


def test_what_cannot_be_looked_into_fails_alone_and_keeps_its_last_good_version(write_bot: WriteBot) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        root.chmod(0o755)
        for bot in ("closed", "linked", "other", "whole"):
            shutil.move(write_bot(bot), root / bot)
        for file in root.rglob("*.yaml"):
            file.chmod(0o644)
        registry = Registry(root, {})
        registry.load()
        before = registry.stamps()

        vault = root / ".vault"
        vault.mkdir()
        (root / "linked" / "credentials.yaml").rename(vault / "credentials.yaml")
        (root / "linked" / "credentials.yaml").symlink_to(vault / "credentials.yaml")
        (root / "loop").symlink_to("loop")
        (root / "beyond").symlink_to(vault / "bot")
        shutil.move(write_bot("new"), root / "new")
        (root / "new" / "credentials.yaml").chmod(0o644)
        shutil.rmtree(root / "other")
        (root / "lost+found").mkdir(0)
        vault.chmod(0)
        (root / "closed").chmod(0)
        with unprivileged():
            changed = {bot for bot, stamp in registry.stamps().items() if before.get(bot) != stamp}
            registry.load(everything=False)
        (root / "closed").chmod(0o755)

        assert changed == {"closed", "linked", "loop", "beyond", "new"}
        assert {bot: status.state for bot, status in registry.statuses.items()} == {
            "beyond": "broken",
            "closed": "outdated",
            "linked": "outdated",
            "loop": "broken",
            "new": "ready",
            "whole": "ready",
        }
        assert set(registry.bots) == {"closed", "linked", "new", "whole"}
        for bot, why in (("closed", "Permission denied"), ("linked", "Permission denied"), ("loop", "symbolic links")):
            assert why in str(registry.faults[bot][0])
        registry.load(everything=False)
        assert registry.statuses["closed"].state == "ready"


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may look into everything: what is closed has to be tried as somebody else."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
