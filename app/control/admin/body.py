"""The body of a request that may carry a file: JSON, or a form with the JSON in its part `message`; bounded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from fastapi import HTTPException, Request

from app.channel.sender import FILE_LIMIT
from app.core.multipart import FormPart, read_form

_JSON_LIMIT: Final = 4 << 20
_FORM_LIMIT: Final = FILE_LIMIT + (1 << 20)
_FILES: Final = ("image", "file")


@dataclass(frozen=True, slots=True)
class Body:
    """What was sent: a document, and the file for its field `carried` ("image" or "file")."""

    document: dict[str, Any] = field(repr=False)
    carried: str = ""
    part: FormPart | None = field(default=None, repr=False)

    @property
    def fingerprint(self) -> bytes:
        """Equal for equal content, however it is written; raises an HTTP error for what cannot be written as JSON."""
        try:
            digest = hashlib.sha256(orjson.dumps(self.document, option=orjson.OPT_SORT_KEYS))
        except orjson.JSONEncodeError:
            raise HTTPException(422, "body: nested too deeply") from None
        if self.part is not None:
            digest.update(f"\n{self.carried}\n{self.part.filename}\n".encode() + self.part.data)
        return digest.digest()


async def read_body(request: Request) -> Body:
    """The body, or an HTTP error that names the field."""
    content_type = request.headers.get("content-type", "")
    form = content_type.lower().startswith("multipart/form-data")
    raw = await _bounded(request, _FORM_LIMIT if form else _JSON_LIMIT)
    if not form:
        return Body(_document(raw, ("body",)))
    try:
        parts = read_form(content_type, raw)
    except ValueError:
        raise HTTPException(400, "body: malformed multipart/form-data") from None
    carried = [name for name in _FILES if name in parts]
    unknown = sorted(parts.keys() - {"message", *_FILES})
    if unknown or len(carried) > 1 or "message" not in parts:
        raise HTTPException(
            422, "body: a form has the part `message` (JSON), and one of `image` and `file`" + _found(unknown)
        )
    document = _document(parts["message"].data, ("body", "message"))
    if not carried:
        return Body(document)
    [name] = carried
    if not parts[name].data:
        raise HTTPException(422, f"body.{name}: the file is empty")
    if document.get(name):
        inner = document[name]
        if not isinstance(inner, dict) or inner.get("key") or inner.get("url"):
            raise HTTPException(422, f"body.message.{name}: the form carries the file, so give no key and no url")
    document.setdefault(name, {})
    return Body(document, name, parts[name])


async def _bounded(request: Request, most: int) -> bytes:
    too_large = HTTPException(413, f"body: larger than {most // 1_000_000} MB")
    if int(request.headers.get("content-length") or 0) > most:
        raise too_large
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise too_large
    return bytes(body)


def _document(raw: bytes, where: tuple[str, ...]) -> dict[str, Any]:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise HTTPException(400, f"{'.'.join(where)}: not JSON: {error.msg} at {error.pos}") from None
    if not isinstance(found, dict):
        raise HTTPException(422, f"{'.'.join(where)}: expected an object")
    return found


def _found(unknown: list[str]) -> str:
    return f"; unknown: {', '.join(unknown)}" if unknown else ""
