"""Reads lark-oapi's request objects and fills its response objects; the calls themselves are the hub's."""

from __future__ import annotations

import asyncio
import importlib
import io
import re
import sys
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import orjson

from app.channel.call import Call, segment
from app.channel.limits import EPHEMERAL, UPDATE_PREVIEWS
from app.channel.tokens import TokenKind
from app.core.errors import FeishuRefused
from app.feishu.client import Answer, Part
from app.model.bot import BotSpec

_PLACEHOLDER: Final = re.compile(r":(\w+)")
_VERSION: Final = re.compile(r"v\d+")
# What an id looks like: its prefix, a digit, or an address. No path of Feishu's own has a digit beside its version.
_ID: Final = re.compile(r"(?:o[cmnu]|cli|file|img)_.*|.*[\d@%].*")
# What Feishu's APIs call the key that makes a repetition harmless.
_IDEMPOTENCY_KEYS: Final = frozenset({"uuid", "client_token", "request_id"})
_UPLOAD_TIMEOUT: Final = 60.0
_CREATE: Final = "im.message.create"
# APIs that the hub calls by itself too: under the same names, since Feishu counts both against one bound of the app.
# The groups are what Feishu bounds beside the app.
_OWN: Final = tuple(
    (method, re.compile(f"/open-apis{path}"), name)
    for method, path, name in (
        ("POST", "/im/v1/messages", _CREATE),
        ("POST", "/im/v1/messages/[^/]+/reply", "im.message.reply"),
        ("PATCH", "/im/v1/messages/(?P<message>[^/]+)", "im.message.patch"),
        ("PUT", "/im/v1/messages/(?P<message>[^/]+)", "im.message.update"),
        ("POST", "/im/v1/messages/[^/]+/reactions", "im.message.reaction.create"),
        ("GET", "/im/v1/messages/[^/]+/resources/[^/]+", "im.message.resource.get"),
        ("POST", "/im/v1/images", "im.image.create"),
        ("POST", "/im/v1/files", "im.file.create"),
        ("GET", "/im/v1/chats/[^/]+", "im.chat.get"),
        ("GET", "/contact/v3/users/[^/]+", "contact.user.get"),
        ("GET", "/bot/v3/info", "bot.info"),
        ("POST", "/cardkit/v1/cards", "cardkit.card.create"),
        ("PUT", "/cardkit/v1/cards/(?P<card>[^/]+)/elements/[^/]+/content", "cardkit.card_element.content"),
        ("PATCH", "/cardkit/v1/cards/(?P<card>[^/]+)/settings", "cardkit.card.settings"),
        ("POST", "/interactive/v1/card/update", "interactive.card.update"),
        ("POST", "/im/v2/url_previews/batch_update", UPDATE_PREVIEWS),
        ("POST", "/ephemeral/v1/send", EPHEMERAL),
    )
)
_CARD: Final = re.compile(r"/open-apis/cardkit/v1/cards/(?P<card>[^/]+)/?.*")


async def call_of(spec: BotSpec, request: Any) -> Call:
    """The call that a request object describes; the object itself is left as it is (lark-oapi changes it)."""
    for attribute in ("http_method", "uri", "token_types"):
        if getattr(request, attribute, None) is None:
            raise TypeError(
                f"ctx.call takes a lark-oapi request object; {type(request).__name__} has no {attribute} set"
            )
    uri: str = request.uri
    method: str = getattr(request.http_method, "name", request.http_method)
    paths: Mapping[str, Any] = request.paths or {}
    headers = {str(name): str(value) for name, value in (request.headers or {}).items()}
    query = [(str(name), str(value)) for name, value in request.queries or ()]
    body, form = await _body(request.body)
    given = {name for name, value in [*(body or {}).items(), *query] if value}
    path = _path(spec, uri, paths)
    api, bounded = known_call(method, path)
    chat, user = _receiver(api, query, body or {})
    return Call(
        api=api or f"{method} {_nameless(uri.removeprefix(spec.credentials.base_url))}",
        method=method,
        path=path,
        query=query,
        json=None if body is None or form else orjson.dumps(body),
        form=form,
        headers=headers,
        chat=chat,
        user=user,
        message=bounded.get("message", ""),
        card=bounded.get("card", ""),
        priority="send" if api == _CREATE else "reply",
        # PUT and PATCH set what they name, DELETE and GET can be asked twice; a POST may do it twice.
        repeatable=method != "POST" or not _IDEMPOTENCY_KEYS.isdisjoint(given),
        binary=True,
        timeout=_UPLOAD_TIMEOUT,
        token=_token(request, headers),
    )


