"""Logs: JSON lines for machines, coloured lines for people; constant sentences with fields, never message text."""

from __future__ import annotations

import io
import logging
import sys
from typing import Any, Literal, TextIO, cast

# structlog takes rich along, for tracebacks in colours, if it is there: 11 MiB and 0.2 s of every process' start.
_rich = sys.modules.get("rich")
sys.modules["rich"] = cast(Any, None)  # to an import: it is not there
import structlog  # noqa: E402
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger  # noqa: E402

if _rich is None:
    del sys.modules["rich"]
else:
    sys.modules["rich"] = _rich

LogFormat = Literal["json", "console"]

# What an author or a library may pass by mistake; the values never reach a line.
_NEVER = frozenset({"text", "content", "body", "app_secret", "encrypt_key", "verification_token", "token", "card"})


def _no_secrets(_logger: WrappedLogger, _name: str, fields: EventDict) -> EventDict:
    for key in _NEVER & fields.keys():
        fields[key] = "<hidden>"
    return fields


class _StandardError(io.TextIOBase):
    """Standard error as it is when a line is written: loggers outlive what a test or a command puts in its place.

    A line that cannot be written, to a full disk or a reader that is gone, is lost and ends nothing else.
    """

    def write(self, text: str) -> int:
        try:
            return sys.stderr.write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            sys.stderr.flush()
        except OSError:
            pass  # as above


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
        # Its own choice of traceback would print local values: what people wrote, and secrets.
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _StandardError())),
        cache_logger_on_first_use=True,
    )
    # Libraries log little and only what goes wrong; theirs go the same way out, in the same form.
    handler = logging.StreamHandler(cast(TextIO, _StandardError()))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def get_logger(name: str) -> FilteringBoundLogger:
    """The logger of a module."""
    logger: FilteringBoundLogger = structlog.get_logger(module=name)
    return logger
