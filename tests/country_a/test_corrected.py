"""Corrections as the border shows them: gone at once, for open visits and running transfers too, and never told as "deleted".

Source: trust.md §2.6.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from tests.archive.conftest import NOW, Node, dicom, settings_in
from tests.archive.corrections.conftest import Kept, note
from tests.country_a.test_streams import slowed

from isthmus.country_a.gate import LOOK_AGAIN_S
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.imaging import Study
from isthmus.model.people import HumanName, Patient
from isthmus.model.pieces import StoredInstance
from isthmus.model.queries import ImagesQuery
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.examination import Examination
from isthmus.model.report.header import Header
from isthmus.national.files import Files
from isthmus.sources import Source, Sources
from isthmus.storage.database import open_index
from isthmus.testing.border import PracticeBorder, Reply
from isthmus.testing.register import ISSUER, SEEN, Register
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import write_report

pytestmark = pytest.mark.anyio
STORED = {"accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
STUDY, OTHER = "2.25.10", "2.25.20"


def traits(patient: Patient) -> dict[str, Any]:
    """What a file says of a patient."""
    name = patient.name
    return {
        "PatientID": patient.identifier.value, "PatientName": f"{name.family}^{name.given[0]}",
        "PatientBirthDate": patient.birth_date.replace("-", ""), "PatientSex": "F",
    }  # fmt: skip


FORMER = replace(SEEN, identifier=PatientIdentifier(SEEN.identifier.system, SEEN.identifier.value[:-1] + "9"))
IDA = Patient(
    PatientIdentifier(SEEN.identifier.system, SEEN.identifier.value[:-1] + "8"),
    (HumanName("Anderssen", ("Ida",)),), "1955-12-31", "female",
)  # fmt: skip


class Slow(Files):
    """The archive, on a slow line; `meanwhile` happens while the second instance is on its way."""

    meanwhile: Callable[[], object] | None = None

    async def get_images(self, patient: PatientIdentifier, query: ImagesQuery) -> Sequence[StoredInstance]:
        found = await super().get_images(patient, query)
        if self.meanwhile is None:
            return found
        first, second, *others = found
        seconds = 2 * LOOK_AGAIN_S  # after it the border looks again
        return [slowed(first, 0), slowed(second, seconds, self.meanwhile), *(slowed(one, 0) for one in others)]


@dataclass
class Behind:
    """A border, and the archive behind it."""

    border: PracticeBorder
    kept: Kept
    files: Slow

    async def entries(self, patient: Patient, token: str, handle: str) -> list[dict[str, Any]]:
        reply = await self.border.ask("/fhir/DocumentReference", token=token, query={"patient": handle})
        return reply.entries

    async def images(self, token: str, study: str = STUDY) -> Reply:
        return await self.border.ask(f"/dicom-web/studies/{study}", token=token, headers=STORED)


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[Behind]:
    source = Source(
        patient_issuer=ISSUER.removeprefix("urn:oid:"), accession_issuer="2.999.5.1", time_zone="Europe/Athens",
        institution="General",
    )  # fmt: skip
    (tmp_path / "archive").mkdir()
    settings = replace(
        settings_in(tmp_path / "archive"), sources=Sources(patients=(source,), reports=(source,), images=(source,))
    )
    index = open_index(settings)
    kept, files = Kept(Node(settings, index)), Slow(settings, index, lambda: NOW)
    for person in (SEEN, IDA):
        kept.register(person.identifier, person.name.family, person.name.given[0], person.birth_date)
    kept.bring(dicom(1, **traits(SEEN)), dicom(2, **traits(SEEN)), dicom(3, study=OTHER, **traits(SEEN)))
    async with PracticeBorder(tmp_path / "practice", register=cast(Register, files)) as border:
        yield Behind(border, kept, files)
    index.close()


def ids_of(entries: list[dict[str, Any]], study: str = STUDY) -> list[str]:
    """The addresses of a study's FHIR manifests."""
    urls = [entry["content"][0]["attachment"]["url"] for entry in entries if f"urn:oid:{study}" in str(entry)]
    return [url[url.index("/fhir/") :] for url in urls if "/Bundle/" in url]


