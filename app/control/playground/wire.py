"""Requests and answers as the playground's two front ends (own server, ASGI) pass them to its APIs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from urllib.parse import parse_qsl

import orjson

JSON_TYPE = "application/json; charset=utf-8"

# What becomes of an answer on its way back: whole, cut after half its bytes, or never sent with the connection reset.
Fate = Literal["whole", "half", "reset"]


@dataclass(eq=False)
class Request:
    """One HTTP request; header names are lower-case, `path` is decoded and without the query."""

    method: str
    path: str
    query_string: str
    headers: Mapping[str, str]
    body: bytes
    root: str = ""
    """The prefix under which the app that answers is mounted."""

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's values, the last one where a name is repeated."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True)) if self.query_string else {}


@dataclass(eq=False, slots=True)
class Answer:
    """One HTTP answer; `stream` replaces `body` where it goes on without end (server-sent events)."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)
    fate: Fate = "whole"
    stream: AsyncIterator[bytes] | None = None


class Refusal(Exception):
    """A call that is answered with one of Feishu's error codes; HTTP 400 unless the API has it otherwise."""

    def __init__(
        self,
        code: int,
        msg: str,
        *,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
        violation: str = "",
    ) -> None:
        super().__init__(f"{code} {msg}")
        self.code = code
        self.msg = msg
        self.status = status
        self.headers = dict(headers or {})
        self.violation = violation
        """Names the bound that was broken (`app_second`, `chat`, …); empty where it was no limit."""


def json_answer(status: int, document: Any, headers: dict[str, str] | None = None) -> Answer:
    """An answer that carries `document` as JSON."""
    return Answer(status, orjson.dumps(document), headers=headers or {})


def parse_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object in `body`, or None where it is none."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None
