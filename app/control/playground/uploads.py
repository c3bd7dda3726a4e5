"""Images, files, and the attachments of users' messages."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import orjson

from app.control.playground.ask import Ask
from app.control.playground.receivers import message_for
from app.control.playground.wire import Answer, Refusal, Request
from app.control.playground.world import App, Upload
from app.core.multipart import read_form as read_multipart

IMAGE_BYTES: Final = 10 * 1024 * 1024
FILE_BYTES: Final = 30 * 1024 * 1024
LONGEST_FIELD: Final = 4096
BAD_PARAMETER: Final = 234001
TOO_LARGE: Final = 234006
UNKNOWN_KEY: Final = 234003
FOREIGN: Final = 234008
EMPTY: Final = 234010
BAD_IMAGE: Final = 234011
NOT_DOWNLOADABLE: Final = 234043

FILE_TYPES: Final = frozenset({"opus", "mp4", "pdf", "doc", "xls", "ppt", "stream"})
_IMAGES: Final = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"RIFF",
    b"\x00\x00\x01\x00",
)


def upload_image(ask: Ask) -> dict[str, Any]:
    """POST im/v1/images: at most 10 MB, not empty, an image by its first bytes."""
    fields, files = read_form(ask.request)
    if fields.get("image_type") not in ("message", "avatar"):
        raise Refusal(BAD_PARAMETER, "image_type must be message or avatar")
    name, data = _file(files, "image", IMAGE_BYTES)
    if not data.startswith(_IMAGES):
        raise Refusal(BAD_IMAGE, "The image format is not supported.")
    return {"image_key": _keep(ask, "img_v3_", "image", name, data)}


def upload_file(ask: Ask) -> dict[str, Any]:
    """POST im/v1/files: at most 30 MB, not empty."""
    fields, files = read_form(ask.request)
    kind = fields.get("file_type", "")
    if kind not in FILE_TYPES or not fields.get("file_name"):
        raise Refusal(BAD_PARAMETER, f"file_name is needed, and file_type, one of {', '.join(sorted(FILE_TYPES))}")
    if not (fields.get("duration") or "0").isdigit():
        raise Refusal(BAD_PARAMETER, "duration must be whole milliseconds")
    _, data = _file(files, "file", FILE_BYTES)
    return {"file_key": _keep(ask, "file_v3_", kind, fields["file_name"], data)}


def download(ask: Ask) -> Answer:
    """GET im/v1/images/:key or im/v1/files/:key: the bot's own uploads."""
    ask.call.target = ask.params[0]
    upload = ask.desk.world.uploads.get(ask.params[0])
    if upload is None:
        raise Refusal(UNKNOWN_KEY, "the key is not known")
    if upload.owner is not ask.app:
        raise Refusal(FOREIGN, "the app did not upload this")
    return _binary(upload)


def resource(ask: Ask) -> Answer:
    """GET im/v1/messages/:message_id/resources/:file_key: an attachment of a message in the bot's chat."""
    message_id, key = ask.params
    ask.call.target = message_id
    message = message_for(ask.desk.world, ask.app, message_id, gone=BAD_PARAMETER)
    ask.call.chat_id = message.chat.chat_id
    if message.msg_type in ("interactive", "merge_forward", "sticker"):
        raise Refusal(NOT_DOWNLOADABLE, "resources of this message type cannot be downloaded")
    upload = ask.desk.world.uploads.get(key)
    if upload is None or orjson.dumps(key).decode() not in message.content:
        raise Refusal(UNKNOWN_KEY, "file_key is not in this message")
    wanted = ask.request.query.get("type")
    if wanted not in ("image", "file") or (wanted == "image") != (upload.kind == "image"):
        raise Refusal(BAD_PARAMETER, "type must be image or file, as the message has it")
    return _binary(upload)


def read_form(request: Request) -> tuple[dict[str, str], dict[str, tuple[str, bytes]]]:
    """Short fields, and all parts as files, of a multipart body; 234001 where it is none."""
    try:
        parts = read_multipart(request.headers.get("content-type", ""), request.body)
    except ValueError:
        raise Refusal(BAD_PARAMETER, "the body must be well-formed multipart/form-data") from None
    # lark-oapi's synchronous client sends files without a filename, so any part may be one.
    files = {name: (part.filename or "", part.data) for name, part in parts.items()}
    fields = {
        name: part.data.decode("utf-8", "replace")
        for name, part in parts.items()
        if part.filename is None and len(part.data) <= LONGEST_FIELD
    }
    return fields, files


def _file(files: dict[str, tuple[str, bytes]], field: str, most: int) -> tuple[str, bytes]:
    if field not in files:
        raise Refusal(BAD_PARAMETER, f"{field} is missing")
    name, data = files[field]
    if not data:
        raise Refusal(EMPTY, "The file is empty.")
    if len(data) > most:
        raise Refusal(TOO_LARGE, "The file size exceeds the limit.")
    return name, data


def _keep(ask: Ask, prefix: str, kind: str, name: str, data: bytes) -> str:
    key = ask.desk.world.new_id(prefix)
    ask.desk.world.uploads[key] = Upload(key, ask.app, kind, name, data)
    ask.call.target = key
    return key


def _binary(upload: Upload) -> Answer:
    kind = "image/png" if upload.kind == "image" else "application/octet-stream"
    name = upload.name or (upload.key if isinstance(upload.owner, App) else "attachment")
    disposition = f"attachment; filename*=UTF-8''{quote(name)}"
    return Answer(200, upload.data, kind, {"Content-Disposition": disposition})
