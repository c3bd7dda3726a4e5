"""Reads `database.url` into what the drivers take; no fault quotes the URL, which may hold a password."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.core.errors import ConfigError, Fault

_FORMS: Final = "sqlite, sqlite:///path or postgresql://user:password@host:port/name"
_MOST_PORT: Final = 65_535
# asyncpg takes what it knows as arguments, and fails with Python's own error at any other.
_TAKEN: Final = frozenset({"database", "host", "krbsrvname", "passfile", "password", "port", "ssl", "sslmode", "user"})
_ALSO_TAKEN: Final = frozenset({"gsslib", "prepared_statement_cache_size", "target_session_attrs"})


def driver_url(url: str, data_dir: Path) -> URL:
    """The URL with its driver named; ConfigError where it cannot be one that works."""
    if url == "sqlite":
        return URL.create("sqlite+aiosqlite", database=str(data_dir / "hub.db"))
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise _fault("it is not a URL") from None
    except ValueError:
        raise _fault("the port is no number, or a character of user or password needs quoting (@ as %40)") from None
    match parsed.drivername:
        case "sqlite" | "sqlite+aiosqlite":
            return parsed.set(drivername="sqlite+aiosqlite", database=parsed.database or str(data_dir / "hub.db"))
        case "postgresql" | "postgres" | "postgresql+asyncpg":
            return _of_postgres(parsed)
    raise _fault(f"{parsed.drivername}:// is not supported")


def _of_postgres(parsed: URL) -> URL:
    if not 0 < (parsed.port or 1) <= _MOST_PORT:
        raise _fault("there is no such port")
    query = dict(parsed.query)
    unknown = sorted(query.keys() - _TAKEN - _ALSO_TAKEN)
    if unknown:
        raise _fault(f"?{unknown[0]}= is no parameter of the driver, which takes {', '.join(sorted(_TAKEN))}")
    if "sslmode" in query:
        # libpq's name, which people have in their URLs, and asyncpg's for the same thing.
        query["ssl"] = query.pop("sslmode")
    return parsed.set(drivername="postgresql+asyncpg", query=query)


def _fault(problem: str) -> ConfigError:
    return ConfigError([Fault("HUB_DATABASE_URL", "database.url", f"{problem}; use {_FORMS}")])
