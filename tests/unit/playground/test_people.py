"""People as an app may look them up."""

from __future__ import annotations

from tests.unit.playground.conftest import Town


async def test_a_person_is_named_as_the_app_knows_them(town: Town) -> None:
    world, ann = town.playground.world, town.ann
    mine, theirs = (world.open_id(app, ann) for app in (town.app, town.other))
    _, found = await town.call("GET", f"contact/v3/users/{mine}")
    assert (found["data"]["user"]["name"], found["data"]["user"]["open_id"]) == (ann.name, mine)
    _, found = await town.call("GET", f"contact/v3/users/{ann.union_id}", user_id_type="union_id")
    assert found["data"]["user"]["open_id"] == mine
    assert await town.call.code("GET", f"contact/v3/users/{theirs}") == 99992361
    assert await town.call.code("GET", "contact/v3/users/ou_nobody") == 41012
    assert await town.call.code("GET", f"contact/v3/users/{mine}", user_id_type="email") == 40001
