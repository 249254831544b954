"""A modality of Country AA sends by C-STORE: what it was told is stored is found, and crosses, without anybody importing it.

Source: interfaces.md §7, §11.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from isthmus.demo.people import PEOPLE
from isthmus.testing.engines.counterparts import HOST, free_ports, need
from isthmus.testing.studies import SyntheticStudy
from isthmus.testing.two_countries import TwoCountries, at_hand

ELENI = PEOPLE["eleni"]
STUDY = SyntheticStudy(81, ELENI, instances=20, rows=128, columns=128, description="CT just made")


@dataclass
class Given:
    countries: TwoCountries
    port: int

    def send(self, files: list[Path], calling: str = "CT1") -> subprocess.CompletedProcess[str]:
        command = [need("storescu", "dcmtk"), "-v", "-aet", calling, "-aec", "AAINTAKE", HOST, str(self.port), *files]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def given(at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    need("storescu", "dcmtk")
    folder = tmp_path_factory.mktemp("modality") / "pair"
    (port,) = free_ports(1)
    with at_hand(folder, at_rest) as countries:
        source = next(one.name for one in countries.a.settings.sources.images if one.kind == "files")
        with countries.demo.config("AA").open("a") as settings:
            settings.write(
                f'\n[intake.dimse]\nport = {port}\nae_title = "AAINTAKE"\n'
                f'\n[[intake.senders]]\nname = "ct-1"\nsource = "{source}"\nae_title = "CT1"\naddress = "{HOST}"\n'
            )
        countries.demo.start()
        yield Given(countries, port)


@pytest.mark.anyio
async def test_what_a_modality_sends_is_found_and_crosses_as_it_was_sent(given: Given, tmp_path: Path) -> None:
    files = STUDY.write(tmp_path / "made")

    ended = given.send(files)

    assert ended.returncode == 0, ended.stderr
    async with given.countries.b.visit(ELENI) as visit:
        found = {uid for one in await visit.find_documents() for uid in one.study_instance_uids}
        came = await visit.get_images(STUDY.study_instance_uid)
    assert STUDY.study_instance_uid in found
    pixels = {STUDY.sop_instance_uid(n): file.read_bytes()[-STUDY.pixel_bytes :] for n, file in enumerate(files)}
    assert {uid: file[-STUDY.pixel_bytes :] for uid, file in came.items()} == pixels


@pytest.mark.threat("T99")
def test_a_rogue_brings_nothing(given: Given, tmp_path: Path) -> None:
    files = SyntheticStudy(82, ELENI, instances=1, rows=16, columns=16).write(tmp_path / "made")

    assert given.send(files, calling="ROGUE").returncode != 0
