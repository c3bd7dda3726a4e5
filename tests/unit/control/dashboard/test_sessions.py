"""Sessions are signed, end in time, by logout and with the token; forms are tied to them; guessing is slowed."""

from __future__ import annotations

from app.control.dashboard.sessions import Sessions
from tests.unit.control.dashboard.conftest import HandClock


def test_only_the_token_begins_a_session(clock: HandClock) -> None:
    sessions = Sessions("secret", clock=clock)
    assert sessions.begin("wrong") is None
    assert sessions.begin("") is None
    cookie = sessions.begin(" secret ")
    assert cookie is not None
    assert sessions.holds(cookie)
    assert "secret" not in cookie


def test_a_cookie_that_was_changed_or_made_elsewhere_holds_nothing(clock: HandClock) -> None:
    sessions = Sessions("secret", clock=clock)
    cookie = sessions.begin("secret") or ""
    changed = ("A" if cookie[0] != "A" else "B") + cookie[1:]
    for bad in (None, "", "a.b.c", changed, Sessions("other", clock=clock).begin("other")):
        assert not sessions.holds(bad)


def test_logout_ends_one_session_only(clock: HandClock) -> None:
    sessions = Sessions("secret", clock=clock)
    mine, other = sessions.begin("secret") or "", sessions.begin("secret") or ""
    sessions.end(mine)
    assert not sessions.holds(mine)
    assert sessions.holds(other)


def test_sessions_run_out(clock: HandClock) -> None:
    sessions = Sessions("secret", clock=clock)
    cookie = sessions.begin("secret") or ""
    clock.ahead(12 * 3600 - 60)
    assert sessions.holds(cookie)
    clock.ahead(120)
    assert not sessions.holds(cookie)


def test_a_form_belongs_to_its_session(clock: HandClock) -> None:
    sessions = Sessions("secret", clock=clock)
    mine, other = sessions.begin("secret") or "", sessions.begin("secret") or ""
    assert sessions.is_own(mine, sessions.csrf(mine))
    assert not sessions.is_own(mine, sessions.csrf(other))
    assert not sessions.is_own(mine, "")


def test_guesses_from_one_address_are_slowed(clock: HandClock) -> None:
    sessions = Sessions("secret", clock=clock)
    assert [sessions.patience("192.0.2.1") for _ in range(10)] == [0.0] * 10
    assert sessions.patience("192.0.2.1") == 60
    assert sessions.patience("192.0.2.2") == 0
    clock.ahead(20)
    assert sessions.patience("192.0.2.1") == 40
    clock.ahead(40)
    assert sessions.patience("192.0.2.1") == 0
