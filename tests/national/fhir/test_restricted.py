"""What a patient restricted stays restricted, whatever becomes of the report there and by whichever number the patient is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.archive.conftest import NOW
from tests.national.fhir.behind import MINE, PDF, SYSTEM, Behind, entry, patient_node, person

from isthmus.consent.decision import Decision
from isthmus.consent.records import Directive
from isthmus.consent.roles import Act
from isthmus.consent.speaking import Recipient
from isthmus.model.documents import Document
from isthmus.model.identifiers import PatientIdentifier
from isthmus.testing.engines.fhir_repository import FhirRepository

UNIQUE = "urn:oid:2.999.9.7"
PDF_TYPE = "application/pdf"
CARD = PatientIdentifier("urn:oid:2.999.77", "Z9")
OLD = PatientIdentifier(SYSTEM, "77")


def _entry(id_: str = "d1", body: bytes = PDF, **members: Any) -> dict[str, Any]:
    return entry(id_, (PDF_TYPE, body), masterIdentifier={"system": "urn:ietf:rfc:3986", "value": UNIQUE}) | members


def _shown(behind: Behind, scope: str = UNIQUE) -> tuple[Document, ...]:
    said = Directive("1", "restrict-report", scope, MINE.identifier, NOW)
    services = frozenset({"imaging-report", "imaging-manifest"})
    who = Recipient("BB", "H1", "doctor-7", "2212", "TREAT")
    decision = Decision("", (said,), False, True, frozenset(Act), services, frozenset(), who, behind.connector.zone)
    return decision.visible(behind.known())


def _renamed(behind: Behind, *, beside: bool = False) -> None:
    """The node is started anew with the repository under another name, or under both."""
    sources = behind.settings.sources
    other = replace(sources.reports[0], name="other")
    reports = (*sources.reports, other) if beside else (other,)
    behind.settings = replace(behind.settings, sources=replace(sources, reports=reports))
    behind.again()


def test_a_version_with_other_bytes_stays_restricted(behind: Behind, repository: FhirRepository) -> None:
    repository.put(_entry())
    (first,) = behind.listed()

    repository.put(_entry(body=PDF + b"amended"))
    repository.put(_entry(body=PDF + b"once more"))

    (now,) = behind.listed()
    assert now.id != first.id
    assert [_shown(behind, scope) for scope in (UNIQUE, first.id)] == [(), ()]
    assert _shown(behind, "another") == (now,)


@pytest.mark.parametrize("gone", ["deleted", "in error"])
def test_what_replaces_a_restricted_report_that_is_gone_is_restricted(
    behind: Behind, repository: FhirRepository, gone: str
) -> None:
    repository.put(_entry("old"))
    assert behind.listed()

    relation = {"code": "replaces", "target": {"reference": "DocumentReference/old"}}
    repository.put(entry("new", (PDF_TYPE, PDF + b"2"), relatesTo=[relation]))
    if gone == "deleted":
        repository.delete("DocumentReference", "old")
    else:
        repository.put(_entry("old", status="entered-in-error"))

    assert len(behind.listed()) == 1
    assert _shown(behind) == ()


def test_a_report_stays_restricted_when_its_source_has_another_name(behind: Behind, repository: FhirRepository) -> None:
    repository.put(_entry())
    assert behind.listed()

    _renamed(behind)

    assert len(behind.listed()) == 1
    assert _shown(behind) == ()


def test_of_the_same_report_in_two_sources_the_first_counts(behind: Behind, repository: FhirRepository) -> None:
    repository.put(_entry())
    before = behind.listed()

    _renamed(behind, beside=True)

    assert behind.listed() == before
    assert _shown(behind) == ()


def test_every_identifier_of_a_person_is_known_when_they_are_found_by_one(
    behind: Behind, repository: FhirRepository
) -> None:
    merged = patient_node("p7", person("77", "Müller", "Eva"), active=False)
    repository.put(merged | {"link": [{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}]})
    mine = patient_node("p1", MINE, link=[{"other": {"reference": "Patient/p7"}, "type": "replaces"}])
    mine["identifier"].append({"system": CARD.system, "value": CARD.value})
    repository.put(mine)

    known = [behind.run(behind.connector.other_identifiers(one)) for one in (MINE.identifier, CARD)]

    assert [set(one) for one in known] == [{CARD, OLD}, {MINE.identifier, OLD}]
    assert behind.run(behind.connector.other_identifiers(person("124", "", "").identifier)) == ()
