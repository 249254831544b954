"""dcmtk's own PACS, which tells less of its instances than a manifest needs: what it does not tell is learnt, and a visit is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.archive.conftest import NOW, Node, dicom, settings_in
from tests.engines.test_dimse import MINE, STRANGER, data_set, read, register_both

from isthmus.config import Settings
from isthmus.demo.people import PEOPLE
from isthmus.model.queries import DocumentQuery, ImagesQuery
from isthmus.national.classes import Learning
from isthmus.national.opening import open_sources
from isthmus.national.sources import Sources
from isthmus.storage.database import Database, open_index
from isthmus.testing.connector_contract import ConnectorContract, Offered
from isthmus.testing.engines.counterparts import free_ports
from isthmus.testing.engines.dcmqrscp import Dcmqrscp, dcmqrscp
from isthmus.testing.studies import CT_IMAGE, SyntheticStudy
from isthmus.testing.two_countries import TwoCountries, at_hand
from isthmus.transport.dimse.arrivals import SUCCESS, Arrival
from isthmus.transport.dimse.outbound import SERIES_UID, STUDY_UID, Asked, Peer, echo, get
from isthmus.wire.manifests import read_manifest
from isthmus.wire.packs.pack import load_pack

STUDY = SyntheticStudy(91, MINE, instances=12, series_size=8, rows=64, columns=64)
THEIRS = SyntheticStudy(92, STRANGER, instances=2, rows=16, columns=16)
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
MIXED = "2.25.791"


@dataclass(frozen=True)
class Running:
    pacs: Dcmqrscp
    port: int


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder, (port,) = tmp_path_factory.mktemp("dcmqrscp"), free_ports(1)
    with dcmqrscp(folder, {"ISTHMUS": port}) as pacs:
        for study in (STUDY, THEIRS):
            pacs.load(study.write(folder / f"made-{study.seed}"))
        said = {"PatientID": MINE.identifier.value, "PatientName": "Müller^Eva"}
        for number, sop_class in ((1, CT_IMAGE), (2, ULTRASOUND), (3, CT_IMAGE)):
            file = folder / f"mixed-{number}.dcm"
            file.write_bytes(dicom(number, study=MIXED, series="2.25.7911", SOPClassUID=sop_class, **said))
            pacs.load([file])
        yield Running(pacs, port)


@pytest.fixture
def pacs(running: Running) -> Dcmqrscp:
    return running.pacs


class Behind:
    """A country whose register is the embedded one and whose images lie in dcmqrscp. It can be started anew."""

    def __init__(self, folder: Path, running: Running, retrieve: str) -> None:
        self.settings: Settings = settings_in(folder)
        source = replace(
            self.settings.sources.images[0], kind="dimse", name="pacs", host=running.pacs.host, port=running.pacs.dicom_port,
            peer_ae_title=running.pacs.ae_title, retrieve=retrieve, move_port=running.port,
        )  # fmt: skip
        self._settings = replace(self.settings, sources=replace(self.settings.sources, images=(source,)))
        self.start()

    def start(self) -> None:
        self.index: Database = open_index(self.settings)
        self.sources: Sources = open_sources(self._settings, self.index, lambda: NOW)

    def close(self) -> None:
        asyncio.run(self.sources.close())
        self.index.close()


@pytest.fixture(params=["get", "move"])
def behind(tmp_path: Path, running: Running, request: pytest.FixtureRequest) -> Iterator[Behind]:
    made = Behind(tmp_path, running, request.param)
    yield made
    made.close()


class TestDcmqrscp(ConnectorContract):
    @pytest.fixture
    def offered(self, behind: Behind) -> Offered:
        register_both(Node(behind.settings, behind.index))
        return Offered(behind.sources, MINE, STUDY.study_instance_uid, STRANGER, THEIRS.study_instance_uid)


def manifest_classes(sources: Sources, study: str) -> dict[str, str]:
    """The SOP classes by instance, as the study's manifest names them."""

    async def run() -> bytes:
        listed = await sources.find_documents(DocumentQuery(patient=MINE.identifier))
        (one,) = (d for d in listed if study in d.study_instance_uids and d.kind.value == "manifest-fhir")
        return (await sources.get_document(MINE.identifier, one.id)).body

    told = read_manifest(asyncio.run(run()), load_pack()).manifest.study
    return {i.sop_instance_uid: i.sop_class_uid for s in told.series for i in s.instances}


def test_classes_that_are_not_told_are_learnt_one_by_one(behind: Behind) -> None:
    told = manifest_classes(behind.sources, MIXED)

    assert told == {"2.25.100001": CT_IMAGE, "2.25.100002": ULTRASOUND, "2.25.100003": CT_IMAGE}


def test_images_come_whole_and_as_they_lie(behind: Behind) -> None:
    async def run() -> list[bytes]:
        query = ImagesQuery(STUDY.study_instance_uid)
        return await read(await behind.sources.get_images(MINE.identifier, query))

    came = asyncio.run(run())

    assert [data_set(one) for one in came] == [data_set(b"".join(STUDY.pieces(n))) for n in range(STUDY.instances)]


