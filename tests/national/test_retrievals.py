"""Between a PACS that sends as it likes and an asker who takes as he can: order, back-pressure, leaving, and what never came."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.national import retrievals
from isthmus.national.classes import Learning
from isthmus.national.retrievals import Moved, Retrieval
from isthmus.transport.dimse.arrivals import Arrival, Left, Spool
from isthmus.transport.dimse.outbound import Outcome

CT, EXPLICIT_LE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"
UIDS = [f"2.25.{number}" for number in range(1, 6)]


class Sending:
    """A PACS's side: sends instances of a size in an order of its own, and says how far it got."""

    def __init__(self, folder: Path, order: list[str], size: int = 1000) -> None:
        self._spool, self._order, self._size = Spool(folder), order, size
        self.sent: list[str] = []
        self.hung_up = False

    def arrival(self, uid: str) -> Arrival:
        return Arrival(self._spool, CT, uid, EXPLICIT_LE, 1 << 40)

    def __call__(self, retrieval: Retrieval) -> list[Outcome]:
        for uid in self._order:
            arrival = self.arrival(uid)
            try:
                retrieval.begun(arrival)
                arrival.add(bytes(self._size))
                arrival.finish()
                retrieval.stored(arrival)
            except (Left, PermissionError):
                self.hung_up = True
                raise NationalInfrastructureUnavailable("it was hung up on") from None
            self.sent.append(uid)
        return [Outcome(0, len(self.sent), 0, 0)]


def running(retrieval: Retrieval, sending: Callable[[Retrieval], list[Outcome]]) -> threading.Thread:
    thread = threading.Thread(target=retrieval.run, args=(sending,), daemon=True)
    thread.start()
    return thread


def read(arrival: Arrival | None) -> int:
    assert arrival is not None
    size = sum(map(len, iter(arrival.read, b"")))
    arrival.release()
    return size


def test_an_asker_takes_in_his_own_order(tmp_path: Path) -> None:
    retrieval, sending = Retrieval(UIDS, UIDS), Sending(tmp_path, UIDS[::-1])
    running(retrieval, sending)

    sizes = [read(retrieval.take(uid)) for uid in UIDS]

    assert sizes == [sizes[0]] * 5
    assert sizes[0] > 1000


def test_a_pacs_waits_for_a_slow_asker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievals, "WAITING_BYTES", 2500)
    retrieval, sending = Retrieval(UIDS, UIDS), Sending(tmp_path, UIDS)
    thread = running(retrieval, sending)
    time.sleep(0.3)
    waited = list(sending.sent)

    for uid in UIDS:
        read(retrieval.take(uid))
    thread.join(5)

    assert len(waited) < 3
    assert sending.sent == UIDS


def test_the_bound_does_not_keep_what_is_asked_for_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievals, "WAITING_BYTES", 2500)
    retrieval = Retrieval(UIDS, UIDS)
    running(retrieval, Sending(tmp_path, UIDS))

    assert read(retrieval.take(UIDS[-1])) > 1000


def test_there_is_a_bound_even_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievals, "WAITING_MAX_BYTES", 3500)
    retrieval, sending = Retrieval(UIDS, UIDS), Sending(tmp_path, UIDS)
    running(retrieval, sending)

    assert retrieval.take(UIDS[-1]) is None
    assert sending.hung_up


def test_what_nobody_takes_is_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievals, "WAITING_BYTES", 1)
    monkeypatch.setattr(retrievals, "ABANDONED_S", 0.1)
    retrieval, sending = Retrieval(UIDS, UIDS), Sending(tmp_path, UIDS)

    running(retrieval, sending).join(5)

    assert sending.hung_up
    assert retrieval.over


def test_who_leaves_hangs_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievals, "WAITING_BYTES", 1)
    retrieval, sending = Retrieval(UIDS, UIDS), Sending(tmp_path, UIDS)
    thread = running(retrieval, sending)
    read(retrieval.take(UIDS[0]))

    retrieval.leave()
    thread.join(5)

    assert sending.hung_up
    assert not retrieval.has(UIDS[4])


@pytest.mark.fault("F47")
def test_what_never_comes_is_none(tmp_path: Path) -> None:
    retrieval = Retrieval(UIDS, UIDS)
    running(retrieval, Sending(tmp_path, UIDS[:3]))

    assert retrieval.take(UIDS[4]) is None
    assert retrieval.outcomes[0].claims_success
    assert read(retrieval.take(UIDS[0])) > 1000


def test_what_was_not_asked_for_is_taken_and_dropped(tmp_path: Path) -> None:
    retrieval, sending = Retrieval([*UIDS], UIDS[1:]), Sending(tmp_path, ["2.25.99", *UIDS])
    running(retrieval, sending).join(5)

    assert [retrieval.has(uid) for uid in ("2.25.99", *UIDS)] == [False, False, True, True, True, True]


def test_when_every_association_is_taken_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievals, "BEGUN_S", 0.05)

    with pytest.raises(NationalInfrastructureUnavailable):
        Retrieval(UIDS, UIDS).take(UIDS[0])


@pytest.mark.threat("T99")
def test_what_a_pacs_moves_to_us_unasked_is_refused(tmp_path: Path) -> None:
    moved, retrieval = Moved(), Retrieval(UIDS, UIDS)
    moved.add(retrieval)
    sending = Sending(tmp_path, [])

    with pytest.raises(PermissionError):
        moved.begun(sending.arrival("2.25.99"))

    asked = sending.arrival(UIDS[0])
    moved.begun(asked)
    assert retrieval.has(UIDS[0])
    assert moved.stored(sending.arrival(UIDS[1]))[0] != 0


def test_two_askers_of_one_instance_each_get_one(tmp_path: Path) -> None:
    moved, one, two = Moved(), Retrieval(UIDS, UIDS), Retrieval(UIDS, UIDS)
    moved.add(one)
    moved.add(two)
    sending = Sending(tmp_path, [])
    for _ in range(2):
        arrival = sending.arrival(UIDS[0])
        moved.begun(arrival)
        arrival.finish()
        moved.stored(arrival)

    assert UIDS[0] not in one.awaited | two.awaited
    assert (one.has(UIDS[0]), two.has(UIDS[0])) == (True, True)


def test_what_is_received_for_its_class_alone_takes_the_room_of_one_instance(tmp_path: Path) -> None:
    learning, spool = Learning(UIDS), Spool(tmp_path)
    taken = []

    for uid in UIDS:
        arrival = Arrival(spool, CT, uid, EXPLICIT_LE, 1 << 40)
        learning.begun(arrival)
        arrival.add(bytes(1000))
        arrival.finish()
        learning.stored(arrival)
        taken.append(spool.size_bytes)

    assert max(taken) == taken[0]
    assert learning.classes == dict.fromkeys(UIDS, CT)


def test_an_instance_that_broke_off_has_taught_nothing(tmp_path: Path) -> None:
    learning = Learning(UIDS)
    arrival = Arrival(Spool(tmp_path), CT, UIDS[0], EXPLICIT_LE, 1 << 40)
    learning.begun(arrival)

    learning.broken(arrival)

    assert learning.classes == {}
    assert learning.awaited == set(UIDS)
