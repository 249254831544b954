"""Country AA has images in a PACS that speaks DIMSE alone: Country B notices nothing, and gets every byte.

Source: interfaces.md §7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from isthmus.demo.people import PEOPLE
from isthmus.dicom.syntaxes import IMPLICIT_LE
from isthmus.testing.engines.counterparts import free_ports
from isthmus.testing.engines.orthanc import Orthanc, orthanc
from isthmus.testing.studies import SyntheticStudy
from isthmus.testing.two_countries import TwoCountries, at_hand

ELENI, ILIAS = PEOPLE["eleni"], PEOPLE["ilias"]
STUDY = SyntheticStudy(71, ELENI, instances=40, series_size=25, rows=128, columns=128, description="CT behind DIMSE")
IMPLICIT = SyntheticStudy(72, ELENI, instances=2, rows=32, columns=32, transfer_syntax_uid=IMPLICIT_LE)
STRANGERS = SyntheticStudy(73, ILIAS, instances=2, rows=32, columns=32)


@dataclass
class Given:
    countries: TwoCountries
    pacs: Orthanc


@pytest.fixture(scope="module", params=["get", "move"])
def given(at_rest: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Given]:
    folder = tmp_path_factory.mktemp("behind-dimse") / "pair"
    (port,) = free_ports(1)
    with orthanc(tmp_path_factory.mktemp("pacs")) as pacs, at_hand(folder, at_rest) as countries:
        for study in (STUDY, IMPLICIT, STRANGERS):
            pacs.load(b"".join(study.pieces(number)) for number in range(study.instances))
        pacs.know("ISTHMUS", port)
        with countries.demo.config("AA").open("a") as settings:
            settings.write(_source(pacs, request.param, port))
        countries.demo.start()
        yield Given(countries, pacs)


def _source(pacs: Orthanc, retrieve: str, port: int) -> str:
    issuer = ELENI.identifier.system.removeprefix("urn:oid:")
    said = {
        "name": "pacs", "kind": "dimse", "host": pacs.host, "peer_ae_title": pacs.ae_title, "ae_title": "ISTHMUS", "retrieve": retrieve,
        "patient_issuer": issuer, "accession_issuer": "2.999.1.3", "time_zone": "Europe/Athens", "institution": "General",
    }  # fmt: skip
    lines = [f'{key} = "{value}"' for key, value in said.items()]
    return "\n".join(["", "[[sources.images]]", *lines, f"port = {pacs.dicom_port}", f"move_port = {port}", ""])


def _data_set(file: bytes) -> bytes:
    return file[144 + int.from_bytes(file[140:144], "little") :]


async def _images(given: Given, study: SyntheticStudy) -> dict[str, bytes]:
    async with given.countries.b.visit(ELENI) as visit:
        listed = {uid for one in await visit.find_documents() for uid in one.study_instance_uids}
        assert study.study_instance_uid in listed
        assert STRANGERS.study_instance_uid not in listed
        return await visit.get_images(study.study_instance_uid)


@pytest.mark.anyio
async def test_a_study_of_the_pacs_is_found_and_crosses_byte_for_byte(given: Given) -> None:
    files = await _images(given, STUDY)

    sent = {STUDY.sop_instance_uid(n): b"".join(STUDY.pieces(n)) for n in range(STUDY.instances)}
    assert {uid: _data_set(file) for uid, file in files.items()} == {uid: _data_set(f) for uid, f in sent.items()}


@pytest.mark.anyio
async def test_what_may_not_cross_as_it_lies_crosses_in_the_form_that_may(given: Given) -> None:
    files = await _images(given, IMPLICIT)

    pixels = {IMPLICIT.sop_instance_uid(n): b"".join(IMPLICIT.pieces(n))[-IMPLICIT.pixel_bytes :] for n in range(2)}
    assert {uid: file[-IMPLICIT.pixel_bytes :] for uid, file in files.items()} == pixels


@pytest.mark.requirement("AUD-07")
@pytest.mark.anyio
async def test_both_trails_count_what_came(given: Given) -> None:
    since = given.countries.since()

    await _images(given, STUDY)

    told = [(pair.a, pair.b) for pair in since.pairs() if pair.b is not None and pair.b.instances]
    assert [(a.instances if a else None, b.instances) for a, b in told if b] == [(40, 40)]