def test_classes_are_learnt_once_and_not_again_after_a_start(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    first = manifest_classes(behind.sources, MIXED)
    behind.close()
    monkeypatch.setattr(Learning, "stored", unreachable)
    behind.start()

    assert manifest_classes(behind.sources, MIXED) == first


def unreachable(self: Learning, arrival: Arrival) -> tuple[int, str]:
    raise AssertionError("a series is received once")


ELENI, ILIAS = PEOPLE["eleni"], PEOPLE["ilias"]
VISITED = SyntheticStudy(93, ELENI, instances=20, series_size=12, rows=64, columns=64, description="CT behind dcmqrscp")
STRANGERS = SyntheticStudy(94, ILIAS, instances=2, rows=32, columns=32)


@pytest.fixture(scope="module", params=["get", "move"])
def countries(
    at_rest: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[TwoCountries]:
    folder, (port,) = tmp_path_factory.mktemp("visited"), free_ports(1)
    with dcmqrscp(folder, {"ISTHMUS": port}) as pacs, at_hand(folder / "pair", at_rest) as both:
        for study in (VISITED, STRANGERS):
            pacs.load(study.write(folder / f"made-{study.seed}"))
        with both.demo.config("AA").open("a") as settings:
            settings.write(_source(pacs, request.param, port))
        both.demo.start()
        yield both


def _source(pacs: Dcmqrscp, retrieve: str, port: int) -> str:
    issuer = ELENI.identifier.system.removeprefix("urn:oid:")
    said = {
        "name": "pacs", "kind": "dimse", "host": pacs.host, "peer_ae_title": pacs.ae_title, "ae_title": "ISTHMUS", "retrieve": retrieve,
        "patient_issuer": issuer, "accession_issuer": "2.999.1.3", "time_zone": "Europe/Athens", "institution": "General",
    }  # fmt: skip
    lines = [f'{key} = "{value}"' for key, value in said.items()]
    return "\n".join(["", "[[sources.images]]", *lines, f"port = {pacs.dicom_port}", f"move_port = {port}", ""])


@pytest.mark.anyio
@pytest.mark.timeout(120)
async def test_a_whole_visit_lists_the_study_names_its_instances_and_gets_every_byte(countries: TwoCountries) -> None:
    async with countries.b.visit(ELENI) as visit:
        listed = await visit.find_documents()
        (one,) = (
            d for d in listed if VISITED.study_instance_uid in d.study_instance_uids and d.kind.value == "manifest-fhir"
        )
        manifest, _ = await visit.get_manifest(one)
        files = await visit.get_images(VISITED.study_instance_uid)

    assert STRANGERS.study_instance_uid not in {uid for d in listed for uid in d.study_instance_uids}
    named = {i.sop_instance_uid: i.sop_class_uid for s in manifest.study.series for i in s.instances}
    sent = {VISITED.sop_instance_uid(n): b"".join(VISITED.pieces(n)) for n in range(VISITED.instances)}
    assert named == dict.fromkeys(sent, CT_IMAGE)
    assert {uid: data_set(file) for uid, file in files.items()} == {uid: data_set(file) for uid, file in sent.items()}


class Kept:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def begun(self, arrival: Arrival) -> None: ...

    def stored(self, arrival: Arrival) -> tuple[int, str]:
        self.files[arrival.sop_instance_uid] = b"".join(iter(arrival.read, b""))
        arrival.release()
        return SUCCESS, ""

    def broken(self, arrival: Arrival) -> None:
        arrival.release()


@pytest.mark.parametrize("number", [0, 8])
def test_a_series_comes_whole_by_c_get(pacs: Dcmqrscp, tmp_path: Path, number: int) -> None:
    kept, uids = Kept(), range(8) if number == 0 else range(8, 12)
    asked = Asked("SERIES", {STUDY_UID: STUDY.study_instance_uid, SERIES_UID: STUDY.series_instance_uid(number)})
    peer = Peer(pacs.host, pacs.dicom_port, pacs.ae_title, "ISTHMUS")

    (outcome,) = get(peer, tmp_path, asked, {STUDY.sop_instance_uid(n): CT_IMAGE for n in uids}, kept)

    assert (outcome.claims_success, outcome.completed) == (True, len(uids))
    assert {uid: data_set(file)[-STUDY.pixel_bytes :] for uid, file in kept.files.items()} == {
        STUDY.sop_instance_uid(n): b"".join(STUDY.pieces(n))[-STUDY.pixel_bytes :] for n in uids
    }


def test_it_answers_an_echo(pacs: Dcmqrscp, tmp_path: Path) -> None:
    echo(Peer(pacs.host, pacs.dicom_port, pacs.ae_title, "ISTHMUS"), tmp_path)
