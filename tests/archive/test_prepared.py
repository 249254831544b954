"""Manifests: made once, kept, replaced when the content changes.

Source: interfaces.md §10; performance.md §3.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.archive.conftest import ISSUER, Node, dicom

from isthmus.archive import register
from isthmus.archive.prepared import Manifests
from isthmus.archive.register import Traits
from isthmus.config import Border
from isthmus.conformance.evidence import kos_node
from isthmus.conformance.requirement import Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.imaging import Manifest
from isthmus.model.people import HumanName
from isthmus.model.queries import DocumentQuery
from isthmus.national.files import Files
from isthmus.wire.kos_reading import read_kos
from isthmus.wire.manifests import read_manifest
from isthmus.wire.packs.pack import load_pack

assert groups.GROUPS
EVA = PatientIdentifier(f"urn:oid:{ISSUER}", "1234567")


class _Clock:
    """Each look is an hour later."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(hours=1)
        return self.now


def _all(files: Files, pack: str | None = None) -> list[Document]:
    return list(asyncio.run(files.find_documents(DocumentQuery(patient=EVA, pack=pack))))


def _documents(files: Files) -> list[Document]:
    """The manifests in FHIR alone."""
    return [document for document in _all(files) if document.kind is DocumentKind.MANIFEST_FHIR]


def _read(files: Files, document: Document) -> Manifest:
    body = asyncio.run(files.get_document(EVA, document.id)).body
    read = read_kos if document.kind is DocumentKind.MANIFEST_KOS else read_manifest
    return read(body, load_pack()).manifest


def test_a_manifest_is_made_when_first_needed_and_kept(node: Node) -> None:
    node.bring(dicom(1), dicom(2))
    files = Files(node.settings, node.database, _Clock())

    first, again = _documents(files), _documents(files)

    assert first == again
    (document,) = first
    assert (document.series_count, document.instance_count, document.status) == (1, 2, "current")
    assert document.study_bytes == sum(row.size for row in node.rows())
    content = asyncio.run(files.get_document(EVA, document.id))
    manifest = read_manifest(content.body, load_pack()).manifest
    assert f"urn:oid:{manifest.uid}" == document.unique_id.value
    assert manifest.study.instance_count == 2
    assert manifest.created == document.created


def test_new_content_is_a_new_document_that_replaces_the_old(node: Node) -> None:
    files = Files(node.settings, node.database, _Clock())
    node.bring(dicom(1))
    (old,) = _documents(files)

    node.bring(dicom(2))
    before, after = _documents(files)

    assert (before.id, before.status, after.status, after.replaces) == (old.id, "superseded", "current", old.id)
    assert before.unique_id != after.unique_id
    body = asyncio.run(files.get_document(EVA, old.id)).body
    assert read_manifest(body, load_pack()).manifest.study.instance_count == 1


def test_what_does_not_change_the_offer_changes_no_manifest(node: Node) -> None:
    files = Files(node.settings, node.database, _Clock())
    node.bring(dicom(1))
    before = _documents(files)

    node.bring(dicom(1), dicom(2, PatientID=None), dicom(3, PatientID="9"), dicom(1, StudyDescription="Other"))

    assert _documents(files) == before


def test_when_the_border_moves_the_same_document_names_the_new_address(node: Node) -> None:
    node.bring(dicom(1))
    told = []

    for public in ("https://one.example", "https://two.example:8443/ncp", "https://two.example:8443/ncp"):
        files = Files(replace(node.settings, border=Border(public=public)), node.database, _Clock())
        (document,) = _documents(files)
        content = asyncio.run(files.get_document(EVA, document.id))
        told.append((document.id, read_manifest(content.body, load_pack()).manifest.endpoint_address, content.etag))

    assert [address for _, address, _ in told] == [
        "https://one.example/dicom-web", "https://two.example:8443/ncp/dicom-web", "https://two.example:8443/ncp/dicom-web",
    ]  # fmt: skip
    assert told[0][0] == told[1][0]
    assert told[0][2] != told[1][2]
    assert told[1] == told[2]


