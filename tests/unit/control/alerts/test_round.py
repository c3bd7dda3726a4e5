"""One evaluation after the other: pending, firing, sent once, repeated, resolved, silenced."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from app.control.alerts.round import Readings, Round, evaluate
from app.control.alerts.silences import Silence
from app.control.alerts.states import Alert, Timing
from app.core.alert_rules import Rule
from tests.unit.control.alerts.parts import START, rule

TIMING = Timing(settle=60, repeat=3600)


class Course:
    """Alerts from evaluation to evaluation, ten seconds apart unless it is said otherwise."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = {one.name: one for one in rules}
        self.alerts: Mapping[str, Alert] = {}
        self.silences: Collection[Silence] = ()
        self.now = START

    def reads(self, readings: Readings, after: float = 10.0) -> Round:
        self.now += after
        found = evaluate(self.rules, readings, self.alerts, self.silences, self.now, TIMING)
        self.alerts = found.after
        return found

    def waiting(self, count: float, after: float = 10.0) -> list[str]:
        """What is told of the bot echo, of whom so many events wait."""
        return [item.news for item in self.reads({"queue_waiting": {"echo": count}}, after).items]

    @property
    def states(self) -> dict[str, str]:
        return {key: alert.state for key, alert in self.alerts.items()}


def test_an_alert_is_pending_then_fires_and_is_told_once() -> None:
    course = Course(rule(hold=60))
    assert course.waiting(101) == []
    assert course.states == {"QueueLong/echo": "pending"}
    assert course.waiting(500, after=59) == []
    assert course.waiting(101, after=1) == ["firing"]
    assert course.states == {"QueueLong/echo": "firing"}
    assert [course.waiting(101) for _ in range(5)] == [[]] * 5


def test_the_bound_itself_is_allowed() -> None:
    course = Course(rule())
    assert course.waiting(100) == []
    assert course.states == {}


def test_what_is_over_before_it_fires_is_never_told() -> None:
    course = Course(rule(hold=60))
    course.waiting(101)
    found = course.reads({"queue_waiting": {"echo": 3}})
    assert (found.items, found.past, course.states) == ([], [], {})
    # And it begins anew.
    assert course.waiting(101, after=60) == []


def test_an_alert_is_over_once_its_condition_has_settled_and_told_once() -> None:
    course = Course(rule())
    assert course.waiting(101) == ["firing"]
    assert course.waiting(3) == []
    assert course.waiting(3, after=59) == []
    found = course.reads({"queue_waiting": {"echo": 3}}, after=1)
    assert [(item.news, item.alert.value) for item in found.items] == [("resolved", 101)]
    assert [(entry.what, entry.at) for entry in found.past] == [("resolved", course.now)]
    assert course.states == {}


def test_one_that_flaps_is_one_alert() -> None:
    course = Course(rule())
    assert course.waiting(101) == ["firing"]
    assert [news for _ in range(20) for count in (3, 101) for news in course.waiting(count)] == []


def test_one_that_stays_is_repeated_hourly() -> None:
    course = Course(rule())
    assert course.waiting(101) == ["firing"]
    told = [news for _ in range(1080) for news in course.waiting(101)]
    assert told == ["still"] * 3


def test_a_silenced_alert_is_not_told_until_the_silence_ends() -> None:
    course = Course(rule())
    course.silences = [Silence("QueueLong", "e*", course.now + 100)]
    assert [course.waiting(101) for _ in range(9)] == [[]] * 9
    assert course.states == {"QueueLong/echo": "firing"}
    assert course.waiting(101) == ["firing"]


def test_a_silence_covers_only_what_it_names() -> None:
    course = Course(rule())
    course.silences = [Silence("QueueLong", "support", course.now + 100), Silence("Other", "*", course.now + 100)]
    assert course.waiting(101) == ["firing"]


def test_whoever_heard_that_it_began_hears_that_it_is_over_though_silenced() -> None:
    course = Course(rule())
    assert course.waiting(101) == ["firing"]
    course.silences = [Silence("*", "*", course.now + 1000)]
    course.waiting(3)
    assert course.waiting(3, after=60) == ["resolved"]


def test_whoever_never_heard_of_it_does_not_hear_that_it_is_over() -> None:
    course = Course(rule())
    course.silences = [Silence("*", "*", course.now + 1000)]
    course.waiting(101)
    course.waiting(3)
    found = course.reads({"queue_waiting": {"echo": 3}}, after=60)
    assert found.items == []
    assert [entry.what for entry in found.past] == ["resolved"], "it is history all the same"


def test_every_condition_has_to_hold_for_the_same_subject() -> None:
    course = Course(rule("HighErrorRate", "errors_per_minute > 5 and error_share > 5%"))
    readings = {
        "errors_per_minute": {"busy": 50.0, "rare": 1.0, "bad": 6.0},
        "error_share": {"busy": 0.01, "rare": 1.0, "bad": 0.06},
    }
    found = course.reads(readings)
    assert [(item.alert.subject, item.alert.value) for item in found.items] == [("bad", 6.0)]


def test_a_signal_that_cannot_be_read_changes_nothing() -> None:
    course = Course(rule(), rule("HighCPU", "cpu > 80%"))
    course.waiting(101)
    for _ in range(20):
        found = course.reads({"cpu": {"n1": 0.9}})
        assert "QueueLong/echo" in found.after
        assert all(item.alert.rule == "HighCPU" for item in found.items)


def test_a_subject_that_is_gone_is_over() -> None:
    course = Course(rule())
    course.waiting(101)
    course.reads({"queue_waiting": {}})
    assert [item.news for item in course.reads({"queue_waiting": {}}, after=60).items] == ["resolved"]


def test_a_rule_taken_out_ends_its_alerts() -> None:
    course = Course(rule())
    course.waiting(101)
    course.rules = {}
    assert [item.news for item in course.reads({}).items] == ["resolved"]
    assert course.states == {}


def test_what_fired_is_history_once() -> None:
    course = Course(rule())
    past = [entry.what for _ in range(5) for entry in course.reads({"queue_waiting": {"echo": 101}}).past]
    assert past == ["fired"]
