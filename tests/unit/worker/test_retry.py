"""What follows an attempt."""

from __future__ import annotations

import types
from typing import cast

import pytest

from app.core.errors import FeishuRefused, Misused
from app.model.bot import HANDLER_MODULES, BotMessage, RetryPolicy
from app.sdk.content import message_of
from app.worker.outcome import DONE, FENCED, UNHANDLED, Outcome, place_of
from app.worker.retry import backoff, next_step

POLICY = BotMessage(retry_policy=RetryPolicy(max_attempts=3, backoff="500ms"), max_hold="10s")


@pytest.mark.parametrize("outcome", [DONE, UNHANDLED, Outcome("drop", "no use")])
def test_what_is_over_is_finished(outcome: Outcome) -> None:
    assert next_step(outcome, POLICY, failures=0, held=0).do == "finish"


def test_a_failure_waits_with_its_conversation_and_the_wait_doubles() -> None:
    failed = Outcome("failed", "ValueError at bots.echo:7 in echo")
    first = next_step(failed, POLICY, failures=0, held=0, chance=lambda: 0.5)
    second = next_step(failed, POLICY, failures=1, held=0.5, chance=lambda: 0.5)
    assert (first.do, first.delay) == ("retry", 0.5)
    assert (second.do, second.delay) == ("retry", 1.0)


def test_jitter_spreads_waits_by_a_quarter_to_either_side() -> None:
    assert backoff(1.0, 2, 0.0) == pytest.approx(3.0)
    assert backoff(1.0, 2, 1.0) == pytest.approx(5.0)
    assert backoff(1.0, 10_000, 0.5) == 3600.0


def test_used_up_attempts_are_buried_with_where_it_failed() -> None:
    step = next_step(Outcome("failed", "ValueError at bots.echo:7 in echo"), POLICY, failures=2, held=1)
    assert step.do == "bury"
    assert "attempts used up" in step.reason
    assert step.detail == "ValueError at bots.echo:7 in echo"


def test_what_cannot_succeed_is_buried_at_once() -> None:
    assert next_step(Outcome("failed", "FeishuRefused", final=True), POLICY, failures=0, held=0).do == "bury"


def test_a_wait_beyond_max_hold_lets_the_event_come_back_alone() -> None:
    outcome = Outcome("retry", "not yet", after=11.0)
    assert next_step(outcome, POLICY, failures=0, held=0).do == "later"
    assert next_step(Outcome("retry", after=4.0), POLICY, failures=0, held=7).do == "later"
    assert next_step(Outcome("retry", after=3.0), POLICY, failures=0, held=7).do == "retry"


def test_the_authors_wait_is_taken_as_it_is_and_the_hubs_as_the_least() -> None:
    assert next_step(Outcome("retry", after=0.0), POLICY, failures=0, held=0).delay == 0.0
    limited = Outcome("failed", after=3.0)
    assert next_step(limited, POLICY, failures=0, held=0, chance=lambda: 0.5).delay == 3.0
    for outcome in (Outcome("failed", after=0.1), Outcome("retry")):
        assert next_step(outcome, POLICY, failures=0, held=0, chance=lambda: 0.5).delay == 0.5


def test_nothing_is_counted_when_the_store_is_away_or_the_claim_is_lost() -> None:
    assert next_step(Outcome("store_away"), POLICY, failures=2, held=0).do == "let_go"
    assert next_step(FENCED, POLICY, failures=2, held=0).do == "stop"


def test_the_place_of_an_error_holds_no_message() -> None:
    try:
        raise ValueError("what somebody wrote")
    except ValueError as error:
        place = place_of(error)
    assert place.startswith("ValueError at tests.unit.worker.test_retry:")
    assert "somebody" not in place


def test_the_place_of_an_error_is_the_bots_own_line_however_deep_it_was_raised() -> None:
    bot = types.ModuleType(f"{HANDLER_MODULES}1_support")
    code = "import json\ndef report(text):\n    return json.loads(text)\n"
    exec(compile(code, "bots/support.py", "exec"), bot.__dict__)
    with pytest.raises(ValueError, match="Expecting") as caught:
        bot.report("somebody wrote this")
    assert place_of(caught.value) == "JSONDecodeError at bots/support.py:3 in report"


def test_a_use_that_can_never_work_is_told_in_full() -> None:
    with pytest.raises(Misused) as caught:
        message_of(cast("str", {"text": "what somebody wrote"}))
    place = place_of(caught.value)
    assert place.startswith("Misused (a bot cannot say a dict: give text")
    assert place.endswith(" File)")  # and no line of the hub's own


def test_of_what_feishu_answered_code_and_log_id_are_told() -> None:
    assert place_of(FeishuRefused("no", code=230002, log_id="log-9")) == "FeishuRefused 230002 (log id log-9)"
    assert place_of(FeishuRefused("no")) == "FeishuRefused"


def test_an_outcome_survives_the_line() -> None:
    outcome = Outcome("failed", "x", 2.0, True, b'{"toast":1}')
    for one in (outcome, DONE):
        assert Outcome.of_message(one.message()) == one
