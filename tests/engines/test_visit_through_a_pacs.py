"""Country AA's images lie in a real PACS: Country B sees, and gets, what it would from the embedded archive with the same files.

Source: interfaces.md §7; performance.md §2.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless

from isthmus.demo.people import PATIENT_SYSTEM
from isthmus.dicom.part10 import file_syntax
from isthmus.dicom.syntaxes import EXPLICIT_LE, IMPLICIT_LE
from isthmus.model.documents import DocumentKind
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.imaging import Study
from isthmus.model.people import HumanName, Patient
from isthmus.sources import Source
from isthmus.testing.engines.orthanc import Orthanc, orthanc
from isthmus.testing.memory import Watched
from isthmus.testing.studies import SyntheticStudy
from isthmus.testing.two_countries import TwoCountries, at_hand
from isthmus.wire.kos_reading import read_kos
from isthmus.wire.manifests import read_manifest
from isthmus.wire.packs.pack import load_pack

pytestmark = pytest.mark.timeout(240)

MIB = 1 << 20
MOST_RESIDENT_MIB = 200
EVA, ADA, MILO = (
    Patient(PatientIdentifier(PATIENT_SYSTEM, f"880000010{n}"), (HumanName(family, (given,)),), "1955-05-05", "female")
    for n, (family, given) in enumerate((("Palmer", "Eva"), ("Other", "Ada"), ("Makros", "Milo")))
)
PLAIN = SyntheticStudy(81, EVA, instances=12, series_size=5, rows=32, columns=32, description="CT of the chest")
IMPLICIT = SyntheticStudy(82, EVA, instances=2, rows=32, columns=32, transfer_syntax_uid=IMPLICIT_LE)
PACKED = SyntheticStudy(83, EVA, instances=2, rows=32, columns=32, accession_number="SYN-3", study_date="20251201")
STRANGERS = SyntheticStudy(84, ADA, instances=2, rows=32, columns=32)
LARGE = SyntheticStudy(85, MILO, instances=100, series_size=50, rows=1024, columns=1024)  # 2 MiB each
STUDIES = (PLAIN, IMPLICIT, PACKED, STRANGERS)


def files_of(study: SyntheticStudy) -> list[bytes]:
    """The files of a study; those of one are packed by RLE."""
    made = [b"".join(study.pieces(number)) for number in range(study.instances)]
    return [packed(file) for file in made] if study is PACKED else made


def packed(file: bytes) -> bytes:
    data, out = dcmread(io.BytesIO(file)), io.BytesIO()
    data.compress(RLELossless, generate_instance_uid=False)
    data.save_as(out)
    return out.getvalue()


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("pacs")) as running:
        for study in STUDIES:
            running.load(files_of(study))
        running.load(b"".join(LARGE.pieces(number)) for number in range(LARGE.instances))
        running.know("ISTHMUS", 104)
        yield running


@pytest.fixture(scope="module")
def embedded(at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The same files in the embedded archive, asked for once."""
    folder = tmp_path_factory.mktemp("files")
    for number, file in enumerate(file for study in STUDIES for file in files_of(study)):
        (folder / f"{number}.dcm").write_bytes(file)
    with at_hand(tmp_path_factory.mktemp("embedded") / "pair", at_rest) as countries:
        countries.a.register(EVA, ADA)
        countries.a.take_in(folder)
        countries.demo.start()
        told = {study: asyncio.run(images(countries, study)) for study in (PLAIN, PACKED, IMPLICIT)}
        return Told(listed(countries), asyncio.run(manifests(countries)), told)


@dataclass
class Given:
    countries: TwoCountries
    kind: str


@pytest.fixture(scope="module", params=["dicomweb", "dimse"])
def given(
    at_rest: Path, pacs: Orthanc, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Given]:
    """The files in a PACS alone."""
    with at_hand(tmp_path_factory.mktemp(request.param) / "pair", at_rest) as countries:
        with countries.demo.config("AA").open("a") as settings:
            settings.write(_source(pacs, request.param, countries.a.settings.sources.images[0]))
        countries.a.register(EVA, ADA, MILO)
        countries.demo.start()
        yield Given(countries, request.param)


def _source(pacs: Orthanc, kind: str, as_said: Source) -> str:
    """The PACS as a further source, of which the operator says what is said of the archive."""
    said = ("patient_issuer", "accession_issuer", "placer_issuer", "time_zone", "institution", "institution_id")
    where: dict[str, object] = {"url": pacs.dicomweb}
    if kind == "dimse":
        where = {"host": pacs.host, "port": pacs.dicom_port, "peer_ae_title": pacs.ae_title, "retrieve": "get"}
    lines = {"name": "pacs", "kind": kind, **where, **{name: getattr(as_said, name) for name in said}}
    return "\n".join(["", "[[sources.images]]", *(f"{key} = {json.dumps(value)}" for key, value in lines.items()), ""])


def listed(countries: TwoCountries, patient: Patient = EVA) -> list[Any]:
    """`visit list`, without what is every archive's own: ids, and sizes that a PACS does not tell."""
    ended = countries.b.command(*_visit(patient), "list", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)["examinations"]
    for examination in found:
        examination["study"]["documents"] = list(examination["study"]["documents"])
        del examination["study"]["size_bytes"]
    return sorted(found, key=lambda one: str(one["study"]["study_instance_uid"]))


