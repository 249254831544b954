"""Orthanc behind Country A, by C-GET and by C-MOVE: what every connector keeps, and every byte of what it holds."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.archive.conftest import NOW, Node, dicom, settings_in
from tests.national.test_files import _patient

from isthmus.dicom.part10 import file_syntax
from isthmus.dicom.syntaxes import EXPLICIT_LE, IMPLICIT_LE
from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.model.pieces import Arriving, StoredInstance
from isthmus.model.queries import DocumentQuery, ImagesQuery
from isthmus.national.opening import open_sources
from isthmus.sources import Source
from isthmus.storage.database import open_index
from isthmus.testing.connector_contract import ConnectorContract, Offered
from isthmus.testing.engines.counterparts import free_ports, need
from isthmus.testing.engines.orthanc import Orthanc, orthanc
from isthmus.testing.studies import SyntheticStudy

MINE, STRANGER = _patient("123", "Müller", "Eva"), _patient("124", "Other", "Ada")
STUDY = SyntheticStudy(1, MINE, instances=30, series_size=20, rows=64, columns=64)
THEIRS = SyntheticStudy(2, STRANGER, instances=2, rows=16, columns=16)
IMPLICIT = SyntheticStudy(3, MINE, instances=2, rows=16, columns=16, transfer_syntax_uid=IMPLICIT_LE)


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("pacs")) as running:
        for study in (STUDY, THEIRS, IMPLICIT):
            running.load(b"".join(study.pieces(number)) for number in reversed(range(study.instances)))
        yield running


class Behind:
    """A country whose register is the embedded one and whose images lie in a real PACS."""

    def __init__(self, folder: Path, pacs: Orthanc, retrieve: str) -> None:
        self.settings = settings_in(folder)
        (port,) = free_ports(1)
        self.source: Source = replace(
            self.settings.sources.images[0], kind="dimse", name="pacs", host=pacs.host, port=pacs.dicom_port,
            peer_ae_title=pacs.ae_title, ae_title=f"ISTHMUS{port}", retrieve=retrieve, move_port=port,
        )  # fmt: skip
        pacs.know(self.source.ae_title, port)
        self.index = open_index(self.settings)
        sources = replace(self.settings.sources, images=(self.source,))
        self.sources = open_sources(replace(self.settings, sources=sources), self.index, lambda: NOW)

    def close(self) -> None:
        asyncio.run(self.sources.close())
        self.index.close()


@pytest.fixture(params=["get", "move"])
def behind(tmp_path: Path, pacs: Orthanc, request: pytest.FixtureRequest) -> Iterator[Behind]:
    made = Behind(tmp_path, pacs, request.param)
    yield made
    made.close()


def register_both(node: Node) -> None:
    """Make the patient and the stranger known to the embedded register, by a file of each."""
    for number, who in ((1, MINE), (2, STRANGER)):
        name = f"{who.name.family}^{who.name.given[0]}"
        said = {"PatientID": who.identifier.value, "PatientName": name, "PatientBirthDate": "19700101"}
        node.bring(dicom(number, study=f"2.25.7{number}", **said))


class TestDimse(ConnectorContract):
    @pytest.fixture
    def offered(self, behind: Behind) -> Offered:
        register_both(Node(behind.settings, behind.index))
        return Offered(behind.sources, MINE, STUDY.study_instance_uid, STRANGER, THEIRS.study_instance_uid)


async def read(instances: Sequence[StoredInstance]) -> list[bytes]:
    """Every instance in order, as one answer reads them."""
    files = []
    for one in instances:
        assert isinstance(one.content, Arriving)
        files.append(b"".join([bytes(piece) async for piece in one.content.open()]))
    return files


def data_set(file: bytes) -> bytes:
    return file[144 + int.from_bytes(file[140:144], "little") :]


def whole(behind: Behind, study: SyntheticStudy) -> list[bytes]:
    async def run() -> list[bytes]:
        found = await behind.sources.get_images(MINE.identifier, ImagesQuery(study.study_instance_uid))
        return await read(found)

    return asyncio.run(run())


@pytest.mark.fault("F47")
def test_a_study_comes_whole_in_our_order_and_as_it_lies(behind: Behind) -> None:
    came = whole(behind, STUDY)

    assert [data_set(one) for one in came] == [data_set(b"".join(STUDY.pieces(n))) for n in range(STUDY.instances)]


def test_what_the_peer_can_change_comes_in_the_syntax_that_crosses(behind: Behind) -> None:
    came = whole(behind, IMPLICIT)

    assert len(came) == IMPLICIT.instances
    if behind.source.retrieve == "get":
        assert {file_syntax(one) for one in came} == {EXPLICIT_LE}


def test_one_instance_comes_alone(behind: Behind) -> None:
    uids = STUDY.study_instance_uid, STUDY.series_instance_uid(25), STUDY.sop_instance_uid(25)

    async def run() -> list[bytes]:
        return await read(await behind.sources.get_images(MINE.identifier, ImagesQuery(*uids)))

    assert [data_set(one) for one in asyncio.run(run())] == [data_set(b"".join(STUDY.pieces(25)))]


def test_several_askers_at_once_each_get_all_of_it(behind: Behind) -> None:
    async def ask() -> list[bytes]:
        return await read(await behind.sources.get_images(MINE.identifier, ImagesQuery(STUDY.study_instance_uid)))

    async def run() -> list[list[bytes]]:
        return await asyncio.gather(*(asyncio.create_task(ask()) for _ in range(3)))

    came = asyncio.run(run())

    assert all(one == came[0] for one in came)
    assert len(came[0]) == STUDY.instances


@pytest.mark.threat("T100")
@pytest.mark.parametrize("value", ["*", "12?", "1*", "123\\124", "12*\\"])
def test_an_identifier_is_never_a_pattern(behind: Behind, value: str) -> None:
    pattern = replace(MINE.identifier, value=value)

    assert list(asyncio.run(behind.sources.find_documents(DocumentQuery(patient=pattern)))) == []


def test_a_pacs_that_is_not_there_is_said_and_soon(tmp_path: Path, pacs: Orthanc) -> None:
    behind = Behind(tmp_path, replace(pacs, dicom_port=free_ports(1)[0]), "get")

    with pytest.raises(NationalInfrastructureUnavailable):
        asyncio.run(behind.sources.find_documents(DocumentQuery(patient=MINE.identifier)))
    behind.close()


@pytest.mark.parametrize(
    ("seed", "writer", "syntax"),
    [
        (11, "dcmcrle", "1.2.840.10008.1.2.5"),
        (12, "dcmcjpeg", "1.2.840.10008.1.2.4.70"),
        (13, "dcmcjpls", "1.2.840.10008.1.2.4.80"),
    ],
    ids=["RLE", "JPEG lossless", "JPEG-LS"],
)
def test_nothing_is_compressed_anew(
    tmp_path: Path, pacs: Orthanc, behind: Behind, seed: int, writer: str, syntax: str
) -> None:
    study = SyntheticStudy(seed, MINE, instances=2, rows=64, columns=64)
    program = need(writer, "dcmtk")
    files = []
    for number, plain in enumerate(study.write(tmp_path / "plain")):
        files.append(tmp_path / f"{number}.dcm")
        subprocess.run([program, plain, files[-1]], check=True)
    pacs.load(files)

    came = whole(behind, study)

    assert {file_syntax(one) for one in came} == {syntax}
    assert [one[-1000:] for one in came] == [file.read_bytes()[-1000:] for file in files]
