"""What every connector to a PACS shares: whose studies, manifests without pixels, and bytes only of the one asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.archive.conftest import NOW, Node, dicom, settings_in
from tests.national.test_files import _patient

from isthmus.archive.reports import Envelope, Reports
from isthmus.errors import ContentMismatch, DocumentNotFound, ImagesNotFound, ImagesPreparing
from isthmus.model.documents import Document
from isthmus.model.pieces import Arriving, StoredInstance
from isthmus.model.queries import DocumentQuery, ImagesQuery
from isthmus.national import pacs
from isthmus.national.opening import open_sources
from isthmus.national.pacs import PacsImages
from isthmus.national.sources import Sources
from isthmus.sandbox import Sandbox
from isthmus.sources import Source
from isthmus.storage.database import open_index
from isthmus.testing.connector_contract import ConnectorContract, Offered
from isthmus.testing.pacs import PracticePacs
from isthmus.testing.studies import SyntheticStudy
from isthmus.wire.packs.pack import load_pack

MINE, STRANGER = _patient("123", "Müller", "Eva"), _patient("124", "Other", "Ada")
STUDY, THEIRS = (
    SyntheticStudy(seed, patient, instances=3, series_size=2, rows=4, columns=4)
    for seed, patient in ((1, MINE), (2, STRANGER))
)
QUERY = DocumentQuery(patient=MINE.identifier)


class Behind:
    """A country whose register is the embedded one and whose images lie in a PACS."""

    def __init__(self, folder: Path) -> None:
        self.settings = settings_in(folder)
        self.index = open_index(self.settings)
        self.pacs = PracticePacs(self.settings.sources.images[0])
        self.pacs.keep(*(b"".join(study.pieces(n)) for study in (STUDY, THEIRS) for n in range(3)))
        self.images = PacsImages(self.settings, self.index, self.pacs.source, self.pacs, lambda: NOW)
        embedded = open_sources(self.settings, self.index, lambda: NOW)
        self.sources = Sources(embedded.patients, embedded.reports, (self.images,), embedded.zone)

    def listed(self) -> list[Document]:
        return list(asyncio.run(self.sources.find_documents(QUERY)))

    def found(self, study: str = STUDY.study_instance_uid) -> list[StoredInstance]:
        return list(asyncio.run(self.sources.get_images(MINE.identifier, ImagesQuery(study))))

    def read(self, instance: StoredInstance) -> bytes:
        async def whole() -> bytes:
            assert isinstance(instance.content, Arriving)
            return b"".join([bytes(piece) async for piece in instance.content.open()])

        return asyncio.run(whole())


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Behind]:
    made = Behind(tmp_path)
    yield made
    made.index.close()


class TestPacs(ConnectorContract):
    @pytest.fixture
    def offered(self, behind: Behind) -> Offered:
        registered = Node(behind.settings, behind.index)
        registered.bring(*(dicom(n, study="2.25.77", **_said(p)) for n, p in ((1, MINE), (2, STRANGER)) if n == 1))
        registered.bring(dicom(2, study="2.25.78", **_said(STRANGER)))
        return Offered(behind.sources, MINE, STUDY.study_instance_uid, STRANGER, THEIRS.study_instance_uid)


def _said(patient: object) -> dict[str, str]:
    assert patient in (MINE, STRANGER)
    who = MINE if patient is MINE else STRANGER
    name = f"{who.name.family}^{who.name.given[0]}"
    return {"PatientID": who.identifier.value, "PatientName": name, "PatientBirthDate": "19700101"}


def test_manifests_are_made_once_and_without_a_pixel(behind: Behind) -> None:
    first = behind.listed()
    second = behind.listed()

    assert [document.kind.value for document in first] == ["manifest-fhir", "manifest-kos"]
    assert first == second
    assert behind.pacs.asked.count("list_instances") == 1
    assert "fetch" not in behind.pacs.asked


@pytest.mark.fault("F38")
def test_studies_of_others_that_a_pacs_answers_with_are_nobodys_business(behind: Behind) -> None:
    honest = behind.listed()

    behind.pacs.strangers_too = True

    assert behind.listed() == honest
    with pytest.raises(ImagesNotFound):
        behind.found(THEIRS.study_instance_uid)


def test_a_study_that_grows_gets_a_manifest_that_replaces_the_old(behind: Behind) -> None:
    old, _ = behind.listed()
    grown = SyntheticStudy(1, MINE, instances=4, series_size=2, rows=4, columns=4)

    behind.pacs.keep(b"".join(grown.pieces(3)))

    new = [d for d in behind.listed() if d.kind is old.kind]
    assert [(d.id == old.id, d.status, d.instance_count) for d in new] == [
        (True, "superseded", 3),
        (False, "current", 4),
    ]
    assert new[1].replaces == old.id


def test_a_corrected_description_is_a_new_manifest_though_no_instance_changed(behind: Behind) -> None:
    old, _ = behind.listed()
    renamed = SyntheticStudy(1, MINE, instances=3, series_size=2, rows=4, columns=4, description="CT of the other side")

    behind.pacs.keep(*(b"".join(renamed.pieces(n)) for n in range(3)))

    current = [d for d in behind.listed() if d.status == "current"]
    assert {d.title for d in current} == {"CT of the other side"}
    assert {d.unique_id for d in current}.isdisjoint({old.unique_id})


def test_a_study_that_was_another_patients_is_listed_for_whom_it_is_now(behind: Behind) -> None:
    before = behind.listed()
    moved = SyntheticStudy(1, STRANGER, instances=3, series_size=2, rows=4, columns=4)

    behind.pacs.keep(*(b"".join(moved.pieces(n)) for n in range(3)))

    theirs = asyncio.run(behind.sources.find_documents(DocumentQuery(patient=STRANGER.identifier)))
    now = [d for d in theirs if d.study_instance_uids == (STUDY.study_instance_uid,)]
    assert behind.listed() == []
    assert [d.kind for d in now] == [d.kind for d in before]
    assert {d.unique_id for d in now}.isdisjoint({d.unique_id for d in before})
    for document in now:
        body = asyncio.run(behind.sources.get_document(STRANGER.identifier, document.id)).body
        assert MINE.name.family.encode() not in body
    with pytest.raises(DocumentNotFound):
        asyncio.run(behind.sources.get_document(MINE.identifier, before[0].id))


def _also(behind: Behind, *names: str) -> tuple[Sources, list[PracticePacs]]:
    """PACS of other names that hold the same, the first in the settings first."""
    sources = [replace(behind.pacs.source, name=name) for name in names]
    settings = replace(behind.settings, sources=replace(behind.settings.sources, images=tuple(sources)))
    every = [PracticePacs(source, dict(behind.pacs.files)) for source in sources]
    images = [PacsImages(settings, behind.index, pacs.source, pacs, lambda: NOW) for pacs in every]
    return Sources(behind.sources.patients, (), images, behind.sources.zone), every


def test_a_pacs_with_another_name_has_the_same_documents(behind: Behind) -> None:
    before = behind.listed()

    renamed, _ = _also(behind, "renamed")

    assert list(asyncio.run(renamed.find_documents(QUERY))) == before


def test_a_study_that_moves_from_one_pacs_to_another_stays_listed(behind: Behind) -> None:
    both, (first, second) = _also(behind, "first", "second")
    before = asyncio.run(both.find_documents(QUERY))

    second.asked.clear()
    first.files.clear()

    for _ in range(2):
        after = asyncio.run(both.find_documents(QUERY))
    assert after == before
    assert asyncio.run(both.get_document(MINE.identifier, after[0].id)).body


def _pacs_after(behind: Behind, *before: Source) -> tuple[Sources, PracticePacs]:
    """The country after its operator has named a PACS, behind these sources of images."""
    source = replace(behind.pacs.source, name="pacs", kind="dicomweb", url="http://pacs.example/dicom-web")
    images = (*before, source)
    settings = replace(behind.settings, sources=replace(behind.settings.sources, images=images))
    pacs = PracticePacs(source, dict(behind.pacs.files))
    embedded = open_sources(behind.settings, behind.index, lambda: NOW)
    held = PacsImages(settings, behind.index, source, pacs, lambda: NOW)
    return Sources(embedded.patients, (), (held, *(embedded.images if before else ())), embedded.zone), pacs


def test_a_study_that_moved_from_the_archive_to_a_pacs_is_listed_when_the_archive_is_no_source_any_more(
    behind: Behind,
) -> None:
    Node(behind.settings, behind.index).bring(*(b"".join(STUDY.pieces(n)) for n in range(3)))
    embedded = open_sources(behind.settings, behind.index, lambda: NOW)
    before = list(asyncio.run(embedded.find_documents(QUERY)))

    moved, _ = _pacs_after(behind)

    after = [d for d in asyncio.run(moved.find_documents(QUERY)) if d.status == "current"]
    assert (len(before), [d.instance_count for d in after]) == (2, [3, 3])
    assert len(asyncio.run(moved.get_images(MINE.identifier, ImagesQuery(STUDY.study_instance_uid)))) == 3


def test_of_a_study_that_the_archive_has_in_part_list_and_images_agree(behind: Behind) -> None:
    Node(behind.settings, behind.index).bring(b"".join(STUDY.pieces(0)))

    both, _ = _pacs_after(behind, behind.settings.sources.images[0])

    listed = asyncio.run(both.find_documents(QUERY))
    given = asyncio.run(both.get_images(MINE.identifier, ImagesQuery(STUDY.study_instance_uid)))
    assert {d.instance_count for d in listed} == {1}
    assert [one.sop_instance_uid for one in given] == [STUDY.sop_instance_uid(0)]


@pytest.mark.fault("F04")
def test_an_issuer_that_is_written_by_a_name_of_the_house_is_the_one_the_settings_say(behind: Behind) -> None:
    named = [dicom(n, study="2.25.900", **_said(MINE), IssuerOfPatientID="HIS") for n in (1, 2)]
    behind.pacs.keep(*named)
    oid = MINE.identifier.system.removeprefix("urn:oid:")

    unsaid = {uid for d in behind.listed() for uid in d.study_instance_uids}
    behind.images.source = behind.pacs.source = replace(behind.pacs.source, issuers={"HIS": oid})
    said = {uid for d in behind.listed() for uid in d.study_instance_uids}

    assert ("2.25.900" in unsaid, "2.25.900" in said) == (False, True)
    assert [behind.read(one) for one in behind.found("2.25.900")] == named


def test_instances_that_a_pacs_does_not_count_are_asked_for_again(
    behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind.pacs.counts = False
    monkeypatch.setattr(pacs, "UNCOUNTED_S", 0.0)
    assert (len(behind.found()), behind.listed()[0].instance_count) == (3, 3)
    grown = SyntheticStudy(1, MINE, instances=4, series_size=2, rows=4, columns=4)

    behind.pacs.keep(b"".join(grown.pieces(3)))

    assert len(behind.found()) == 4
    assert {d.instance_count for d in behind.listed() if d.status == "current"} == {4}


def test_a_study_that_is_gone_from_the_pacs_is_gone_at_once(behind: Behind) -> None:
    manifest, _ = behind.listed()
    behind.pacs.files.clear()

    assert behind.listed() == []
    with pytest.raises(DocumentNotFound):
        asyncio.run(behind.sources.get_document(MINE.identifier, manifest.id))
    with pytest.raises(ImagesNotFound):
        behind.found()


def test_bytes_come_as_they_lie(behind: Behind) -> None:
    one = behind.found()[0]

    assert behind.read(one) == behind.pacs.files[one.sop_instance_uid]
    assert (one.transfer_syntax_uid, one.size_bytes, one.sha256) == ("", None, None)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(b"".join(THEIRS.pieces(0)), id="another patient's"),
        pytest.param(b"".join(STUDY.pieces(1)), id="another instance"),
        pytest.param(b"no DICOM at all" * 50, id="none"),
        pytest.param(b"".join(STUDY.pieces(0))[:140], id="cut"),
        pytest.param(
            b"".join(SyntheticStudy(1, STRANGER, instances=3, series_size=2, rows=4, columns=4).pieces(0)),
            id="the same UIDs, another patient",
        ),
    ],
)
def test_what_is_not_the_instance_asked_for_gives_no_byte(behind: Behind, other: bytes) -> None:
    one = next(i for i in behind.found() if i.sop_instance_uid == STUDY.sop_instance_uid(0))
    behind.pacs.gives[one.sop_instance_uid] = other

    with pytest.raises(ContentMismatch):
        behind.read(one)


def test_a_near_line_study_is_prepared_and_then_there(behind: Behind) -> None:
    behind.pacs.near_line = True

    assert len(behind.listed()) == 2
    with pytest.raises(ImagesPreparing) as told:
        behind.found()

    assert told.value.facts["retry_after_s"] == 7.0
    assert len(behind.found()) == 3


def test_a_study_of_the_archive_is_not_taken_over_by_a_pacs(behind: Behind) -> None:
    Node(behind.settings, behind.index).bring(*(b"".join(STUDY.pieces(n)) for n in range(3)))
    embedded = open_sources(behind.settings, behind.index, lambda: NOW)
    both = Sources(embedded.patients, (), (*embedded.images, behind.images), embedded.zone)

    listed = asyncio.run(both.find_documents(QUERY))

    assert len(listed) == 2
    assert all(document.instance_count == 3 for document in listed)


@pytest.mark.parametrize("there", [True, False])
def test_what_is_imported_of_a_study_that_a_later_pacs_told_of_is_the_archives(behind: Behind, there: bool) -> None:
    before, _ = behind.listed()
    Node(behind.settings, behind.index).bring(*(b"".join(STUDY.pieces(n)) for n in range(3)))
    embedded = open_sources(behind.settings, behind.index, lambda: NOW)
    pacs = PacsImages(behind.settings, behind.index, replace(behind.pacs.source, name="pacs"), behind.pacs, lambda: NOW)
    images = (*embedded.images, *((pacs,) if there else ()))

    listed = asyncio.run(Sources(embedded.patients, (), images, embedded.zone).find_documents(QUERY))

    by_id = {document.id: document for document in listed}
    assert by_id.keys() > {before.id}
    assert by_id[before.id].status == "superseded"
    assert [d.instance_count for d in listed if d.status == "current"] == [3, 3]


def test_reports_are_those_of_the_sources_of_reports_alone(behind: Behind) -> None:
    node = Node(behind.settings, behind.index)
    node.bring(*(b"".join(STUDY.pieces(n)) for n in range(3)))
    intake = node.intake()
    sandbox = Sandbox()
    reports = Reports(behind.index, intake.container, lambda: NOW, load_pack(), sandbox)
    reports.take(b"%PDF-1.7", "pdf", "r", Envelope(MINE.identifier, (STUDY.study_instance_uid,)))
    intake.close()
    sandbox.close()
    embedded = open_sources(behind.settings, behind.index, lambda: NOW)
    images_alone = Sources(embedded.patients, (), embedded.images, embedded.zone)

    kinds = [[d.kind.value for d in asyncio.run(s.find_documents(QUERY))] for s in (embedded, images_alone)]

    assert kinds == [["report-fhir", "manifest-fhir", "manifest-kos"], ["manifest-fhir", "manifest-kos"]]
