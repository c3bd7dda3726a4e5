"""Logs: JSON lines for machines, coloured lines for people; constant sentences with fields, never message text."""

from __future__ import annotations

import io
import logging
import sys
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

LogFormat = Literal["json", "console"]

# What an author or a library may pass by mistake; the values never reach a line.
_NEVER = frozenset({"text", "content", "body", "app_secret", "encrypt_key", "verification_token", "token", "card"})


def _no_secrets(_logger: WrappedLogger, _name: str, fields: EventDict) -> EventDict:
    for key in _NEVER & fields.keys():
        fields[key] = "<hidden>"
    return fields


class _StandardError(io.TextIOBase):
    """Standard error as it is when a line is written: loggers outlive what a test or a command puts in its place."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure_logs(form: LogFormat = "json", level: str = "INFO") -> None:
    """Set up logging for this process; called once by each process' entry."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _no_secrets,
    ]
    last: list[Any]
    if form == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _StandardError())),
        cache_logger_on_first_use=True,
    )
    # Libraries log little and only what goes wrong; theirs go the same way out.
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr, force=True)


def get_logger(name: str) -> FilteringBoundLogger:
    """The logger of a module."""
    logger: FilteringBoundLogger = structlog.get_logger(module=name)
    return logger
