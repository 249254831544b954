"""Orthanc behind Country A, by DICOMweb: what every connector keeps, and every byte of what it holds."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
from tests.archive.conftest import ISSUER, NOW, Node, dicom, settings_in
from tests.national.test_files import _patient

from isthmus.commands.root import run
from isthmus.config import Settings
from isthmus.dicom.syntaxes import IMPLICIT_LE
from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.model.people import Patient
from isthmus.model.queries import DocumentQuery, ImagesQuery
from isthmus.national.opening import open_sources
from isthmus.national.sources import Sources
from isthmus.storage.database import Database, open_index
from isthmus.storage.sealed import MasterKey
from isthmus.testing.connector_contract import ConnectorContract, Offered, whole
from isthmus.testing.engines.orthanc import Orthanc, orthanc
from isthmus.testing.studies import SyntheticStudy

T = TypeVar("T")

ACCOUNT = "isthmus", "practice"
AUTHORIZATION = "Basic aXN0aG11czpwcmFjdGljZQ=="
MINE, STRANGER = _patient("123", "Müller", "Eva"), _patient("124", "Other", "Ada")
STUDY = SyntheticStudy(1, MINE, instances=30, series_size=20, rows=64, columns=64)
THEIRS = SyntheticStudy(2, STRANGER, instances=2, rows=16, columns=16)
IMPLICIT = SyntheticStudy(3, MINE, instances=2, rows=16, columns=16, transfer_syntax_uid=IMPLICIT_LE)


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("pacs"), account=ACCOUNT) as running:
        for study in (STUDY, THEIRS, IMPLICIT):
            running.load(b"".join(study.pieces(number)) for number in reversed(range(study.instances)))
        yield running


@dataclass
class Behind:
    """A country whose register is the embedded one and whose images lie in a real PACS."""

    settings: Settings
    index: Database
    runner: asyncio.Runner
    sources: Sources

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def files(self, *uids: str, patient: Patient = MINE) -> list[bytes]:
        async def read() -> list[bytes]:
            return [await whole(one) for one in await self.sources.get_images(patient.identifier, ImagesQuery(*uids))]

        return self.run(read())


@pytest.fixture
def behind(tmp_path: Path, pacs: Orthanc, request: pytest.FixtureRequest) -> Iterator[Behind]:
    settings = settings_in(tmp_path)
    said = {"url": pacs.dicomweb, "authorization": AUTHORIZATION, "page_size": 7, **getattr(request, "param", {})}
    source = replace(settings.sources.images[0], kind="dicomweb", name="pacs", **said)
    index = open_index(settings)
    with asyncio.Runner() as runner:
        held = replace(settings.sources, images=(source,))
        sources = open_sources(replace(settings, sources=held), index, lambda: NOW)
        yield Behind(settings, index, runner, sources)
        runner.run(sources.close())
    index.close()


class TestDicomWeb(ConnectorContract):
    @pytest.fixture
    def offered(self, behind: Behind) -> Offered:
        for number, who in ((1, MINE), (2, STRANGER)):
            name = f"{who.name.family}^{who.name.given[0]}"
            said = {"PatientID": who.identifier.value, "PatientName": name, "PatientBirthDate": "19700101"}
            Node(behind.settings, behind.index).bring(dicom(number, study=f"2.25.7{number}", **said))
        theirs = THEIRS.study_instance_uid
        return Offered(behind.sources, MINE, STUDY.study_instance_uid, STRANGER, theirs, behind.run)


@pytest.mark.parametrize("study", [STUDY, IMPLICIT], ids=["explicit", "implicit"])
def test_a_study_comes_whole_in_our_order_and_as_it_is_stored(behind: Behind, study: SyntheticStudy) -> None:
    came = behind.files(study.study_instance_uid)

    assert came == [b"".join(study.pieces(number)) for number in range(study.instances)]


def test_series_and_instances_are_told_with_their_numbers(behind: Behind) -> None:
    found = behind.run(behind.sources.find_documents(DocumentQuery(patient=MINE.identifier)))

    assert {d.study_instance_uids[0]: (d.series_count, d.instance_count) for d in found} == {
        STUDY.study_instance_uid: (2, 30),
        IMPLICIT.study_instance_uid: (1, 2),
    }


def test_metadata_are_told_as_the_pacs_has_them_without_its_address(behind: Behind, pacs: Orthanc) -> None:
    packed = behind.run(behind.sources.get_metadata(MINE.identifier, ImagesQuery(STUDY.study_instance_uid)))

    told = orjson.loads(gzip.decompress(packed))
    assert [row["00080018"]["Value"] for row in told] == [[STUDY.sop_instance_uid(n)] for n in range(STUDY.instances)]
    assert {tuple(row["00280010"]["Value"]) for row in told} == {(STUDY.rows,)}
    assert pacs.dicomweb.encode() not in gzip.decompress(packed)
    assert not [row for row in told if "7FE00010" in row]


def test_several_askers_at_once_each_get_all_of_it(behind: Behind) -> None:
    async def ask() -> list[bytes]:
        found = await behind.sources.get_images(MINE.identifier, ImagesQuery(STUDY.study_instance_uid))
        return [await whole(one) for one in found]

    async def run() -> list[list[bytes]]:
        return await asyncio.gather(*(ask() for _ in range(5)))

    came = behind.run(run())

    assert all(one == came[0] for one in came)
    assert len(came[0]) == STUDY.instances


@pytest.mark.parametrize("behind", [{"authorization": "Basic bm86bm8="}], indirect=True)
def test_a_pacs_that_does_not_know_us_is_said(behind: Behind) -> None:
    with pytest.raises(NationalInfrastructureUnavailable, match="authorization"):
        behind.run(behind.sources.find_documents(DocumentQuery(patient=MINE.identifier)))


@pytest.mark.parametrize("kind", ["dicomweb", "dimse"])
def test_the_command_finds_no_error_in_it(
    pacs: Orthanc, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where: dict[str, object] = {"url": pacs.dicomweb, "authorization": AUTHORIZATION}
    if kind == "dimse":
        pacs.know("TRIAL", 104)
        where = {"host": pacs.host, "port": pacs.dicom_port, "peer_ae_title": pacs.ae_title, "ae_title": "TRIAL"}
    said = {"name": "pacs", "kind": kind, **where, "time_zone": "Europe/Athens"}
    issuers = {"patient_issuer": ISSUER, "accession_issuer": "2.999.5.1"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in (said | issuers).items()]
    node = ['env = "test"', 'country = "AA"', 'ncp_id = "urn:ncp:aa"', "[[sources.patients]]", "[[sources.reports]]"]
    file = tmp_path / "isthmus.toml"
    file.write_text("\n".join([*node, "[[sources.images]]", *lines, ""]))
    who = f"{MINE.identifier.system}|{MINE.identifier.value}"

    (tmp_path / "keys").mkdir()
    MasterKey.make(tmp_path / "keys" / "env.key")

    words = ["--source", "pacs", "--patient", who, "--study", STUDY.study_instance_uid, "--json"]
    words += ["--by", "M. Admin", "--reason", "a new PACS"]
    status = run(["--config", str(file), "connector", "test", *words])

    answer = json.loads(capsys.readouterr().out)
    assert status == 0, answer["findings"]
    assert {one["outcome"] for one in answer["questions"]} == {"works"}
    assert answer["summary"]["error"] == 0
