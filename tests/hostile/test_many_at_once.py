"""Many professionals of two countries at once, and one patient seen from two countries: nobody's context becomes another's."""

from __future__ import annotations

import asyncio
import random
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from isthmus.audit.account import Account
from isthmus.audit.page import MonthKeys, rows
from isthmus.audit.verify import opened
from isthmus.model.documents import Document, DocumentContent, DocumentKind
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import Patient
from isthmus.model.pieces import StoredInstance
from isthmus.model.queries import DocumentQuery, ImagesQuery
from isthmus.testing.border import DOCTOR, Peer, PracticeBorder, Reply
from isthmus.testing.register import Register, add, add_instance, person

pytestmark = pytest.mark.anyio
PATIENTS, REQUESTS = 20, 1000


class Unpunctual(Register):
    """A register that takes its time, each time another."""

    async def find_documents(self, query: DocumentQuery) -> Sequence[Document]:
        await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311  # no secret: who asks when
        return await super().find_documents(query)

    async def get_document(self, patient: PatientIdentifier, id: str) -> DocumentContent:
        await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311  # no secret: who asks when
        return await super().get_document(patient, id)

    async def get_images(self, patient: PatientIdentifier, query: ImagesQuery) -> Sequence[StoredInstance]:
        await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311  # no secret: who asks when
        return await super().get_images(patient, query)


@dataclass(frozen=True)
class Relation:
    """One professional, of one country, with one patient."""

    peer: Peer
    sub: str
    patient: Patient
    token: str
    handle: str
    report: str

    @property
    def study(self) -> str:
        return _study(int(self.patient.identifier.value))


def _study(number: int) -> str:
    return f"2.25.9{number:03d}"


@pytest.fixture
async def border(tmp_path: Path) -> AsyncIterator[PracticeBorder]:
    register = Unpunctual()
    for number in range(1, PATIENTS + 1):
        patient = person(number, f"Family{number}", f"Given{number}")
        register.people.append(patient)
        add(register, patient, _study(number), DocumentKind.REPORT_FHIR, "CT")
        add(register, patient, _study(number), DocumentKind.MANIFEST_FHIR, "CT")
        add_instance(register, patient, _study(number), 1, tmp_path)
    async with PracticeBorder(tmp_path / "practice", register=register, requests_per_s=100_000) as made:
        yield made


async def _relation(border: PracticeBorder, peer: Peer, sub: str, patient: Patient) -> Relation:
    token, handle = await border.care(patient, replace(DOCTOR, sub=sub, session=f"session-{sub}"), peer)
    listed = await _listed(border, peer, token, handle, "first")
    reports = [
        each for each in listed.entries if each["resourceType"] == "DocumentReference" and "report" in str(each).lower()
    ]
    return Relation(peer, sub, patient, token, handle, reports[0]["content"][0]["attachment"]["url"])


async def _listed(border: PracticeBorder, peer: Peer, token: str, handle: str, id: str) -> Reply:
    headers = {"x-request-id": id}
    form = {"patient": handle, "status": "current"}
    return await border.ask(
        "/fhir/DocumentReference/_search", token=token, form=form, headers=headers, certificate=peer.certificate
    )


async def _one(
    border: PracticeBorder, of: Relation, number: int, slots: Mapping[str, asyncio.Semaphore]
) -> tuple[str, Relation, Reply]:
    """One of the three questions, under a request id of its own; no more at a time than one professional may."""
    id = f"many-{number}"
    if number % 3 == 0:
        return id, of, await _listed(border, of.peer, of.token, of.handle, id)
    path = f"/dicom-web/studies/{of.study}" if number % 3 == 1 else "/fhir" + of.report.partition("/fhir")[2]
    headers = {"x-request-id": id, "accept": "*/*"}
    async with slots[of.sub]:
        return id, of, await border.ask(path, token=of.token, headers=headers, certificate=of.peer.certificate)