def _visit(patient: Patient) -> list[str]:
    who = f"{patient.identifier.system}|{patient.identifier.value}"
    return [
        "visit", "--as", "radiologist", "--country", "AA", "--identifier", who, "--family", patient.name.family,
        "--birth-date", patient.birth_date,
    ]  # fmt: skip


async def manifests(countries: TwoCountries) -> dict[tuple[str, str], Study]:
    """What every manifest says of its study, by study and form, without the size that a PACS does not tell."""
    found = {}
    async with countries.b.visit(EVA) as visit:
        for document in [one for one in await visit.find_documents() if one.kind.is_manifest]:
            _, content = await visit.get_manifest(document)
            read = read_manifest if document.kind is DocumentKind.MANIFEST_FHIR else read_kos
            study = read(content, load_pack()).manifest.study
            found[study.study_instance_uid, document.kind.value] = replace(study, size_bytes=None)
    return found


async def images(countries: TwoCountries, study: SyntheticStudy) -> dict[str, bytes]:
    async with countries.b.visit(EVA) as visit:
        return await visit.get_images(study.study_instance_uid)


@dataclass
class Told:
    """What Country B sees of the files in the embedded archive."""

    listed: list[Any]
    manifests: dict[tuple[str, str], Study]
    images: dict[SyntheticStudy, dict[str, bytes]]


def data_set(file: bytes) -> bytes:
    """What follows the file meta information, which every sender writes itself."""
    return file[144 + int.from_bytes(file[140:144], "little") :]


def test_the_list_is_the_same(given: Given, embedded: Told) -> None:
    ours = listed(given.countries)

    assert ours == embedded.listed
    assert len(ours) == 3
    assert [one["study"]["study_instance_uid"] for one in listed(given.countries, ADA)] == [
        STRANGERS.study_instance_uid
    ]


@pytest.mark.anyio
async def test_manifests_name_the_same_series_and_instances(given: Given, embedded: Told) -> None:
    ours, theirs = await manifests(given.countries), embedded.manifests

    assert {which: study.series for which, study in ours.items()} == {
        which: study.series for which, study in theirs.items()
    }
    assert ours == theirs
    assert len(ours) == 6


@pytest.mark.anyio
@pytest.mark.parametrize("study", [PLAIN, PACKED], ids=["plain", "packed by RLE"])
async def test_what_may_cross_as_it_is_stored_is_the_same_to_the_byte(
    given: Given, embedded: Told, study: SyntheticStudy
) -> None:
    ours, theirs = await images(given.countries, study), embedded.images[study]

    assert {uid: data_set(file) for uid, file in ours.items()} == {uid: data_set(file) for uid, file in theirs.items()}
    assert {file_syntax(file) for file in ours.values()} == {file_syntax(file) for file in theirs.values()}
    assert len(ours) == study.instances
    if given.kind == "dicomweb":
        assert sorted(map(hashed, ours.values())) == sorted(map(hashed, files_of(study)))


def hashed(file: bytes) -> str:
    return hashlib.sha256(file).hexdigest()


@pytest.mark.anyio
async def test_what_must_be_recoded_has_the_same_pixels(given: Given, embedded: Told) -> None:
    ours, theirs = await images(given.countries, IMPLICIT), embedded.images[IMPLICIT]

    size = IMPLICIT.pixel_bytes
    assert {uid: file[-size:] for uid, file in ours.items()} == {uid: file[-size:] for uid, file in theirs.items()}
    assert {file_syntax(file) for file in ours.values()} == {EXPLICIT_LE}
    assert len(ours) == IMPLICIT.instances


def test_a_strangers_study_is_not_there(given: Given, tmp_path: Path) -> None:
    ended = given.countries.b.command(*_visit(EVA), "images", STRANGERS.study_instance_uid, "--out", tmp_path, "--json")

    assert ended.returncode == 4, ended.stderr
    assert list(tmp_path.rglob("*.dcm")) == []


def test_a_study_of_200_mib_crosses_both_nodes_and_neither_holds_it(given: Given, tmp_path: Path) -> None:
    words = [*_visit(MILO), "images", LARGE.study_instance_uid, "--out", str(tmp_path), "--json"]

    asking = subprocess.Popen(given.countries.b.command_line(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with Watched({"A": given.countries.a.pid, "B": given.countries.b.pid, "visit": asking.pid}) as watched:
        said, errors = asking.communicate()

    assert asking.returncode == 0, errors
    told = json.loads(said)
    assert (told["count"], told["missing"]) == (LARGE.instances, [])
    assert told["bytes"] > MOST_RESIDENT_MIB * MIB
    assert {name: size for name, size in watched.peak_mib.items() if size >= MOST_RESIDENT_MIB} == {}
    assert set(watched.peak_mib) == {"A", "B", "visit"}
    last = LARGE.sop_instance_uid(LARGE.instances - 1)
    (path,) = tmp_path.rglob(f"{last}.dcm")
    assert data_set(path.read_bytes()) == data_set(b"".join(LARGE.pieces(LARGE.instances - 1)))
