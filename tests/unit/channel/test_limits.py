"""Which bounds a call falls under, and what each allows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.channel.limits import EPHEMERAL, UPDATE_PREVIEWS, Bound, Bounds, SendLimits
from app.core.keys import Keys
from app.core.limit_settings import ApiLimit
from app.core.settings import Settings
from app.sending import limits_of
from tests.unit.channel.parts import bot
from tests.unit.channel.slots import API

SPEC = bot("https://open.feishu.cn")
# With what is left free of them at least.
SECOND, MINUTE = 1_030_000, 60_030_000


@pytest.fixture
def bounds() -> Bounds:
    return Bounds(Keys("t:"), SendLimits(headroom=0))


def allowed(bound: Bound) -> list[tuple[int, int]]:
    return [(window.count, window.span) for window in bound.windows]


def test_each_thing_that_a_call_touches_bounds_it_and_the_app_last(bounds: Bounds) -> None:
    chat, message, card, app = bounds.of(SPEC, API, chat="oc_1", user="ou_1", message="om_1", card="c_1")
    assert [one.label for one in (chat, message, card, app)] == [
        "chat oc_1",
        "message om_1",
        "card c_1",
        f"app cli_a {API}",
    ]
    assert [allowed(one) for one in (chat, message, card)] == [[(5, SECOND)], [(5, SECOND)], [(10, SECOND)]]
    assert allowed(app) == [(50, SECOND), (1000, MINUTE)]
    assert [one.kind for one in bounds.of(SPEC, API, user="ou_1")] == ["user", "app"]
    assert len({one.key for one in (chat, message, card, app)} | {bounds.of(SPEC, "another")[0].key}) == 5


def test_calls_that_feishu_bounds_otherwise(bounds: Bounds) -> None:
    ephemeral, _ = bounds.of(SPEC, EPHEMERAL, chat="oc_1")
    assert (ephemeral.kind, allowed(ephemeral)) == ("ephemeral", [(40, SECOND)])
    [app] = bounds.of(SPEC, UPDATE_PREVIEWS)
    assert allowed(app)[0] == (5, SECOND)


def test_every_api_can_be_bounded_otherwise_and_by_a_bot_over_that() -> None:
    apis = {API: ApiLimit(per_second=2, per_minute=10), UPDATE_PREVIEWS: ApiLimit(per_second=8)}
    bounds = Bounds(Keys("t:"), SendLimits(headroom=0, apis=apis, ephemeral_per_second=20))

    def of(api: str, chat: str = "", **own: Any) -> list[tuple[int, int]]:
        return allowed(bounds.of(bot("https://open.feishu.cn", **own), api, chat=chat)[0])

    assert of(API) == [(2, SECOND), (10, MINUTE)]
    assert of(API, app_per_second=30) == [(2, SECOND), (10, MINUTE)], "what is said of one API goes before"
    assert of(API, apis={API: {"per_second": 1}}) == [(1, SECOND), (10, MINUTE)]
    assert of("another", app_per_second=30) == [(30, SECOND), (1000, MINUTE)]
    assert of(UPDATE_PREVIEWS)[0] == (8, SECOND)
    assert of(EPHEMERAL, "oc_1") == [(20, SECOND)]
    assert of(EPHEMERAL, "oc_1", ephemeral_per_second=3) == [(3, SECOND)]


def test_what_hub_yaml_says_is_what_the_limiter_takes() -> None:
    said = {"app_per_second": 7.0, "ephemeral_per_second": 3.0, "hook_per_minute": 9.0, "headroom": 0.3}
    settings = Settings.model_validate({"limits": {**said, "apis": {API: {"per_second": 2}}}})
    limits = limits_of(settings)
    assert {name: getattr(limits, name) for name in said} == said
    assert limits.apis == {API: ApiLimit(per_second=2)}


def test_an_alert_has_a_small_share_of_its_own_and_the_pauses_of_all() -> None:
    bounds = Bounds(Keys("t:"), SendLimits(headroom=0.2))
    for alert, other in zip(
        bounds.of(SPEC, API, chat="oc_1", priority="alert"), bounds.of(SPEC, API, chat="oc_1"), strict=True
    ):
        assert alert.kind == "alert"
        assert alert.key != other.key
        assert alert.pause == other.pause
    assert allowed(alert) == [(2, 1_250_000), (50, 75_000_000)]


def test_an_alert_has_no_more_than_is_left_free_but_one_a_minute() -> None:
    def app(headroom: float) -> list[tuple[int, int]]:
        return allowed(Bounds(Keys("t:"), SendLimits(headroom=headroom)).of(SPEC, API, priority="alert")[-1])

    [second, minute] = app(0.02)
    assert (second[0], minute[0]) == (1, 20)
    assert app(0) == [(1, MINUTE), (1, MINUTE)]


def test_a_broadcast_is_spread_over_the_minute_and_measured_by_feishus_own_windows(bounds: Bounds) -> None:
    [reply], [broadcast] = bounds.of(SPEC, API), bounds.of(SPEC, API, priority="broadcast")
    assert (broadcast.key, broadcast.feishu) == (reply.key, reply.windows)
    [spread] = set(broadcast.windows) - set(reply.windows)
    assert 0.9 < spread.count / spread.span * MINUTE / 1000 < 0.99


def test_a_custom_bot_is_known_by_a_digest_of_its_secret_address(bounds: Bounds) -> None:
    [hook] = bounds.hook("https://open.feishu.cn/open-apis/bot/v2/hook/secret-token")
    assert allowed(hook) == [(5, SECOND), (100, MINUTE)]
    assert "secret" not in f"{hook.name} {hook.key} {hook.pause} {hook.label}"
    assert hook.key != bounds.hook("https://open.feishu.cn/open-apis/bot/v2/hook/other-token")[0].key


def test_a_bots_own_limits_go_over_the_hubs(bounds: Bounds) -> None:
    spec = bot("https://open.feishu.cn", chat_per_second=2, app_per_second=10, app_per_minute=100)
    chat, app = bounds.of(spec, API, chat="oc_1")
    assert (allowed(chat), allowed(app)) == ([(2, SECOND)], [(10, SECOND), (100, MINUTE)])


def test_headroom_stretches_windows_and_lowers_no_count() -> None:
    limits = SendLimits(headroom=0.1)
    chat, app = Bounds(Keys("t:"), limits).of(SPEC, API, chat="oc_1")
    assert (allowed(chat), allowed(app)) == ([(5, 1_111_111)], [(50, 1_111_111), (1000, 66_666_667)])
    # Half of what the stretching leaves between two bursts; the network may use the other half.
    assert chat.grace == app.grace == 55_555
    assert (chat.apart, app.apart) == (133_333, 13_333)
    assert limits.horizon > app.windows[-1].span


def test_broken_rates_keep_below_what_they_say(bounds: Bounds) -> None:
    spec = bot("https://open.feishu.cn", chat_per_second=4.5, app_per_second=0.5)
    chat, app = bounds.of(spec, API, chat="oc_1")
    assert chat.windows[0].count == 4
    assert allowed(app)[0] == (1, 2_030_000)


def test_limits_that_make_no_sense_are_refused() -> None:
    for name, value in (("headroom", 1.0), ("chat_per_second", 0.0), ("second", 0.0), ("card_per_second", 0.0)):
        with pytest.raises(ValueError, match="limits"):
            replace(SendLimits(), **{name: value})  # type: ignore[arg-type]
