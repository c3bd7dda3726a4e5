"""Turns what is too long for one message into several, in order, or a file; nothing is ever cut off silently."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final, Literal

import orjson

from app.channel.render import CARD_LIMIT, TEXT_LIMIT, elements_of, limit_of, render, request_size
from app.channel.split import split
from app.core.errors import FeishuRefused
from app.model.outbound import MessageType
from app.sdk.card import Card
from app.sdk.content import Content, Markdown, Post, message_of

Long = Literal["split", "file"]

MOST_PAGES: Final = 8
"""What takes more messages than this is sent as a file: a chat takes five a second from all bots together."""
# Feishu docs: cards: a card holds 200 elements; of markdown tables, some three are shown.
_MOST_ELEMENTS: Final = 200
_MOST_TABLES: Final = 3
_TABLE: Final = re.compile(r"^\s*\|?\s*:?-{3,}:?\s*(\|\s*:?-{3,}:?\s*)+\|?\s*$", re.MULTILINE)
# Elements that are read and not pressed: only a card made of these can become a file.
_READ: Final = frozenset({"markdown", "hr"})
# What each piece of an element keeps: what it says, and how that looks.
_PIECE: Final = frozenset({"tag", "content", "text", "text_align", "text_size", "margin"})


@dataclass(frozen=True, slots=True)
class Page:
    """One message."""

    msg_type: MessageType
    content: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Paper:
    """A file that says what is too long for messages."""

    name: str
    data: bytes = field(repr=False)


def page_of(content: Content) -> Page | None:
    """The one message that says it, or None if it does not fit in one."""
    if isinstance(content, Markdown):
        content = content.content
    return Page(*render(content)) if _fits(content) else None


def pages_of(content: Content, long: Long = "split") -> tuple[Page, ...] | Paper:
    """What is to be sent, in order; FeishuRefused if it is too long and can be neither split nor made a file."""
    if isinstance(content, Markdown):
        content = content.content
    pages = tuple(Page(*render(part)) for part in islice(_parts(content), MOST_PAGES + 1))
    if len(pages) == 1 or (long == "split" and len(pages) <= MOST_PAGES):
        return pages
    match content:
        case str():
            return Paper("message.txt", content.encode())
        case Post():
            return Paper("message.md", content.markdown.encode())
        case Card() if all(_tag(element) in _READ for element in elements_of(content.to_dict())):
            texts = [element.get("content", "---") for element in elements_of(content.to_dict())]
            return Paper("message.md", "\n\n".join(texts).encode())
    if len(pages) <= MOST_PAGES:
        return pages
    raise FeishuRefused(
        f"a card of {len(orjson.dumps(message_of(content)[1]))} bytes would be more than {MOST_PAGES} messages, and it "
        "has more in it than text, so it cannot be sent as a file: say less, or upload what is in it (ctx.upload)"
    )


def card_fits(title: str, markdown: str) -> bool:
    """Whether a card that shows a markdown text is inside Feishu's bounds."""
    return _fits(Card.of(title).text(markdown))


def _parts(content: Content) -> Iterator[Content]:
    if _fits(content):
        yield content
        return
    match content:
        case str():
            yield from split(content, TEXT_LIMIT, _fits)
        case Post():

            def fits(markdown: str) -> bool:
                return _fits(replace(content, markdown=markdown))

            for number, markdown in enumerate(split(content.markdown, CARD_LIMIT, fits, markdown=True)):
                yield replace(content, markdown=markdown, title="" if number else content.title)
        case Card():
            yield from _cards(content)
        case _:
            yield content


def _cards(card: Card) -> Iterator[Card]:
    """A card on several cards, the first with its header; an element whose text is too long becomes several."""
    document = card.to_dict()
    elements = elements_of(document)
    if not elements:
        yield card
        return
    place = "body" if isinstance(document.get("body"), Mapping) else ""

    def with_elements(chosen: list[Any], *, first: bool) -> Card:
        kept = {key: value for key, value in document.items() if first or key != "header"}
        kept |= {"body": {**document["body"], "elements": chosen}} if place else {"elements": chosen}
        return Card.raw(kept)

    chosen: list[Any] = []
    first = True
    for element in _pieces(elements, lambda alone: _fits(with_elements([alone], first=True))):
        if chosen and not _fits(with_elements([*chosen, element], first=first)):
            yield with_elements(chosen, first=first)
            chosen, first = [], False
        chosen.append(element)
    yield with_elements(chosen, first=first)


def _pieces(elements: list[Any], fits: Callable[[Any], bool]) -> Iterator[Any]:
    """The elements; the words of one too long for a card are in pieces, while what is pressed stays whole."""
    for number, element in enumerate(elements, 1):
        words = None if fits(element) else _words(element)
        if words is None or not fits(_saying(element, "")):
            size = len(orjson.dumps(element))
            if size > CARD_LIMIT:
                raise FeishuRefused(
                    f"element {number} ({_tag(element)}) alone is {size} bytes, Feishu takes {CARD_LIMIT // 1024} KB "
                    "a card, and there is more in it than text that could be split: make several elements of it"
                )
            yield element
            continue

        def piece_fits(words: str, element: Any = element) -> bool:
            return fits(_saying(element, words))

        for piece in split(words, CARD_LIMIT, piece_fits, markdown=True):
            yield _saying(element, piece)
            # The id, which must be unique, and whatever goes with the words stay with the first piece.
            element = {key: value for key, value in element.items() if key in _PIECE}


def _words(element: Any) -> str | None:
    """The words of an element, if nothing else in it can be long."""
    match element:
        case {"tag": "markdown", "content": str(words)} | {"tag": "div", "text": {"content": str(words)}}:
            return words
    return None


def _saying(element: Any, words: str) -> Any:
    if _tag(element) == "div":
        return {**element, "text": {**element["text"], "content": words}}
    return {**element, "content": words}


def _fits(content: Content) -> bool:
    """Whether it may go as one message."""
    if isinstance(content, Card) and not _has_room(content.to_dict()):
        return False
    kind, document = message_of(content)
    return request_size(orjson.dumps(document).decode()) <= limit_of(kind)


def _has_room(card: Mapping[str, Any]) -> bool:
    count = tables = 0
    for node in _nodes(elements_of(card)):
        count += "tag" in node
        if node.get("tag") == "markdown" and isinstance(node.get("content"), str):
            tables += len(_TABLE.findall(node["content"]))
        tables += node.get("tag") == "table"
    return count <= _MOST_ELEMENTS and tables <= _MOST_TABLES


def _nodes(part: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, Mapping):
        yield part
        part = part.values()
    elif not isinstance(part, list):
        return
    for inner in part:
        if isinstance(inner, Mapping | list):
            yield from _nodes(inner)


def _tag(element: Any) -> str:
    return str(element.get("tag", "")) if isinstance(element, Mapping) else ""
