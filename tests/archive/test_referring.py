"""A study tells which other studies its own reports, key images and presentation states refer to; who may see it depends on them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pydicom.dataset import Dataset
from tests.archive.conftest import ISSUER, NOW, Node, dicom

from isthmus.consent.decision import DirectiveSet, decide
from isthmus.consent.records import Directive
from isthmus.consent.rules import Rules
from isthmus.consent.speaking import Recipient
from isthmus.model.documents import Document
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.queries import DocumentQuery
from isthmus.national.files import Files

EVA = PatientIdentifier(f"urn:oid:{ISSUER}", "1234567")
KEY_IMAGES = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.59", "Modality": "KO"}


def named(*studies: str) -> list[Dataset]:
    items = [Dataset() for _ in studies]
    for item, uid in zip(items, studies, strict=True):
        item.StudyInstanceUID = uid
    return items


def listed(node: Node) -> list[Document]:
    files = Files(node.settings, node.database, lambda: NOW)
    try:
        return list(asyncio.run(files.find_documents(DocumentQuery(patient=EVA))))
    finally:
        asyncio.run(files.close())


def studies_seen(node: Node, *restricted: str) -> set[str]:
    said = [Directive(uid, "restrict-study", uid, EVA, datetime(2026, 1, 1, tzinfo=UTC)) for uid in restricted]
    services = frozenset({"imaging-report", "imaging-manifest", "imaging-pixels"})
    rules = Rules(opt_in=False, presence=frozenset({"id-document"}), services=services)
    who = Recipient("BB", "B1", "doctor-7", "2212", "TREAT")
    decision = decide(who=who, presence="id-document", directives=DirectiveSet(tuple(said)), rules=rules, now=NOW)
    return {uid for document in decision.visible(listed(node)) for uid in document.study_instance_uids}


@pytest.mark.threat("T32")
@pytest.mark.parametrize(
    "sequence",
    [
        "CurrentRequestedProcedureEvidenceSequence",
        "PertinentOtherEvidenceSequence",
        "StudiesContainingOtherReferencedInstancesSequence",
    ],
)
def test_key_images_that_refer_to_a_restricted_study_hide_the_study_they_are_in(node: Node, sequence: str) -> None:
    referring: dict[str, Any] = {**KEY_IMAGES, sequence: named("2.25.10", "2.25.20")}
    node.bring(
        dicom(1, study="2.25.10", series="2.25.11"),
        dicom(2, study="2.25.20", series="2.25.21"),
        dicom(3, study="2.25.30", series="2.25.31"),
        dicom(4, study="2.25.10", series="2.25.12", **referring),
    )

    assert studies_seen(node) == {"2.25.10", "2.25.20", "2.25.30"}
    assert studies_seen(node, "2.25.20") == {"2.25.30"}
    assert studies_seen(node, "2.25.10") == {"2.25.20", "2.25.30"}


def test_what_refers_to_its_own_study_or_to_no_uid_names_no_other(node: Node) -> None:
    sequence = "CurrentRequestedProcedureEvidenceSequence"
    referring: dict[str, Any] = {**KEY_IMAGES, sequence: named("2.25.10", "")}
    node.bring(dicom(4, study="2.25.10", series="2.25.12", **referring))

    assert {document.refers_to for document in listed(node)} == {()}
