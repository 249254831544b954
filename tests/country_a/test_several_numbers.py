"""One person, several identifiers that each find them: what they restricted under one holds whichever is used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.country_a.test_answers import STORED, listed

from isthmus.model.identifiers import PatientIdentifier
from isthmus.testing.border import PracticeBorder
from isthmus.testing.register import CT, SEEN, Register, fill

pytestmark = pytest.mark.anyio
CARD = replace(SEEN, identifier=PatientIdentifier("urn:oid:2.999.77", "Z9"))


@dataclass
class Knowing(Register):
    """A register that knows a second identifier of a person."""

    async def other_identifiers(self, patient: PatientIdentifier) -> Sequence[PatientIdentifier]:
        both = (SEEN.identifier, CARD.identifier)
        return tuple(one for one in both if one != patient) if patient in both else ()


@pytest.fixture
async def border(tmp_path: Path) -> AsyncIterator[PracticeBorder]:
    async with PracticeBorder(tmp_path / "practice", register=Knowing()) as made:
        fill(made.register, tmp_path)
        yield made


@pytest.mark.threat("T35")
@pytest.mark.parametrize(("kind", "scope", "left"), [("opt-out", "", 0), ("restrict-study", CT, 2)])
async def test_what_was_restricted_under_another_number_holds(
    border: PracticeBorder, kind: str, scope: str, left: int
) -> None:
    border.say(CARD, kind, scope)

    reply, _ = await listed(border, SEEN)
    token, _ = await border.care(SEEN)
    images = await border.ask(f"/dicom-web/studies/{CT}", token=token, headers=STORED)

    assert reply.json()["total"] == left
    assert images.status == 404
