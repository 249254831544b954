"""The embedded archive keeps what every national connector must keep."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from sqlalchemy import update
from tests.archive.conftest import ISSUER, NOW, SANDBOX, Node, settings_in

from isthmus.archive.reports import Envelope, Reports
from isthmus.conformance.requirement import Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.model.documents import DocumentKind
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.model.queries import DocumentQuery, ImagesQuery, Page
from isthmus.national.files import Files
from isthmus.national.opening import open_sources
from isthmus.storage.database import open_index
from isthmus.storage.schema.archive import documents
from isthmus.testing.connector_contract import ConnectorContract, Offered
from isthmus.testing.studies import SyntheticStudy
from isthmus.wire.documents import write_found
from isthmus.wire.manifests import read_manifest
from isthmus.wire.packs.pack import OLDEST_FIRST, Pack, load_pack

assert groups.GROUPS


def _patient(value: str, family: str, given: str) -> Patient:
    name = HumanName(family, (given,))
    return Patient(PatientIdentifier(f"urn:oid:{ISSUER}", value), (name,), "1970-01-01", "female")


class TestFiles(ConnectorContract):
    """Files over an archive with two patients."""

    @pytest.fixture
    def offered(self, tmp_path: Path) -> Iterator[Offered]:
        mine, stranger = _patient("123", "Müller", "Eva"), _patient("124", "Other", "Ada")
        studies = [
            SyntheticStudy(seed, patient, instances=3, series_size=2, rows=4, columns=4)
            for seed, patient in ((1, mine), (2, stranger))
        ]
        settings = settings_in(tmp_path)
        database = open_index(settings)
        Node(settings, database).bring(*(b"".join(study.pieces(n)) for study in studies for n in range(3)))
        connector = Files(settings, database, lambda: NOW)
        yield Offered(connector, mine, studies[0].study_instance_uid, stranger, studies[1].study_instance_uid)
        database.close()


def test_a_document_whose_bytes_are_others_is_not_given(tmp_path: Path) -> None:
    mine, settings = _patient("123", "Müller", "Eva"), settings_in(tmp_path)
    database = open_index(settings)
    study = SyntheticStudy(1, mine, instances=1, series_size=1, rows=4, columns=4)
    Node(settings, database).bring(b"".join(study.pieces(0)))
    connector = Files(settings, database, lambda: NOW)
    listed, *_ = asyncio.run(connector.find_documents(DocumentQuery(patient=mine.identifier)))
    database.write_now(lambda connection: connection.execute(update(documents).values(sha256="0" * 64)) and None)

    with pytest.raises(NationalInfrastructureUnavailable):
        asyncio.run(connector.get_document(mine.identifier, listed.id))

    database.close()


@pytest.mark.requirement("MFH-25")
def test_every_instance_that_a_manifest_lists_is_given(tmp_path: Path) -> None:
    mine, settings = _patient("123", "Müller", "Eva"), settings_in(tmp_path)
    database = open_index(settings)
    study = SyntheticStudy(1, mine, instances=5, series_size=2, rows=4, columns=4)
    Node(settings, database).bring(*(b"".join(study.pieces(n)) for n in range(5)))
    connector = Files(settings, database, lambda: NOW)
    listed = asyncio.run(connector.find_documents(DocumentQuery(patient=mine.identifier)))

    manifest = next(d for d in listed if d.kind is DocumentKind.MANIFEST_FHIR)
    body = asyncio.run(connector.get_document(mine.identifier, manifest.id)).body
    given = asyncio.run(connector.get_images(mine.identifier, ImagesQuery(study.study_instance_uid)))

    told = [i.sop_instance_uid for s in read_manifest(body, load_pack()).manifest.study.series for i in s.instances]
    assert told == [instance.sop_instance_uid for instance in given]
    assert len(told) == manifest.instance_count == 5
    database.close()


@pytest.mark.parametrize("pack", [load_pack(name) for name in OLDEST_FIRST], ids=lambda pack: pack.name)
def test_what_the_archive_lists_fulfils_every_requirement_of_an_answer(tmp_path: Path, pack: Pack) -> None:
    mine, settings = _patient("123", "Müller", "Eva"), settings_in(tmp_path)
    database = open_index(settings)
    study = SyntheticStudy(1, mine, instances=2, series_size=1, rows=4, columns=4)
    node = Node(settings, database)
    node.bring(b"".join(study.pieces(0)))
    intake = node.intake()
    reports = Reports(database, intake.container, lambda: NOW, load_pack(), SANDBOX, settings.sources.reports[0])
    reports.take(b"%PDF-1.7", "pdf", "r", Envelope(mine.identifier, (study.study_instance_uid,)))
    intake.close()
    query = DocumentQuery(patient=mine.identifier, pack=pack.name)
    connector = open_sources(settings, database, lambda: NOW)
    first = asyncio.run(connector.find_documents(query))
    node.bring(b"".join(study.pieces(1)))

    listed = asyncio.run(connector.find_documents(query))

    database.close()
    assert (len(first), len(listed)) == (3, 5)
    found = write_found(Page(tuple(listed), len(listed)), query, base="https://aa.example/fhir", handle="h", pack=pack)
    assert examine(Kind.SEARCH, orjson.loads(found), pack) == []