async def response_of(request: Any, answer: Answer) -> Any:
    """The answer in the class that lark-oapi has for this request, or in its BaseResponse."""
    kind = await _response_class(type(request))
    core = await _module("lark_oapi.core.model")
    response: Any
    if answer.document:
        response = kind(dict(answer.document))
    else:
        response = kind()
        response.code = 0
        if hasattr(response, "file"):
            files = await _module("lark_oapi.core.utils.files")
            response.file = io.BytesIO(answer.raw)
            response.file_name = files.Files.parse_file_name(_headers(answer))
    response.raw = core.RawResponse()
    response.raw.status_code = answer.status
    response.raw.headers = _headers(answer)
    response.raw.content = answer.raw
    return response


def _path(spec: BotSpec, uri: str, paths: Mapping[str, Any]) -> str:
    base = spec.credentials.base_url
    if "://" in uri:
        if not uri.startswith(f"{base}/"):
            raise FeishuRefused(
                f"ctx.call of bot {spec.id} goes to {base} only: the bot's token must not leave for another host"
            )
        uri = uri.removeprefix(base)

    def filled(match: re.Match[str]) -> str:
        value = paths.get(match[1])
        return match[0] if value is None else segment(str(value))

    return _PLACEHOLDER.sub(filled, uri)


def _nameless(uri: str) -> str:
    """The path with `:id` in place of each id: one bound and one label, however many chats there are."""
    path = uri.partition("?")[0]
    return "/".join(":id" if _ID.fullmatch(part) and not _VERSION.fullmatch(part) else part for part in path.split("/"))


async def _body(body: Any) -> tuple[dict[str, Any] | None, tuple[Part, ...]]:
    if body is None:
        return None, ()
    fields = dict(body) if isinstance(body, Mapping) else dict(getattr(body, "__dict__", {}))
    files = {name: value for name, value in fields.items() if isinstance(value, io.IOBase)}
    if not files:
        marshal = (await _module("lark_oapi.core.json")).JSON.marshal
        document = orjson.loads(marshal(body))
        if not isinstance(document, dict):
            raise TypeError("the body of a lark-oapi request has to be a JSON object")
        return document, ()
    parts = [Part(name, await asyncio.to_thread(_read, file)) for name, file in files.items()]
    texts = {name: value for name, value in fields.items() if value is not None and name not in files}
    return texts, (*(Part(name, str(value)) for name, value in texts.items()), *parts)


def _read(file: Any) -> bytes:
    """A file's content from its position, which is restored: the author may send it again."""
    start = file.tell()
    data: bytes = file.read()
    file.seek(start)
    return data


def known_call(method: str, path: str) -> tuple[str, Mapping[str, str]]:
    """The hub's own name for a call, empty if it makes no such call; and the message or card it works on."""
    for verb, pattern, name in _OWN:
        if verb == method and (found := pattern.fullmatch(path)):
            return name, {bound: unquote(value) for bound, value in found.groupdict().items()}
    found = _CARD.fullmatch(path)
    return "", {"card": unquote(found["card"])} if found else {}


def _receiver(api: str, query: list[tuple[str, str]], body: Mapping[str, Any]) -> tuple[str, str]:
    """Chat and user to whom a plain call sends a message: it counts against their limit too."""
    if api == EPHEMERAL:
        return str(body.get("chat_id") or ""), ""
    receiver = body.get("receive_id")
    if api != _CREATE or not isinstance(receiver, str):
        return "", ""
    return (receiver, "") if dict(query).get("receive_id_type") == "chat_id" else ("", receiver)


def _token(request: Any, headers: Mapping[str, str]) -> TokenKind | Any:
    kinds = {getattr(kind, "name", kind) for kind in request.token_types}
    if not kinds or any(name.lower() == "authorization" for name in headers):
        return "none"
    if "TENANT" in kinds:
        return "tenant"
    if "APP" in kinds:
        return "app"
    raise FeishuRefused(
        f"{request.uri} takes a user's access token, which the hub does not keep: "
        'set it yourself, request.headers["Authorization"] = "Bearer u-…"'
    )


async def _response_class(request: type) -> Any:
    module, name = request.__module__, request.__name__
    if module.startswith("lark_oapi.api.") and module.endswith("_request") and name.endswith("Request"):
        try:
            found = await _module(f"{module.removesuffix('_request')}_response")
            return getattr(found, f"{name.removesuffix('Request')}Response")
        except (ImportError, AttributeError):
            pass
    return (await _module("lark_oapi.core.model")).BaseResponse


async def _module(name: str) -> Any:
    """A module of lark-oapi; its first import takes over a second and must not hold the loop."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded
    return await asyncio.to_thread(importlib.import_module, name)


def _headers(answer: Answer) -> dict[str, str]:
    """Headers in a plain dict, spelled as lark-oapi looks them up."""
    return {name.title(): value for name, value in answer.headers.items()}
