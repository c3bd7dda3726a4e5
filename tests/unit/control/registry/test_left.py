"""A bot whose directory is gone is told of as long as something waits for it."""

from __future__ import annotations

from pathlib import Path

from cryptography.fernet import Fernet

from app.control.registry.left import LeftBehind
from app.core.keys import Keys
from app.core.redis import RedisLink
from app.queue.depths import Depth
from app.queue.mailbox import Mailbox
from app.storage.database import Database
from app.storage.keyring import Keyring
from app.storage.master_key import MasterKey
from app.storage.vault import DatabaseVault
from tests.unit.queue.incoming import incoming


async def test_it_is_found_by_its_key_here_or_in_the_database(link: RedisLink, keys: Keys, tmp_path: Path) -> None:
    database = Database("sqlite", tmp_path)
    vault = DatabaseVault(database)
    assert await vault.bots() == frozenset()
    assert await database.revision() is None, "a look must not make the database"
    elsewhere = Keyring(MasterKey([Fernet.generate_key().decode()], "a test"), link, keys, tmp_path / "other", vault)
    here = Keyring(elsewhere.master, link, keys, tmp_path / "keys")
    for keyring, bot in ((here, "mine"), (elsewhere, "theirs"), (here, "idle"), (here, "configured")):
        await keyring.cipher(bot)
    await elsewhere.close()
    await Mailbox(link, keys).accept([incoming("e1", bot=bot) for bot in ("mine", "theirs", "configured")])

    found = await LeftBehind(link, keys, here, vault).read({"configured"})
    assert found == {"mine": Depth(1, 0), "theirs": Depth(1, 0)}
    of_one_bot = Keys(keys.prefix, group="configured")
    assert await LeftBehind(link, of_one_bot, here, vault).read({"configured"}) == {}
    await here.close()
    await database.close()
