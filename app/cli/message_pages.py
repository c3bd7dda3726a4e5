"""How messages of the store look: a table, a page, a JSON document, a line of CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from app.cli.tables import instant, print_rows, printable
from app.feishu.plain_text import searchable_text, text_of

if TYPE_CHECKING:
    from app.storage.audit import Reveal
    from app.storage.message import MessageInfo
    from app.storage.reveal import Opened

_CSV: Final = ("id", "created", "bot", "direction", "type", "chat_id", "user_id", "message_id", "text")
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def print_page(page: Sequence[MessageInfo], opened: Sequence[Opened] = ()) -> None:
    """A page of messages for people; with their text where they are `opened`."""
    rows = [
        {
            "id": info.id,
            "time": instant(info.created / 1000),
            "bot": info.bot,
            "chat": info.chat_id or "-",
            "way": info.direction,
            "type": info.type if info.state == "kept" else f"{info.type} ({info.state})",
        }
        for info in page
    ]
    for row, one in zip(rows, opened, strict=bool(opened)):
        row["text"] = " ".join((one.fault or searchable_text(one.content)).split())
    columns = ("id", "time", "bot", "chat", "way", "type", *(["text"] if opened else []))
    print_rows(rows, columns, none="no messages found", folds=("chat", "text"))


def print_audit(page: Sequence[Reveal]) -> None:
    """A page of the audit for people."""
    rows = [
        {
            "time": instant(one.created / 1000),
            "who": one.who,
            "how": one.action,
            "bot": one.bot,
            "which": one.which,
            "why": one.why,
        }
        for one in page
    ]
    columns = ("time", "who", "how", "bot", "which", "why")
    print_rows(rows, columns, none="no message was opened", folds=("which", "why"))


def as_document(info: MessageInfo, opened: Opened | None = None) -> dict[str, Any]:
    """A message for programs, with its content if it is opened."""
    document = asdict(info) | {"created": _utc(info.created)}
    if opened is None:
        return document
    if opened.fault is not None:
        return document | {"fault": opened.fault}
    return document | {"text": text_of(opened.content), "content": opened.content}


def as_csv() -> Callable[[Opened], str]:
    """Makes lines of CSV, the head before the first; cells are text and never a formula."""
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(_CSV)

    def line(opened: Opened) -> str:
        document = as_document(opened.info) | {"text": searchable_text(opened.content)}
        cells = [str(document[name]) for name in _CSV]
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
        written = lines.getvalue()
        lines.seek(0)
        lines.truncate()
        return written

    return line


def as_page(opened: Opened, about: Sequence[MessageInfo] = ()) -> str:
    """One message for people: what is known of it, what followed, and its text (or, where it has none, its JSON)."""
    info = opened.info
    facts = {
        "id": str(info.id),
        "time": _local(info.created),
        "bot": info.bot,
        "way": info.direction,
        "type": info.type,
        "chat": info.chat_id,
        "user": info.user_id,
        "message": info.message_id,
        "key": info.key,
    }
    lines = [f"{name:<8} {value}" for name, value in facts.items() if value]
    lines += [f"{'also':<8} {other.id}: {other.type}, {_local(other.created)}" for other in about]
    text = opened.fault or text_of(opened.content)
    if text is None:
        text = orjson.dumps(opened.content, option=orjson.OPT_INDENT_2).decode()
    return printable("\n".join([*lines, "", text]), keep="\n\t")


def _utc(created: int) -> str:
    return datetime.fromtimestamp(created / 1000, UTC).isoformat()


def _local(created: int) -> str:
    return datetime.fromtimestamp(created / 1000, UTC).astimezone().isoformat(" ", "seconds")
