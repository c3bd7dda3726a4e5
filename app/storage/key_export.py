"""Writes wrapped data keys to a file, and takes them into a hub that was restored without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from app.core.errors import HubError, SealBroken
from app.storage.data_key import DataKey, unwrap
from app.storage.key_record import KeyRecord
from app.storage.keyring import Keyring
from app.storage.private_files import create_private
from app.storage.vault import DatabaseVault

_FORMAT: Final = 1


def write_export(path: Path, keys: Mapping[str, Sequence[DataKey]]) -> None:
    """Write the wrapped keys, mode 0600; HubError where a file stands already or cannot be written."""
    wrapped = {bot: [key.wrapped.decode() for key in held] for bot, held in keys.items()}
    document = {"feishu-hub data keys": _FORMAT, "keys": wrapped}
    try:
        create_private(path.absolute(), orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    except FileExistsError:
        raise HubError(f"{path} is there already: name another file") from None
    except OSError as error:
        raise HubError(f"{path} cannot be written: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the keys of a file."""

    taken: int
    shredded: int
    """Keys that were shredded here: they are not brought back."""


async def read_export(path: Path, keyring: Keyring, vault: DatabaseVault) -> Imported:
    """Take the keys of an export into Redis and the database; those that are there already stay as they are.

    HubError, and nothing changed, when one of them does not open under the master key.
    """
    keys = _opened(path, keyring)
    taken = shredded = 0
    for bot, held in keys.items():
        name = keyring.shared.name(bot)
        while True:
            value = await keyring.shared.get(name)
            record = KeyRecord.parse(value)
            wanted = [key for key in held if key.key_id not in record.destroyed]
            have = {unwrap(keyring.master, bot, wrapped).key_id for wrapped in record.wrapped}
            new = [key for key in wanted if key.key_id not in have]
            merged = KeyRecord(
                (*record.wrapped, *(key.wrapped for key in new)),
                record.destroyed,
                record.absent - {key.key_id for key in wanted},
            ).packed()
            if value is None:
                value = await keyring.shared.set_once(name, merged)
            if value == merged or await keyring.shared.replace(name, value, merged):
                break
        if wanted:
            await vault.keep(wanted, keyring.master.opener)
        keyring.drop(bot)
        taken += len(new)
        shredded += len(held) - len(wanted)
    return Imported(taken, shredded)


def _opened(path: Path, keyring: Keyring) -> dict[str, list[DataKey]]:
    try:
        document = orjson.loads(path.read_bytes())
        if document["feishu-hub data keys"] != _FORMAT:
            raise HubError(f"{path} is of a newer hub: import it with that version or a later one")
        return {
            str(bot): [unwrap(keyring.master, bot, wrapped.encode()) for wrapped in wrapped_keys]
            for bot, wrapped_keys in document["keys"].items()
        }
    except OSError as error:
        raise HubError(f"{path} cannot be read: {error.strerror}") from error
    except SealBroken as error:
        raise HubError(
            f"{path}: a key in it {error}: give this hub the master key of that time too (the current one first); "
            "nothing was changed"
        ) from error
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise HubError(f"{path} is not what `feishu-hub keys export` writes") from None
