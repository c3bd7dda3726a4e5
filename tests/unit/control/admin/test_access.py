"""Whose a token is, and what it lets one do: the admin everything, a program the sending of its bots."""

from __future__ import annotations

import pytest
from fastapi import HTTPException, Request

from app.control.admin.access import Access, Caller

SHOP = Caller("shop", "the-token-of-the-shop", frozenset({"support"}))
ALL = Caller("all", "the-token-of-all", frozenset({"*"}))


@pytest.fixture
def access() -> Access:
    return Access("the-admin-token", [SHOP, ALL])


def name(access: Access, header: str | None) -> str | None:
    caller = access.caller(header)
    return None if caller is None else caller.name


@pytest.mark.parametrize(
    ("header", "whose"),
    [
        ("Bearer the-admin-token", "admin"),
        ("bearer  the-admin-token ", "admin"),
        ("Bearer the-token-of-the-shop", "shop"),
        ("Bearer the-token-of-all", "all"),
        ("Bearer the-token-of-the-shop2", None),
        ("Bearer the-token-of-the-sho", None),
        ("Bearer ", None),
        ("Basic the-admin-token", None),
        ("the-admin-token", None),
        ("Bearer the-ädmin-token", None),
        (None, None),
    ],
)
def test_a_token_is_known_whole_or_not_at_all(access: Access, header: str | None, whose: str | None) -> None:
    assert name(access, header) == whose


def test_tokens_that_are_replaced_are_good_no_more_and_the_admins_always_is(access: Access) -> None:
    access.let_in([ALL])
    assert name(access, "Bearer the-token-of-the-shop") is None
    assert name(access, "Bearer the-token-of-all") == "all"
    assert name(access, "Bearer the-admin-token") == "admin"


@pytest.mark.parametrize(
    ("token", "admin", "support", "hr"),
    [
        ("the-admin-token", 200, 200, 200),
        ("the-token-of-all", 403, 200, 200),
        ("the-token-of-the-shop", 403, 200, 403),
        ("another", 401, 401, 401),
    ],
)
async def test_what_a_token_lets_one_do(access: Access, token: str, admin: int, support: int, hr: int) -> None:
    header = f"Bearer {token}"

    async def sends(bot: str) -> int:
        request = Request({"type": "http"})
        try:
            await access.senders(bot, request, header)
        except HTTPException as refused:
            return refused.status_code
        assert request.state.caller == access.caller(header)
        return 200

    try:
        await access.admins(header)
        status = 200
    except HTTPException as refused:
        status = refused.status_code
    assert (status, await sends("support"), await sends("hr")) == (admin, support, hr)
