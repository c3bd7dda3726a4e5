"""lark-oapi's own dispatcher with a handler that does nothing, as its documentation shows it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import lark_oapi as lark
from lark_oapi.core.model import RawRequest, RawResponse

from bench.events import App


def answer(bot: str, headers: Mapping[str, str], body: bytes) -> RawResponse:
    """What the dispatcher of a bot answers; nothing is kept anywhere."""
    request = RawRequest()
    request.uri = f"/webhook/{bot}"
    request.headers = dict(headers)
    request.body = body
    return _handler(bot).do(request)


@cache
def _handler(bot: str) -> Any:
    app = App.named(bot)
    builder = lark.EventDispatcherHandler.builder(app.encrypt_key, app.token, lark.LogLevel.WARNING)
    return builder.register_p2_im_message_receive_v1(_ignore).build()


def _ignore(event: Any) -> None:
    pass
