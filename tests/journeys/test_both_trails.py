"""What both countries write down of a visit, laid side by side and held against the requirements of the trail."""

from __future__ import annotations

import pytest

from isthmus.conformance.evidence import Trails
from isthmus.conformance.requirement import Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.demo.people import PEOPLE
from isthmus.errors import ImagesNotFound
from isthmus.model.documents import DocumentKind
from isthmus.testing.two_countries import Asking, TwoCountries
from isthmus.wire.packs.pack import load_pack

pytestmark = pytest.mark.anyio
assert groups.GROUPS


async def _all_of(visit: Asking) -> None:
    """Everything a professional asks for, and two things that are not there."""
    for document in await visit.find_documents():
        if document.kind is DocumentKind.MANIFEST_FHIR:
            manifest, _ = await visit.get_manifest(document)
            await visit.get_images(manifest.study.study_instance_uid)
        elif document.kind is DocumentKind.REPORT_FHIR:
            await visit.get_report(document)
    with pytest.raises(ImagesNotFound):
        await visit.get_images("2.25.1")


@pytest.mark.requirement("AUD-01", "AUD-05", "AUD-07", "AUD-08", "AUD-11", "CAP-08", "SEC-07", "WAD-22")
async def test_both_trails_of_a_visit_fulfil_every_requirement(countries: TwoCountries) -> None:
    since = countries.since()

    async with countries.b.visit(PEOPLE["eleni"]) as visit:
        await _all_of(visit)

    pairs = since.pairs()
    numbers = {pair.b.exchange_id for pair in pairs if pair.b is not None}
    asking, answering = (
        tuple(event for event in node.events() if event["exchange_id"] in numbers)
        for node in (countries.b, countries.a)
    )
    transactions = [event["transaction"] for event in asking]
    assert {"ITI-71", "ITI-78", "ITI-67", "ITI-68", "RAD-107"} <= set(transactions)
    assert examine(Kind.TRAILS, Trails(asking=asking, answering=answering), load_pack()) == []
    # without the answers themselves: each number once on each side, and the token's number in each use of it
    for events in (asking, answering):
        assert sorted(event["exchange_id"] for event in events) == sorted(numbers)
        used = [event for event in events if event["transaction"] in ("ITI-67", "ITI-68", "RAD-107")]
        assert all(event["token_jti"] and event["purpose"] and event["role"] for event in used)