async def test_a_study_of_another_is_gone_at_once_in_every_form_for_an_open_visit(behind: Behind) -> None:
    token, handle = await behind.border.care(SEEN)
    (address,) = ids_of(await behind.entries(SEEN, token, handle))
    before = await behind.border.ask(address, token=token)
    assert (before.status, (await behind.images(token)).status) == (200, 200)

    behind.kept.move(IDA.identifier, study=STUDY)

    ask = behind.border.ask
    held = {"if-none-match": before.headers["etag"]}
    series = "/series/2.25.11/instances/2.25.100001"
    gone = [
        await ask(address, token=token),
        await ask(address, token=token, headers=held),
        await behind.images(token),
        await ask(f"/dicom-web/studies/{STUDY}{series}", token=token, headers={"accept": "application/dicom"}),
    ]
    rows = await ask("/dicom-web/studies", token=token, query={"StudyInstanceUID": STUDY}, headers={"accept": ""})
    studies = await ask("/fhir/ImagingStudy", token=token, query={"patient": handle})
    assert [reply.status for reply in gone] == [404] * 4
    assert {reply.body for reply in gone} == {gone[0].body}
    assert (rows.status, len(studies.entries)) == (204, 1)
    assert ids_of(await behind.entries(SEEN, token, handle)) == []
    assert len(ids_of(await behind.entries(SEEN, token, handle), OTHER)) == 1


async def test_what_is_left_of_a_study_stands_under_a_new_manifest_and_the_earlier_is_not_read(behind: Behind) -> None:
    token, handle = await behind.border.care(SEEN)
    (before,) = ids_of(await behind.entries(SEEN, token, handle))

    behind.kept.bring(note("2.25.100001", **traits(SEEN)))

    entries = await behind.entries(SEEN, token, handle)
    (after,) = ids_of(entries)
    assert after != before
    assert (await behind.border.ask(before, token=token)).status == 404
    assert "replaces" not in str(entries)
    assert (await behind.images(token)).body.count(b"Content-Type: application/dicom") == 1


async def test_what_is_added_replaces_and_the_earlier_manifest_can_still_be_read(behind: Behind) -> None:
    token, handle = await behind.border.care(SEEN)
    (before,) = ids_of(await behind.entries(SEEN, token, handle))

    behind.kept.bring(dicom(4, **traits(SEEN)))

    entries = await behind.entries(SEEN, token, handle)
    assert (await behind.border.ask(before, token=token)).status == 200
    assert "replaces" in str(entries)


@pytest.mark.threat("T52")
async def test_a_running_transfer_is_cut_before_the_next_instance(behind: Behind) -> None:
    behind.kept.bring(dicom(4, **traits(SEEN)), dicom(5, **traits(SEEN)))
    token, _ = await behind.border.care(SEEN)
    behind.files.meanwhile = lambda: behind.kept.move(IDA.identifier, study=STUDY)

    reply = await behind.images(token)

    assert (reply.status, reply.whole) == (200, False)
    assert reply.body.count(b"D" * 1000) == 2
    assert (await behind.images(token)).status == 404


async def test_another_studys_correction_leaves_a_transfer_alone(behind: Behind) -> None:
    behind.kept.bring(dicom(4, **traits(SEEN)))
    token, _ = await behind.border.care(SEEN)
    behind.files.meanwhile = lambda: behind.kept.delete(study=OTHER)

    reply = await behind.images(token)

    assert (reply.status, reply.whole) == (200, True)
    assert reply.body.count(b"D" * 1000) == 3
    assert (await behind.images(token, OTHER)).status == 404


