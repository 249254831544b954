"""Manifests: made once, kept, replaced when the content changes.

Source: interfaces.md §10; performance.md §3.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.archive.conftest import ISSUER, Node, dicom

from isthmus.archive.prepared import Manifests
from isthmus.config import Border
from isthmus.model.documents import Document
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.queries import DocumentQuery
from isthmus.national.files import Files
from isthmus.wire.manifests import read_manifest
from isthmus.wire.packs.pack import load_pack

EVA = PatientIdentifier(f"urn:oid:{ISSUER}", "1234567")


class _Clock:
    """Each look is an hour later."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(hours=1)
        return self.now


def _documents(files: Files) -> list[Document]:
    return list(asyncio.run(files.find_documents(DocumentQuery(patient=EVA))))


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
