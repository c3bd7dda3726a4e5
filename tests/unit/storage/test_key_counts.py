"""What each data key of a bot still seals is told apart."""

from __future__ import annotations

from pathlib import Path

from app.core.keys import Keys
from app.core.redis import RedisLink
from app.storage.cipher import Cipher, record_identity
from app.storage.data_key import DataKey
from app.storage.database import Database
from app.storage.key_counts import Sealed, count_sealed
from app.storage.message import NewMessage
from app.storage.messages import Messages

DAY = 86_400_000
NEW, OLD, OTHER = b"newk", b"oldk", b"othk"


def cipher(key_id: bytes) -> Cipher:
    return Cipher("echo", {key_id: bytes(32)}, key_id)


def message(number: int, key_id: bytes, bot: str = "echo", day: int = 1) -> NewMessage:
    sealed = cipher(key_id).seal(b"hello", record_identity(f"e{number}"))
    return NewMessage(bot, f"e{number}", "in", "t", "oc_1", "ou_1", f"om_{number}", day * DAY, sealed)


async def test_each_key_is_counted_by_what_it_seals(
    link: RedisLink, keys: Keys, database_url: str, tmp_path: Path
) -> None:
    database = Database(database_url, tmp_path)
    messages = Messages(database)
    old = [message(1, OLD), message(2, OLD, day=2)]
    await messages.insert([*old, message(3, NEW, day=2), message(4, OTHER, "other")])
    for part, key_id in (("log", NEW), ("log", OLD), ("log", NEW), ("dead", OLD)):
        await link.commands.xadd(keys.bot("echo", part), {"e": "", "s": cipher(key_id).seal(b"x", b"y")})
    await link.commands.xadd(keys.bot("echo", "dead"), {"e": "damaged"})
    await link.commands.xadd(keys.bot("other", "log"), {"e": "", "s": ""})

    held = {"echo": [DataKey("echo", NEW, b"", b""), DataKey("echo", OLD, b"", b"")]}
    held["other"] = [DataKey("other", OTHER, b"", b"")]
    assert await count_sealed(link, keys, messages, held) == [
        Sealed("echo", NEW.hex(), seals=True, stored=1, waiting=2, dead=0),
        Sealed("echo", OLD.hex(), seals=False, stored=2, waiting=1, dead=1),
        Sealed("other", OTHER.hex(), seals=True, stored=1, waiting=1, dead=0),
    ]
    await database.close()
