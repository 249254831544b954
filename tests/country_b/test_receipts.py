"""Country B signs for what arrived, whoever fetched it, and again until it is heard; and tells of later looks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.audit.evidence.conftest import MADE, Asked, asked_by, filled
from tests.audit.log.conftest import Beside
from tests.audit.log.test_rounds import incidents

from isthmus.audit.account import Account
from isthmus.storage.schema.audit_delivery import audit_delivery
from isthmus.testing.border import PracticeBorder

pytestmark = pytest.mark.anyio


@pytest.fixture
async def border(tmp_path: Path) -> AsyncIterator[PracticeBorder]:
    async with PracticeBorder(tmp_path / "practice") as made:
        filled(made, tmp_path)
        yield made


@pytest.fixture
async def asked(border: PracticeBorder) -> AsyncIterator[Asked]:
    """A visit that fetched a study of three images, and has signed for nothing yet."""
    bb = Beside(border)
    with bb.running():
        yield await asked_by(border, bb)


def states(asked: Asked) -> list[tuple[str, int]]:
    query = select(audit_delivery.c.state, audit_delivery.c.number)
    return [(row.state, row.number) for row in asked.bb.state.read_now(lambda c: c.execute(query).all())]


async def test_what_arrived_is_signed_for_once(asked: Asked) -> None:
    first, again = await asked.receipts.settle(), await asked.receipts.settle()

    assert (first, again) == (1, 0)
    assert [state for state, _ in states(asked)] == ["settled"]


async def test_a_country_that_is_not_reached_is_still_owed(asked: Asked) -> None:
    asked.line.fails = True
    assert await asked.receipts.settle() == 0
    assert [state for state, _ in states(asked)] == ["owed"]

    asked.line.fails = False
    asked.receipts._resting.clear()  # half a minute later

    assert await asked.receipts.settle() == 1


@pytest.mark.threat("T61")
@pytest.mark.parametrize("answer", [b'{"statement":"a.b.c"}', b"{}", b"not json"])
async def test_an_answer_that_is_not_signed_over_the_same_is_an_incident(asked: Asked, answer: bytes) -> None:
    asked.line.says["/ncp/receipts"] = answer

    await asked.receipts.settle()

    assert [state for state, _ in states(asked)] == ["disputed"]
    assert incidents(asked.bb.state, asked.bb.master) == ["receipt-mismatch"]


async def test_a_later_look_stands_on_both_trails_about_the_patient(asked: Asked, border: PracticeBorder) -> None:
    heard = await asked.receipts.tell_of_look(asked.visit, "AA", MADE.study_instance_uid)
    nothing = await asked.receipts.tell_of_look(asked.visit, "AA", "2.25.404")

    def views(account: Account) -> list[Any]:
        return [(one.transaction, one.outcome) for one in account.exchanges(20) if one.transaction == "view"]

    assert (heard, nothing) == (True, False)
    assert views(Account(border.state, border.master, border.settings.folder)) == [("view", "complete")]
    assert views(Account(asked.bb.state, asked.bb.master, asked.bb.settings.folder)) == [("view", "complete")]


@pytest.mark.threat("T107")
async def test_one_number_a_hundred_times_from_two_countries_hides_nothing(border: PracticeBorder) -> None:
    for _ in range(50):
        for country in ("BB", "CC"):
            certificate = border.peers[country].certificate
            await border.ask("/fhir/metadata", headers={"x-request-id": "same"}, certificate=certificate)

    found = Account(border.state, border.master, border.settings.folder).exchanges(1000)

    assert sorted(one.peer for one in found if one.exchange_id == "same") == ["BB"] * 50 + ["CC"] * 50
