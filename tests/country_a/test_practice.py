"""Everything that the practice country says in its stories fulfils every requirement: the archive of the demonstration behind a border."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from isthmus.config import read_settings
from isthmus.conformance.evidence import Exchange, gather
from isthmus.conformance.requirement import Kind, answer_of, examine
from isthmus.conformance.requirements import all as groups
from isthmus.demo.people import PEOPLE
from isthmus.demo.stories import STORIES, Story
from isthmus.demo.studies import STUDIES
from isthmus.national.opening import open_sources
from isthmus.storage.database import open_index
from isthmus.testing.border import PracticeBorder
from isthmus.testing.register import Register
from isthmus.testing.two_countries import prepare
from isthmus.wire.packs.pack import load_pack

pytestmark = pytest.mark.anyio
assert groups.GROUPS
PACK = load_pack()
STORED = {"accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
LOINC = "http://loinc.org"


@pytest.fixture
async def practice(tmp_path: Path, at_rest: Path) -> AsyncIterator[PracticeBorder]:
    prepare(tmp_path / "countries", at_rest)
    settings = read_settings(tmp_path / "countries" / "aa" / "isthmus.toml", {})
    index = open_index(settings)
    national = open_sources(settings, index, lambda: datetime.now(UTC))
    async with PracticeBorder(
        tmp_path / "practice", requests_per_s=10_000, register=cast(Register, national)
    ) as border:
        yield border
    await national.close()
    index.close()


async def _told(border: PracticeBorder, story: Story) -> tuple[Exchange, ...]:
    """A visit that asks for everything, in every way."""
    begun = len(border.conversation)
    await border.ask("/fhir/metadata")
    await border.ask("/.well-known/smart-configuration")
    token, handle = await border.care(story.patient)
    who = ("patient", f"Patient/{handle}")

    async def ask(
        path: str, *pairs: tuple[str, str], accept: str = "application/fhir+json", post: bool = False
    ) -> list[Any]:
        form = [who, *pairs] if post else None
        query = [who, *pairs] if path.startswith("/fhir/") and path.count("/") == 2 and not post else []
        reply = await border.ask(path, token=token, query=query, form=form, headers={"accept": accept})
        return reply.entries if reply.status == 200 and b"searchset" in reply.body[:80] else []

    current = ("status", "current")
    entries = await ask("/fhir/DocumentReference", current) + await ask(
        "/fhir/DocumentReference", ("status", "superseded")
    )
    await ask("/fhir/DocumentReference/_search", current, post=True)
    studies = {study.study_instance_uid for study in STUDIES.values() if PEOPLE[study.person] == story.patient}
    for pair in (
        ("type", f"{LOINC}|85430-7"), ("type", f"{LOINC}|18748-4"), ("type", f"{LOINC}|85430-7,{LOINC}|18748-4"), ("category", "Medical-Imaging"),
        ("contenttype", "application/dicom"), ("contenttype", "application/pdf"), ("modality", "CT"), ("bodysite", "774007"),
        ("anatomical-region", "http://snomed.info/sct|774007"), ("date", "ge2020-01-01"), ("period", "lt2020-01-01"), ("creation", "ge2020-01-01"),
        ("format", "urn:ihe:rad:MADO:fhir-manifest:2026"), ("setting", "394914008"), ("_lastUpdated", "ge2020-01-01"),
        *(("study-instance-uid", uid) for uid in studies), *(("study-instance-uid", f"urn:oid:{uid}") for uid in studies),
        *(("related:identifier", f"urn:dicom:uid|urn:oid:{uid}") for uid in studies),
    ):  # fmt: skip
        await ask("/fhir/DocumentReference", current, pair)
    await ask("/fhir/DocumentReference", current, ("type", "85430-7"), ("modality", "CT"))
    for entry in entries:
        attachment = entry["content"][0]["attachment"]
        for _ in range(2):
            await ask("/fhir/" + attachment["url"].partition("/fhir/")[2], accept=attachment["contentType"])
    await ask("/fhir/ImagingStudy")
    await ask("/dicom-web/studies", accept="application/dicom+json")
    for uid in studies:
        await ask(f"/dicom-web/studies/{uid}", accept=STORED["accept"])
        await ask(f"/dicom-web/studies/{uid}/series", accept="application/dicom+json")
    await ask("/fhir/Bundle/unknown")
    await ask("/dicom-web/studies/2.25.1", accept=STORED["accept"])
    return tuple(border.conversation[begun:])


@pytest.mark.requirement(
    "CAP-01",
    "CAP-02",
    "CAP-03",
    "CAP-04",
    "CAP-05",
    "CAP-09",
    "CAP-11",
    "CAP-12",
    "PID-04",
    "PID-05",
    "PID-06",
    "PID-12",
    "DRS-02",
    "DRS-03",
    "DRS-04",
    "DRS-06",
    "DRS-07",
    "DRS-08",
    "DRS-09",
    "DRS-10",
    "DRS-11",
    "DRS-13",
    "DRS-14",
    "DRS-15",
    "DRS-16",
    "DRS-18",
    "DRS-22",
    "DRC-01",
    "DRC-02",
    "DRC-03",
    "DRC-04",
    "DRC-05",
    "DRC-06",
    "DRC-07",
    "DRC-08",
    "DRC-09",
    "DRC-10",
    "DRC-11",
    "DRC-12",
    "DRC-13",
    "DRC-14",
    "DRC-15",
    "DRC-16",
    "DRC-17",
    "DRC-18",
    "DRC-19",
    "DRC-20",
    "RET-01",
    "RET-02",
    "RET-08",
    "RET-09",
    "MFH-01",
    "MFH-02",
    "MFH-03",
    "MFH-04",
    "MFH-05",
    "MFH-06",
    "MFH-07",
    "MFH-08",
    "MFH-09",
    "MFH-10",
    "MFH-11",
    "MFH-12",
    "MFH-13",
    "MFH-14",
    "MFH-15",
    "MFH-16",
    "MFH-17",
    "MFH-18",
    "MFH-19",
    "MFH-20",
    "MFH-21",
    "MFH-22",
    "MFH-23",
    "MFH-24",
    "MFH-25",
    "MFH-27",
    "MFH-28",
    "MFH-30",
    "MKO-01",
    "MKO-02",
    "MKO-03",
    "MKO-04",
    "MKO-05",
    "MKO-06",
    "MKO-07",
    "MKO-08",
    "MKO-09",
    "MKO-10",
    "MKO-11",
    "MKO-13",
    "MKO-14",
    "MKO-15",
    "MKO-16",
    "MKO-20",
    "MKO-21",
    "MKO-23",
    "MKO-24",
    "WAD-01",
    "WAD-02",
    "WAD-04",
    "WAD-07",
    "WAD-13",
    "WAD-19",
    "WAD-20",
    "REP-01",
    "REP-02",
    "REP-03",
    "REP-04",
    "REP-05",
    "REP-06",
    "REP-07",
    "REP-08",
    "REP-09",
    "REP-10",
    "REP-11",
    "REP-12",
    "REP-13",
    "REP-14",
    "REP-15",
    "REP-16",
    "REP-17",
    "REP-18",
    "REP-19",
    "REP-21",
    "REP-22",
    "REP-26",
    "SEC-05",
    "SEC-08",
)
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.person)
async def test_what_is_said_in_a_story_fulfils_every_requirement(practice: PracticeBorder, story: Story) -> None:
    for label in story.restricted:
        practice.say(story.patient, "restrict-study", STUDIES[label].study_instance_uid)
    if story.opted_out:
        practice.say(story.patient, "opt-out")

    conversation = await _told(practice, story)

    assert examine(Kind.CONVERSATION, conversation, PACK) == []
    kinds = {answer[0] for one in conversation if (answer := answer_of(one, PACK)) is not None}
    shown = {one.study_instance_uid for one in gather(conversation, PACK) if one.delivered}
    assert shown == {STUDIES[label].study_instance_uid for label in story.studies}
    assert (Kind.MANIFEST in kinds, Kind.KOS in kinds) == (bool(shown), bool(shown))