async def test_a_visit_under_a_number_that_was_merged_is_given_nothing_from_then_on(behind: Behind) -> None:
    behind.kept.register(FORMER.identifier, FORMER.name.family, FORMER.name.given[0], FORMER.birth_date)
    behind.kept.bring(dicom(6, study="2.25.60", **traits(FORMER)))
    token, handle = await behind.border.care(FORMER)
    (address,) = ids_of(await behind.entries(FORMER, token, handle), "2.25.60")

    behind.kept.merge(FORMER.identifier, SEEN.identifier)

    assert await behind.entries(FORMER, token, handle) == []
    assert (await behind.border.ask(f"/fhir/Patient/{handle}", token=token)).status == 404
    assert (await behind.border.ask(address, token=token)).status == 404
    assert (await behind.images(token, "2.25.60")).status == 404
    assert (await behind.images(token, STUDY)).status == 404


async def test_the_survivor_has_what_was_the_others_and_the_register_says_both_numbers(behind: Behind) -> None:
    behind.kept.register(FORMER.identifier, FORMER.name.family, FORMER.name.given[0], FORMER.birth_date)
    behind.kept.bring(dicom(6, study="2.25.60", **traits(FORMER)))
    behind.kept.merge(FORMER.identifier, SEEN.identifier)

    token, handle = await behind.border.care(SEEN)
    patient = (await behind.border.ask(f"/fhir/Patient/{handle}", token=token)).json()

    assert [(i.get("use"), i["value"]) for i in patient["identifier"]] == [
        (None, SEEN.identifier.value), ("old", FORMER.identifier.value),
    ]  # fmt: skip
    assert (await behind.images(token, "2.25.60")).status == 200


@pytest.mark.parametrize(
    ("kind", "scope", "left"), [("opt-out", "", 0), ("restrict-study", "2.25.60", 2), ("restrict-modality", "CT", 0)]
)
async def test_what_was_said_under_a_merged_number_holds_for_the_survivor(
    behind: Behind, kind: str, scope: str, left: int
) -> None:
    behind.kept.register(FORMER.identifier, FORMER.name.family, FORMER.name.given[0], FORMER.birth_date)
    behind.kept.bring(dicom(6, study="2.25.60", **traits(FORMER)))
    behind.border.say(FORMER, kind, scope)
    token, handle = await behind.border.care(SEEN)

    behind.kept.merge(FORMER.identifier, SEEN.identifier)

    entries = await behind.entries(SEEN, token, handle)
    assert len([entry for entry in entries if "/Bundle/" in str(entry["content"])]) == left


async def test_a_retracted_report_is_gone_and_what_a_directive_says_of_it_still_holds(behind: Behind) -> None:
    number = Identifier("urn:ietf:rfc:3986", "urn:uuid:5f0c1e10-0000-4000-8000-000000000001")
    header = Header(number, SEEN, title="CT report", date="2026-03-01T09:00:00+02:00", version="1")
    examination = Examination((Study(STUDY, SEEN, ()),))
    assert (
        behind.kept.report(write_report(ImagingReport(header, examination=examination), load_pack())).outcome
        == "accepted"
    )
    token, handle = await behind.border.care(SEEN)
    (report,) = [d for d in behind.kept.documents(SEEN.identifier) if not d.kind.is_manifest]
    listed = [e for e in await behind.entries(SEEN, token, handle) if "CT report" in str(e)]

    behind.kept.retract(report.id)

    url = listed[0]["content"][0]["attachment"]["url"]
    assert (await behind.border.ask(url[url.index("/fhir/") :], token=token)).status == 404
    assert not [e for e in await behind.entries(SEEN, token, handle) if "CT report" in str(e)]
    behind.border.say(SEEN, "restrict-report", report.id)
    assert ids_of(await behind.entries(SEEN, token, handle)) == []
    assert (await behind.images(token)).status == 404
    assert len(ids_of(await behind.entries(SEEN, token, handle), OTHER)) == 1
