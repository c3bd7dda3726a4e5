"""lark-oapi's dispatcher behind a FastAPI route."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from bench.rivals.dispatcher import answer

# The dispatcher looks its headers up as Feishu writes them; ASGI servers give names in lower case.
_NAMES = {name.lower(): name for name in ("X-Lark-Request-Timestamp", "X-Lark-Request-Nonce", "X-Lark-Signature")}

app = FastAPI()


@app.post("/webhook/{bot}")
async def webhook(bot: str, request: Request) -> Response:
    """Answer one event."""
    headers = {_NAMES.get(name, name): value for name, value in request.headers.items()}
    made = answer(bot, headers, await request.body())
    return Response(made.content, made.status_code, made.headers)
