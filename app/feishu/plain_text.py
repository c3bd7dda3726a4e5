"""The words that a person reads in an event or a sent message, without the structure around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

# Where the elements of cards have what they show.
_SHOWN: Final = (
    "title",
    "text",
    "content",
    "placeholder",
    "elements",
    "body",
    "header",
    "fields",
    "columns",
    "actions",
)

# Feishu's cards nest a few levels; one that nests deeper than the interpreter can go must not end whoever reads it.
_DEEPEST: Final = 100


def text_of(content: Any) -> str | None:
    """What a person reads in an event or a sent message; None where it is not text."""
    body = _body(content)
    if isinstance(body, Mapping):
        body = body["text"] if "text" in body else _text_of_post(body)
    return body if isinstance(body, str) else None


def searchable_text(content: Any) -> str:
    """The same, and what stands on a card; empty where there is nothing to read."""
    text = text_of(content)
    return "\n".join(_shown_on(_body(content))) if text is None else text


def parsed(plain: bytes) -> Any:
    """The JSON document that was sealed, or its text where it is none."""
    try:
        return orjson.loads(plain)
    except orjson.JSONDecodeError:
        return plain.decode(errors="replace")


def _body(content: Any) -> Any:
    if not isinstance(content, Mapping):
        return None
    event = content.get("event", content)
    message = event.get("message", event) if isinstance(event, Mapping) else None
    if not isinstance(message, Mapping):
        return None
    body = message.get("content", message.get("text"))
    if isinstance(body, str):
        # Feishu writes the content of a message as a JSON document inside the JSON document.
        inner = parsed(body.encode())
        body = inner if isinstance(inner, Mapping) else body
    return body


def _text_of_post(body: Mapping[str, Any]) -> str | None:
    """The words of a rich text: rows of elements, as received, or under their language, as sent."""
    if "content" not in body and len(body) > 0:
        body = next(iter(body.values()))
    rows = body.get("content") if isinstance(body, Mapping) else None
    if not isinstance(rows, list):
        return None
    lines = [
        "".join(str(part.get("text") or "") for part in row if isinstance(part, Mapping))
        for row in rows
        if isinstance(row, list)
    ]
    return "\n".join([str(body.get("title") or ""), *lines]).strip()


def _shown_on(part: Any, depth: int = _DEEPEST) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif not depth:
        return
    elif isinstance(part, list):
        for inner in part:
            if not isinstance(inner, str):
                yield from _shown_on(inner, depth - 1)
    elif isinstance(part, Mapping):
        for name in _SHOWN:
            yield from _shown_on(part.get(name), depth - 1)
