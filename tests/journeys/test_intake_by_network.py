"""A hospital of Country AA sends by STOW-RS, FHIR and a watched folder while the node serves; Country BB finds it; the node is killed meanwhile.

Source: interfaces.md §2, §11; performance.md §3; field-faults F49.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
import signal
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from isthmus.demo.nodes import Demo
from isthmus.demo.people import PEOPLE
from isthmus.testing.engines.counterparts import HOST, free_ports
from isthmus.testing.memory import Watched
from isthmus.testing.studies import SyntheticStudy
from isthmus.testing.two_countries import TwoCountries, at_hand

ELENI = PEOPLE["eleni"]
TOKEN = "token-of-the-pacs"  # noqa: S105  # of a test
PDF = b"%%PDF-1.7\nA report by %s.\n%%%%EOF\n"
BOUNDARY = "of-a-study"


def settings_of(port: int, images: str, reports: str) -> str:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    senders = "".join(
        f'\n[[intake.senders]]\nname = "{name}"\nsource = "{source}"\ntoken = "{token}"\n'
        for name, source, token in (
            ("pacs", images, digest),
            ("ris", reports, hashlib.sha256(b"ris").hexdigest()),
        )
    )
    folder = f'\n[[intake.folders]]\nname = "old"\npath = "drop"\nsource = "{reports}"\npoll_s = 0.1\n'
    return f"\n[intake]\nport = {port}\n{senders}{folder}"


@dataclass
class Hospital:
    countries: TwoCountries
    demo: Demo
    port: int
    drop: Path

    def post(self, path: str, body: object, content_type: str, token: str = TOKEN) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=120)
        headers = {"Content-Type": content_type, "Authorization": f"Bearer {token}"}
        try:
            connection.request("POST", path, body=body, headers=headers)  # type: ignore[arg-type]  # pieces are sent chunked
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def store(self, study: SyntheticStudy) -> tuple[int, bytes]:
        return self.post(
            "/dicom-web/studies", parts(study), f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
        )

    def kill(self) -> None:
        """The node's process is gone at once; the next one starts."""
        os.kill(self.countries.a.pid, signal.SIGKILL)
        self.demo.stop()
        self.demo.start()


def parts(study: SyntheticStudy) -> Iterator[bytes]:
    """A STOW-RS body, in pieces, so that no sender holds it whole either."""
    for number in range(study.instances):
        yield f"\r\n--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        yield from study.pieces(number)
    yield f"\r\n--{BOUNDARY}--\r\n".encode()


@pytest.fixture(scope="module")
def hospital(at_rest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("hospital") / "pair"
    (port,) = free_ports(1)
    with at_hand(folder, at_rest) as countries:
        sources = countries.a.settings.sources
        drop = countries.a.settings.folder / "drop"
        drop.mkdir()
        with countries.demo.config("AA").open("a") as settings:
            settings.write(settings_of(port, sources.images[0].name, sources.reports[0].name))
        countries.demo.start()
        yield Hospital(countries, countries.demo, port, drop)


def document(body: bytes, study: str) -> bytes:
    attachment = {"contentType": "application/pdf", "data": b64encode(body).decode()}
    related = [{"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{study}"}}]
    subject = {"identifier": {"system": ELENI.identifier.system, "value": ELENI.identifier.value}}
    node = {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": subject,
        "context": {"related": related},
    }
    return orjson.dumps(node | {"content": [{"attachment": attachment}]})


@pytest.mark.anyio
async def test_what_a_hospital_sends_is_found_in_the_other_country(hospital: Hospital) -> None:
    study = SyntheticStudy(91, ELENI, instances=6, rows=64, columns=64, description="CT just made")
    uid = study.study_instance_uid

    stored, told = await asyncio.to_thread(hospital.store, study)
    published, _ = await asyncio.to_thread(
        hospital.post, "/fhir/DocumentReference", document(PDF % b"FHIR", uid), "application/fhir+json", "ris"
    )
    whose = f"{ELENI.identifier.system}|{ELENI.identifier.value}"
    (hospital.drop / "r.json").write_bytes(orjson.dumps({"patient": whose, "studies": [uid]}))
    (hospital.drop / "r.pdf").write_bytes(PDF % b"folder")
    for _ in range(100):
        if (hospital.drop / "done" / "r.pdf.reason.json").exists():
            break
        await asyncio.sleep(0.1)

    assert (stored, published, len(orjson.loads(told)["00081199"]["Value"])) == (200, 201, 6)
    async with hospital.countries.b.visit(ELENI) as visit:
        found = [one for one in await visit.find_documents() if uid in one.study_instance_uids]
        came = await visit.get_images(uid)
    assert sorted(one.kind.value for one in found if not one.kind.is_manifest) == ["report-fhir", "report-fhir"]
    assert [one for one in found if one.kind.is_manifest]
    assert len(came) == 6


@pytest.mark.fault("F49")
def test_a_node_that_is_killed_in_a_request_has_what_it_answered_for_and_takes_the_rest_again(
    hospital: Hospital,
) -> None:
    first, second = (SyntheticStudy(seed, ELENI, instances=40, rows=128, columns=128) for seed in (92, 93))
    assert hospital.store(first)[0] == 200
    body = b"".join(parts(second))
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: {HOST}:{hospital.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        f'Content-Type: multipart/related; type="application/dicom"; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n'
    )
    with socket.create_connection((HOST, hospital.port)) as sending:
        sending.sendall(head.encode() + body[: len(body) // 2])
        time.sleep(0.2)
        hospital.kill()

    kept = hospital.countries.a.kept(first.study_instance_uid)
    again = [hospital.store(study)[0] for study in (second, second, first)]

    assert {row.sop_instance_uid for row in kept} == {first.sop_instance_uid(n) for n in range(40)}
    assert again == [200, 200, 200]
    assert [len(hospital.countries.a.kept(s.study_instance_uid)) for s in (first, second)] == [40, 40]


def test_a_large_study_passes_in_bounded_memory(hospital: Hospital) -> None:
    study = SyntheticStudy(94, ELENI, instances=25, rows=2048, columns=2048)  # 200 MiB
    with Watched({"a": hospital.countries.a.pid}) as watched:
        began = time.monotonic()
        status, _ = hospital.store(study)
        took_s = time.monotonic() - began
        time.sleep(0.1)

    print(f"200 MiB by STOW-RS in {took_s:.1f} s, peak {watched.peak_mib['a']:.0f} MiB")
    assert status == 200
    assert watched.peak_mib["a"] < 200