def _intents(border: PracticeBorder) -> dict[str, dict[str, Any]]:
    """What the trail says at the opening of every exchange."""
    keys = MonthKeys(border.master)

    def read(connection: Any) -> dict[str, dict[str, Any]]:
        unseal = keys.unsealer(connection)
        return {row.exchange_id: opened(row, unseal)[0] or {} for row in rows(connection) if row.kind == "intent"}

    return border.state.read_now(read)


@pytest.mark.slow
@pytest.mark.threat("T82")
@pytest.mark.threat("T108")
async def test_a_thousand_requests_at_once_keep_peer_person_and_patient_apart(border: PracticeBorder) -> None:
    people = border.register.people
    relations = [
        await _relation(border, border.peers[country], f"{country}-{n % 3}", people[n])
        for n in range(PATIENTS)
        for country in ("BB", "CC")
    ]
    of = [random.choice(relations) for _ in range(REQUESTS)]  # noqa: S311  # no secret: who asks when

    slots = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(8))
    answers = await asyncio.gather(*(_one(border, each, number, slots) for number, each in enumerate(of)))

    intents, country = _intents(border), {peer.ncp_id: name for name, peer in border.peers.items()}
    for id, relation, reply in answers:
        said = reply.body.decode("latin-1")
        studies = set(re.findall(r"2\.25\.9\d{3}", said))
        numbers = {each.identifier.value for each in people if each.identifier.value in said}
        assert reply.status == 200, reply.body[:300]
        assert studies <= {relation.study}
        assert numbers <= {relation.patient.identifier.value}
        assert reply.headers["x-request-id"] == id
        assert intents[id]["peer"] == country[relation.peer.ncp_id]
        assert intents[id]["person"] == f"{relation.sub} {DOCTOR.name}"
    patients = {relation.handle: str(intents[id].get("patient")) for id, relation, _ in answers}
    by_patient = {relation.patient.identifier.value: str(intents[id].get("patient")) for id, relation, _ in answers}
    assert len(set(by_patient.values())) == len(by_patient)
    assert all(by_patient[r.patient.identifier.value] == patients[r.handle] for _, r, _ in answers)
    assert Account(border.state, border.master, border.settings.folder).verify().problems == []


@pytest.mark.threat("T97")
async def test_what_two_countries_hold_of_one_patient_has_only_dicoms_own_numbers_in_common(
    border: PracticeBorder,
) -> None:
    patient = border.register.people[0]
    told = []
    for country in ("BB", "CC"):
        relation = await _relation(border, border.peers[country], f"{country}-doctor", patient)
        _, _, listed = await _one(border, relation, 0, {})
        said = re.findall(r"(?:DocumentReference|Bundle|Binary|Patient|ImagingStudy)/([\w.-]+)", listed.body.decode())
        said += [entry["id"] for entry in listed.entries] + [relation.handle, relation.token]
        told.append({*said, *(listed.headers.get(name, name) for name in ("etag", "ncp-log", "ncp-checkpoint"))})

    assert len(told[0]) > 6
    assert told[0] & told[1] <= {"etag", "ncp-log", "ncp-checkpoint"}


@pytest.mark.slow
@pytest.mark.threat("T30")
async def test_twenty_patients_keep_all_they_have_from_one_another(border: PracticeBorder) -> None:
    relations = [await _relation(border, border.bb, "doctor", patient) for patient in border.register.people]
    things = {
        relation.study: [
            "/fhir" + relation.report.partition("/fhir")[2],
            *(f"/dicom-web/studies/{relation.study}{rest}" for rest in ("", "/series/{0}.1/instances/{0}.1.1")),
        ]
        for relation in relations
    }
    reached, tried = [], 0

    for asker in relations:
        for study, paths in things.items():
            for path in (each.replace("{0}", study) for each in paths):
                reply = await border.ask(path, token=asker.token, headers={"accept": "*/*"})
                tried += study != asker.study
                if (reply.status == 200) != (study == asker.study) or (
                    reply.status != 200 and study.encode() in reply.body
                ):
                    reached.append((asker.study, path, reply.status))

    assert reached == []
    assert tried == PATIENTS * (PATIENTS - 1) * 3
