"""How often, how much: over the limit is refused, and says when to come again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.trust.conftest import Clock

from isthmus.config import Limits
from isthmus.errors import TooOften
from isthmus.storage.database import Database
from isthmus.trust.limits import Buckets, count_failure, count_patient, count_professional, count_search

LIMITS = Limits(searches_per_10_min=3, failed_searches_per_10_min=2, point_of_care_per_10_min=5)


class Seconds:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def search(db: Database, clock: Clock, who: str = "bb|doctor", where: str = "bb|ward", env: str = "prod") -> None:
    db.write_now(lambda c: count_search(c, who, where, limits=LIMITS, env=env, now=clock.now))


def fail(db: Database, clock: Clock, who: str = "bb|doctor", env: str = "prod") -> None:
    db.write_now(lambda c: count_failure(c, who, limits=LIMITS, env=env, now=clock.now))


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    seconds = Seconds()
    bucket = Buckets(5, seconds)
    for _ in range(10):
        bucket.take("BB")

    with pytest.raises(TooOften) as refusal:
        bucket.take("BB")
    bucket.take("CC")
    seconds.now += 1.0
    for _ in range(5):
        bucket.take("BB")

    assert refusal.value.facts["retry_after_s"] == 1
    with pytest.raises(TooOften):
        bucket.take("BB")


def test_a_professional_searches_so_often_in_ten_minutes(db: Database, clock: Clock) -> None:
    for _ in range(3):
        search(db, clock)

    with pytest.raises(TooOften) as refusal:
        search(db, clock)
    search(db, clock, who="bb|nurse")
    clock.forward(seconds=600)
    search(db, clock)

    assert refusal.value.facts["retry_after_s"] == 600


def test_a_point_of_care_searches_so_often_in_ten_minutes(db: Database, clock: Clock) -> None:
    for number in range(5):
        search(db, clock, who=f"bb|{number}")

    with pytest.raises(TooOften):
        search(db, clock, who="bb|another")
    search(db, clock, who="bb|another", where="bb|elsewhere")


def test_failures_make_the_wait_double(db: Database, clock: Clock) -> None:
    fail(db, clock)
    search(db, clock)
    waits = []
    for _ in range(4):
        fail(db, clock)
        with pytest.raises(TooOften) as refusal:
            search(db, clock)
        waits.append(refusal.value.facts["retry_after_s"])
        clock.forward(seconds=float(waits[-1]))  # type: ignore[arg-type]  # seconds

    assert waits == [60, 120, 240, 480]


def test_failures_are_forgotten_after_quiet_time(db: Database, clock: Clock) -> None:
    fail(db, clock)
    clock.forward(seconds=600)
    fail(db, clock)

    search(db, clock)


def test_practice_countries_have_a_hundred_times_as_much(db: Database, clock: Clock) -> None:
    for _ in range(50):
        fail(db, clock, env="demo")
        search(db, clock, env="demo")

    with pytest.raises(TooOften):
        search(db, clock, env="test")


@pytest.mark.threat("T96")
def test_a_peer_asks_about_so_many_different_patients_a_day_and_half_of_them_is_an_alarm(
    db: Database, clock: Clock
) -> None:
    clock.now = clock.now.replace(hour=10)

    def ask(patient: str, peer: str = "bb") -> bool:
        return db.write_now(lambda c: count_patient(c, peer, patient, patients_per_day=4, env="prod", now=clock.now))

    alarms = [ask(patient) for patient in ("one", "two", "two", "one", "three", "four", "four")]

    assert alarms == [False, True, False, False, False, False, False], "once, with the patient who makes half of it"
    with pytest.raises(TooOften) as refusal:
        ask("five")
    assert refusal.value.facts["limit"] == "patients-per-day"
    assert refusal.value.facts["retry_after_s"] == 14 * 3600 - clock.now.minute * 60 - clock.now.second
    ask("five", "cc")
    clock.forward(hours=14)
    ask("five")


@pytest.mark.threat("T95")
def test_so_many_professionals_of_one_patient_a_day_are_an_alarm_and_nobody_is_refused(
    db: Database, clock: Clock
) -> None:
    clock.now = clock.now.replace(hour=10)

    def treat(professional: str, patient: str = "one") -> bool:
        return db.write_now(lambda c: count_professional(c, patient, professional, alarm=3, now=clock.now))

    alarms = [treat(who) for who in ("a", "b", "b", "c", "c", "d")]
    other = treat("e", patient="two")
    clock.forward(hours=14)
    tomorrow = [treat(who) for who in ("a", "b", "c")]

    assert alarms == [False, False, False, True, False, False]
    assert other is False
    assert tomorrow == [False, False, True]


def test_each_limit_says_which_it_is(db: Database, clock: Clock) -> None:
    """What the operator is told; the words for the professional are the same."""

    def guess() -> None:
        fail(db, clock, who="bb|guess")
        search(db, clock, who="bb|guess", where="third")

    bucket, seen = Buckets(1, Seconds(), limit="peer-tokens"), iter(range(100))
    acts: dict[str, Callable[[], None]] = {
        "peer-tokens": lambda: bucket.take("BB"),
        "professional-searches": lambda: search(db, clock, where="other"),
        "point-of-care-searches": lambda: search(db, clock, who=f"bb|{next(seen)}"),
        "failed-searches": guess,
    }

    assert {limit: _stopped_by(act) for limit, act in acts.items()} == {limit: limit for limit in acts}


def _stopped_by(act: Callable[[], None]) -> object:
    try:
        for _ in range(10):
            act()
    except TooOften as refusal:
        return refusal.facts["limit"]
    return None
