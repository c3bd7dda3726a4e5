"""Reads one bot's directory: only its data, never its handler's code, reporting every fault at once."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.control.registry.directories import CONFIG, CREDENTIALS, EXAMPLE, bot_id_of, is_bot_id, is_missing
from app.core.document import Document, read_document
from app.core.errors import ConfigError, Fault
from app.core.shape import fit_document, keys_of
from app.feishu.crypto import aes_key
from app.model.bot import BOT_ID, BotConfig, BotSpec, Credentials

# Feishu's last redelivery comes 7.1 h after the first try (Feishu docs: redelivery).
_LAST_REDELIVERY: Final = 7.1 * 3600


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look into a bot's directory found."""

    id: str
    directory: Path
    spec: BotSpec | None
    """None if anything is wrong."""
    config: BotConfig | None = None
    """config.yaml, if that file is right: enough to check the handler while credentials are missing."""
    handler: str | None = None
    """The handler that config.yaml names, whatever else is wrong in it."""
    faults: tuple[Fault, ...] = ()
    warnings: tuple[str, ...] = ()
    unfilled: bool = False
    """Nothing is wrong except that credentials have no values yet."""
    mounted: tuple[Path, ...] = ()
    """Further files that the reading depends on."""


def read_bot(directory: Path, env: Mapping[str, str], stand_in: Credentials | None = None) -> BotSpec:
    """The bot of a directory; raises ConfigError with every fault of both files."""
    reading = examine(directory, env, stand_in)
    if reading.spec is None:
        raise ConfigError(reading.faults)
    return reading.spec


def examine(directory: Path, env: Mapping[str, str], stand_in: Credentials | None = None) -> Reading:
    """As `read_bot`, with warnings, and faults as data; `stand_in` serves where credentials.yaml has no values yet."""
    bot = bot_id_of(directory)
    faults: list[Fault] = []
    if not is_bot_id(bot):
        allowed = BOT_ID.pattern.replace(r"\Z", "$")
        faults.append(Fault(str(directory), "", f"the directory's name is the bot id and must match {allowed}"))

    config_file = _document(directory / CONFIG, env, "write a line `handler: NAME` into it")
    config, wrong = fit_document(BotConfig, config_file)
    if not config_file.faults and config_file.data.get("handler") is None:
        wrong.append(Fault(config_file.file, "handler", "missing: name the module in bots/ that answers this bot"))
    faults += wrong

    secrets_file = _document(directory / CREDENTIALS, env, _how_to_fill(directory))
    credentials, wrong = fit_document(Credentials, secrets_file)
    if not secrets_file.faults and _plain(secrets_file) and not config_file.data.get("allow_plaintext"):
        wrong.append(_refused(secrets_file.file))
    unfilled = bool(wrong) and _is_unfilled(secrets_file, wrong)
    digests = [config_file.digest, secrets_file.digest]
    if unfilled and stand_in is not None:
        credentials, wrong, unfilled = stand_in, [], False
        digests.append(_digest(stand_in))
    unfilled = unfilled and not faults
    faults += wrong

    spec = None
    if not faults and config is not None and credentials is not None:
        revision = hashlib.sha256("\n".join(digests).encode()).hexdigest()[:12]
        spec = _spec(bot, config, credentials, revision, directory)
    return Reading(
        id=bot,
        directory=directory,
        spec=spec,
        config=config,
        handler=_handler_in(config_file, faults),
        faults=tuple(faults),
        warnings=_warnings(directory, config, credentials),
        unfilled=unfilled,
        mounted=(*config_file.mounted, *secrets_file.mounted),
    )


def _handler_in(document: Document, faults: list[Fault]) -> str | None:
    wrong = any(fault.key == "handler" for fault in faults)
    found = document.data.get("handler")
    return found if isinstance(found, str) and not wrong else None


def _document(path: Path, env: Mapping[str, str], what_to_do: str) -> Document:
    if is_missing(path):
        return Document(str(path), {}, (Fault(str(path), "", f"missing: {what_to_do}"),))
    return read_document(path, env)


def _how_to_fill(directory: Path) -> str:
    names = ", ".join(key.path for key in keys_of(Credentials) if key.required)
    source = f"copy {EXAMPLE} to {CREDENTIALS}" if os.path.exists(directory / EXAMPLE) else f"write {CREDENTIALS}"
    return f"{source} and fill in {names} and encrypt_key from Feishu's developer console"


def _plain(document: Document) -> bool:
    """Whether no encrypt key is given at all (one that cannot be read is another fault)."""
    return ("encrypt_key",) not in document.unresolved and document.data.get("encrypt_key") in (None, "", [])


def _refused(file: str) -> Fault:
    return Fault(
        file,
        "encrypt_key",
        "empty: copy it from the developer console → Events & Callbacks → Encryption Strategy → Encrypt Key, "
        f"or accept events that anybody could write with `allow_plaintext: true` in {CONFIG}",
    )


def _is_unfilled(document: Document, faults: list[Fault]) -> bool:
    """Whether every fault is a credential without a value, as in a directory just added or copied."""
    if is_missing(Path(document.file)):
        return True
    absent = {key.path for key in keys_of(Credentials) if document.data.get(key.path) in (None, "", [])}
    return all(fault.key in absent for fault in faults)


def _digest(credentials: Credentials) -> str:
    secrets = (credentials.app_secret, *credentials.verification_token, None, *credentials.encrypt_key)
    shown = [
        credentials.app_id,
        credentials.domain,
        *(one.get_secret_value() if one else "" for one in secrets),
    ]
    return hashlib.sha256("\0".join(shown).encode()).hexdigest()


def _spec(bot: str, config: BotConfig, credentials: Credentials, revision: str, directory: Path) -> BotSpec:
    encrypt_keys = [key.get_secret_value() for key in credentials.encrypt_key]
    return BotSpec(
        id=bot,
        config=config,
        credentials=credentials,
        revision=revision,
        directory=str(directory),
        keys=tuple(aes_key(key) for key in encrypt_keys),
        tokens=tuple(token.get_secret_value().encode() for token in credentials.verification_token),
        encrypt_keys=tuple(key.encode() for key in encrypt_keys),
    )


def _warnings(directory: Path, config: BotConfig | None, credentials: Credentials | None) -> tuple[str, ...]:
    found: list[str] = []
    secrets = directory / CREDENTIALS
    try:
        if secrets.stat().st_mode & stat.S_IROTH:
            found.append(f"{secrets}: everybody on this machine can read it: chmod 600 {secrets}")
    except OSError:
        pass  # where it matters, its absence is a fault
    if config is not None:
        file = directory / CONFIG
        if config.allow_plaintext and (credentials is None or not credentials.encrypt_key):
            found.append(f"{file}: allow_plaintext: events are neither encrypted nor signed")
        if config.legacy_cards:
            found.append(f"{file}: legacy_cards: old card callbacks are proved by SHA-1 alone")
        if config.dedup_ttl < _LAST_REDELIVERY:
            found.append(f"{file}: dedup_ttl: below 7.1 h, so a late redelivery can be handled a second time")
        if config.max_age > config.dedup_ttl:
            found.append(
                f"{file}: max_age: over dedup_ttl, so a request that was recorded can be handled a second time"
            )
    return tuple(found)
