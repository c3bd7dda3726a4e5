"""Every wrong request is told, in the hub's words, which field is wrong and what is right."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from app.control.admin.access import Access
from app.control.admin.alerts import AskedSilence
from app.control.admin.api import admin_app
from app.control.admin.new_message import NewMessage
from app.control.admin.stored_messages import WordSearch
from app.control.admin.wrong import said_of
from app.control.health.status import Health
from tests.unit.control.admin.parts import known_bots
from tests.unit.control.admin.test_api import metrics

# How pydantic begins its sentences.
THEIRS = (
    "Input should",
    "String should",
    "Field required",
    "Extra inputs",
    "Tuple should",
    "Value error",
    "List should",
)


class Everything(BaseModel):
    """A field of each kind."""

    model_config = ConfigDict(extra="forbid")

    flag: bool = False
    number: float = Field(0.5, le=1.0)
    several: list[str] = Field([], max_length=2)


api = APIRouter()


@api.post("/silence")
async def silence(asked: AskedSilence) -> None: ...


@api.post("/search")
async def search(asked: WordSearch) -> None: ...


@api.post("/everything")
async def everything(asked: Everything) -> None: ...


@api.get("/page")
async def page(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> None: ...


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = admin_app(
        access=Access("t"),
        known=known_bots(),
        routers=[api],
        metrics=metrics,
        health=Health(lambda: "queue", dict),
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://hub/api/v1", headers={"Authorization": "Bearer t"}
    ) as client:
        yield client


WORDS = {"bot": "b", "words": "w", "why": "y"}


@pytest.mark.parametrize(
    ("path", "document", "said"),
    [
        ("silence", {}, "body.name: missing"),
        ("silence", {"name": ""}, "body.name: expected text, found none"),
        ("silence", {"name": "x" * 65}, "body.name: expected text of at most 64 characters"),
        ("silence", {"name": "x", "for": 0}, "body.for: expected over 0"),
        ("silence", {"name": "x", "for": "soon"}, "body.for: expected a span such as 500ms, 30s, 5m, 24h or 30d"),
        ("silence", {"name": "x", "subject": 3}, "body.subject: expected text, found a number"),
        (
            "silence",
            {"name": "x", "subjct": "y"},
            "body.subjct: unknown field; did you mean subject? allowed here: name, subject, for, by",
        ),
        ("silence", [], "body: expected an object, found a list, empty"),
        ("search", WORDS | {"limit": 0}, "body.limit: expected at least 1"),
        ("search", WORDS | {"limit": "many"}, "body.limit: expected a whole number, found text"),
        ("search", WORDS | {"since": 1.5}, "body.since: expected a whole number, found a number"),
        ("search", WORDS | {"sinse": 1}, "body.sinse: unknown field; did you mean since? "),
        ("everything", {"flag": "perhaps"}, "body.flag: expected true or false, found text"),
        ("everything", {"number": {}}, "body.number: expected a number, found an object"),
        ("everything", {"number": 2}, "body.number: expected at most 1"),
        ("everything", {"several": "x"}, "body.several: expected a list, found text"),
        ("everything", {"several": ["x"] * 3}, "body.several: expected at most 2, found 3"),
        ("everything", {"several": [None]}, "body.several.0: expected text, found nothing"),
    ],
    ids=str,
)
async def test_a_wrong_body(client: httpx.AsyncClient, path: str, document: Any, said: str) -> None:
    answer = await client.post(path, json=document)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith(said)
    assert not any(words in answer.text for words in THEIRS)


async def test_what_is_not_json(client: httpx.AsyncClient) -> None:
    answer = await client.post("silence", content=b'{"name": x}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith("body: not JSON: ")
    assert answer.json()["error"]["message"].endswith(" at byte 9")


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("x", "query.limit: expected a whole number, found text"),
        ("0", "query.limit: expected at least 1"),
        ("1001", "query.limit: expected at most 1000"),
    ],
)
async def test_a_wrong_parameter(client: httpx.AsyncClient, limit: str, said: str) -> None:
    assert (await client.get(f"page?limit={limit}")).json()["error"]["message"] == said


async def test_no_such_path_and_no_such_method(client: httpx.AsyncClient) -> None:
    nothing = await client.get("pages")
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, "not_found")
    assert nothing.json()["error"]["message"] == "there is nothing at /api/v1/pages: GET /docs shows what there is"
    other = await client.delete("page")
    assert (other.status_code, other.headers["Allow"]) == (405, "GET")
    assert other.json()["error"]["message"] == "DELETE is not possible at /api/v1/page: use GET"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image": {"kee": 1}}, "body.image.kee: unknown field; did you mean key? allowed here: key, url"),
        ({"file": {"key": "k", "type": "exe"}}, "body.file.type: expected one of 'opus', 'mp4', "),
        ({"file": "x"}, "body.file: expected an object, found text"),
        ({"text": "\ud800"}, "body.text: expected text that is Unicode"),
        ({"txt": "x"}, "body.txt: unknown field; did you mean text? allowed here: to, text, post, card, "),
    ],
    ids=str,
)
def test_a_wrong_message(wrong: dict[str, Any], said: str) -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError) as found:
        NewMessage.model_validate({"to": "oc_1", **wrong})
    errors = [{**one, "loc": ("body", *one["loc"])} for one in found.value.errors()]
    assert said_of(errors, NewMessage).startswith(said)
