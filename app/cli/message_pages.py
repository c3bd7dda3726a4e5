"""How messages of the store look: a table, a page, a JSON document, a line of CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from app.feishu.plain_text import searchable_text, text_of

if TYPE_CHECKING:
    from rich.table import Table

    from app.storage.audit import Reveal
    from app.storage.message import MessageInfo
    from app.storage.reveal import Opened

_CSV: Final = ("id", "created", "bot", "direction", "type", "chat_id", "user_id", "message_id", "text")
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def as_table(page: Sequence[MessageInfo], opened: Sequence[Opened] = ()) -> Table:
    """A page of messages for people; with their text where they are `opened`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    heads = ["ID", "TIME", "BOT", "CHAT", "WAY", "TYPE", *(["TEXT"] if opened else [])]
    table = Table(*heads, box=box.SIMPLE_HEAD)
    for place, info in enumerate(page):
        kind = info.type if info.state == "kept" else f"{info.type} ({info.state})"
        cells = [str(info.id), _local(info.created), info.bot, info.chat_id or "-", info.direction, kind]
        if opened:
            cells.append(opened[place].fault or searchable_text(opened[place].content))
        # Text, not str: an id must not be read as markup.
        table.add_row(*(Text(printable(cell), overflow="fold") for cell in cells))
    return table


def audit_table(page: Sequence[Reveal]) -> Table:
    """A page of the audit for people."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("TIME", "WHO", "HOW", "BOT", "WHICH", "WHY", box=box.SIMPLE_HEAD)
    for one in page:
        cells = (_local(one.created), one.who, one.action, one.bot, one.which, one.why)
        table.add_row(*(Text(printable(cell), overflow="fold") for cell in cells))
    return table


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
    return printable("\n".join([*lines, "", text]))


def printable(text: str) -> str:
    """Text that cannot steer the terminal it is shown on."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _utc(created: int) -> str:
    return datetime.fromtimestamp(created / 1000, UTC).isoformat()


def _local(created: int) -> str:
    return datetime.fromtimestamp(created / 1000, UTC).astimezone().isoformat(" ", "seconds")