@pytest.mark.requirement("DRC-11")
def test_both_forms_are_made_at_once_under_one_uid_each_naming_the_other(node: Node) -> None:
    node.bring(dicom(1), dicom(2))
    files = Files(node.settings, node.database, _Clock())

    fhir, kos = _all(files)

    assert (fhir.kind, kos.kind) == (DocumentKind.MANIFEST_FHIR, DocumentKind.MANIFEST_KOS)
    assert (fhir.twin, kos.twin, kos.media_type) == (kos.id, fhir.id, "application/dicom")
    assert fhir.unique_id == kos.unique_id == Identifier("urn:dicom:uid", f"urn:oid:{_read(files, kos).uid}")
    body = asyncio.run(files.get_document(EVA, kos.id)).body
    assert examine(Kind.KOS, kos_node(body), load_pack()) == []
    of_fhir, of_kos = (_read(files, one) for one in (fhir, kos))
    assert of_kos.created == of_fhir.created
    assert of_kos.study.accession_numbers == of_fhir.study.accession_numbers == fhir.accession_numbers
    assert [s.instances for s in of_kos.study.series] == [s.instances for s in of_fhir.study.series]


@pytest.mark.requirement("MKO-21")
def test_new_content_supersedes_both_forms_together(node: Node) -> None:
    files = Files(node.settings, node.database, _Clock())
    node.bring(dicom(1))
    old = _all(files)

    node.bring(dicom(2))
    found = _all(files)

    assert [d.status for d in found] == ["superseded"] * 2 + ["current"] * 2
    assert [d.id for d in found[:2]] == [d.id for d in old]
    assert [d.replaces for d in found[2:]] == [d.id for d in old]
    assert [d.twin for d in found] == [found[1].id, found[0].id, found[3].id, found[2].id]
    assert _read(files, found[1]).study.instance_count == 1


ONE, OTHER = (Identifier("urn:oid:2.999.5.1", number) for number in ("A1", "A2"))


@pytest.mark.requirement("MKO-23")
@pytest.mark.parametrize(
    ("brought", "expected"),
    [([dicom(1)], (ONE,)), ([dicom(1), dicom(2, AccessionNumber="A2")], (ONE, OTHER))],
    ids=["one", "several"],
)
def test_accession_numbers_stand_in_both_forms_with_their_issuer(
    node: Node, brought: list[bytes], expected: tuple[Identifier, ...]
) -> None:
    node.bring(*brought)
    files = Files(node.settings, node.database, _Clock())

    for document in _all(files):
        assert set(document.accession_numbers) == set(expected)
        assert set(_read(files, document).study.accession_numbers) == set(expected)


@pytest.mark.requirement("MKO-23")
def test_a_study_without_accession_number_gets_one_and_both_forms_carry_it(node: Node) -> None:
    node.bring(dicom(1, AccessionNumber=None))
    files = Files(node.settings, node.database, _Clock())

    fhir, kos = _all(files)

    (made,) = fhir.accession_numbers
    assert made.system is not None
    assert made.system.startswith("urn:oid:2.25.")
    assert kos.accession_numbers == _read(files, kos).study.accession_numbers == (made,)
    assert _read(files, fhir).study.accession_numbers == (made,)


def test_what_dicom_has_no_room_for_is_offered_in_fhir_alone(node: Node) -> None:
    long = PatientIdentifier(f"urn:oid:{ISSUER}", "9" * 70)
    who = Traits((HumanName("Testova", ("Eva",)),), "1970-01-01", "female")
    node.database.write_now(lambda connection: register.put(connection, long, who))
    node.bring(dicom(1, PatientID=None), assign=long)
    files = Files(node.settings, node.database, _Clock())

    (only,) = asyncio.run(files.find_documents(DocumentQuery(patient=long)))

    assert (only.kind, only.twin) == (DocumentKind.MANIFEST_FHIR, None)


def test_two_who_make_it_at_once_read_the_same(node: Node) -> None:
    node.bring(dicom(1))
    made: list[int] = []

    def make() -> None:
        made.append(Manifests(node.settings, node.database, _Clock(), load_pack()).make(["2.25.10"]))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(made) == [0, 0, 0, 1]
    assert len(_documents(Files(node.settings, node.database, _Clock()))) == 1


def test_the_patient_without_images_has_no_documents(node: Node) -> None:
    files = Files(node.settings, node.database, _Clock())

    assert _documents(files) == []
    assert list(asyncio.run(files.find_documents(DocumentQuery()))) == []


def test_each_pack_has_manifests_of_its_own(node: Node) -> None:
    node.bring(dicom(1))
    files = Files(node.settings, node.database, _Clock())

    newer, classic, again = _all(files), _all(files, "ehdsi-9.1"), _all(files, "eu-2026-09")

    assert again == newer
    assert [d.kind for d in classic] == [d.kind for d in newer]
    assert not {d.id for d in classic} & {d.id for d in newer}
    assert not {d.unique_id for d in classic} & {d.unique_id for d in newer}
    assert classic[0].twin == classic[1].id
    assert {d.status for d in (*newer, *classic)} == {"current"}
