"""What both countries write down of a visit, laid side by side and held against the requirements of the trail."""

from __future__ import annotations

import json

import pytest

from isthmus.audit.atna.event import Site, write_event
from isthmus.conformance.evidence import Trails
from isthmus.conformance.requirement import Kind, Severity, examine
from isthmus.conformance.requirements import all as groups
from isthmus.conformance.structure import structure_faults
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


@pytest.mark.requirement("AUD-02", "AUD-03", "AUD-04", "AUD-06", "AUD-10")
async def test_every_event_of_a_visit_is_told_as_ihe_asks_on_both_sides(countries: TwoCountries) -> None:
    since = countries.since()

    async with countries.b.visit(PEOPLE["eleni"]) as visit:
        await _all_of(visit)

    numbers = {pair.b.exchange_id for pair in since.pairs() if pair.b is not None}
    claimed: dict[str, set[str]] = {"A": set(), "B": set()}
    for node in (countries.a, countries.b):
        site = Site(node.country, node.settings.ncp_id, "localhost", {})
        for at, record in enumerate(event for event in node.events() if event["exchange_id"] in numbers):
            made = write_event(record, record["ended"], at, site)
            found = [*structure_faults(made), *examine(Kind.EVENT, made, load_pack())]
            assert [one for one in found if one.severity is Severity.ERROR] == [], (node.country, record["transaction"])
            claimed[record["side"]] |= {one.rpartition("/")[2] for one in made.get("meta", {}).get("profile", [])}
    assert claimed == {
        "A": {
            "IHE.PDQm.Query.Audit.Supplier",
            "IHE.MHD.FindDocumentReferences.Audit.Responder",
            "IHE.MHD.RetrieveDocument.Audit.Responder",
            "IHE.BasicAudit.PrivacyDisclosure.Source",
        },
        "B": {
            "IHE.PDQm.Query.Audit.Consumer",
            "IHE.MHD.FindDocumentReferences.Audit.Consumer",
            "IHE.MHD.RetrieveDocument.Audit.Consumer",
            "IHE.BasicAudit.PrivacyDisclosure.Recipient",
        },
    }


async def test_a_patient_reads_within_the_minute_who_looked_and_whether_it_was_given(countries: TwoCountries) -> None:
    patient = PEOPLE["eleni"]
    async with countries.b.visit(patient) as visit:
        await _all_of(visit)

    done = countries.a.command(
        "audit", "for-patient", "--patient", f"{patient.identifier.system}|{patient.identifier.value}", "--json"
    )

    accesses = json.loads(done.stdout)["accesses"]
    assert done.returncode == 0
    assert accesses[0]["kind"] == "ITI-81"
    assert accesses[1]["words"]["outcome"] == "refused"  # the study that is not there
    by_b = [one for one in accesses if one["country"] == "BB"]
    assert {"ITI-71", "ITI-78", "ITI-67", "ITI-68", "RAD-107"} <= {one["kind"] for one in by_b}
    assert {(one["words"]["purpose"], one["words"]["role"]) for one in by_b} == {("treatment", "specialist doctor")}
    assert all(" " in one["person"] and one["organisation"] for one in by_b)
