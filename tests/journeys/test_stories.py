"""Each patient's story through both countries: what Country B gets of it, and that both trails tell it alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.demo.people import PEOPLE
from isthmus.demo.reports import reports
from isthmus.demo.stories import STORIES, Story
from isthmus.demo.studies import STUDIES
from isthmus.errors import ImagesNotFound, InsufficientRights, PatientNotFound
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.pairing import Examination
from isthmus.model.queries import DocumentQuery
from isthmus.testing.two_countries import Asking, Pair, TwoCountries
from isthmus.wire.report.document import original_of

pytestmark = pytest.mark.anyio


def story_of(person: str) -> Story:
    return next(story for story in STORIES if story.person == person)


def manifest_of(examination: Examination) -> Document:
    assert examination.manifest is not None
    return examination.manifest


def alike(pairs: Iterable[Pair], *transactions: str) -> None:
    """Both trails hold the same exchanges, each complete; the last ones are these."""
    told = list(pairs)
    assert [p.b.transaction if p.b else None for p in told][-len(transactions) :] == list(transactions)
    for one in told:
        assert one.a is not None
        assert one.b is not None
        assert (one.a.side, one.b.side, one.a.peer, one.b.peer) == ("A", "B", "BB", "AA")
        assert (one.a.transaction, one.a.purpose) == (one.b.transaction, one.b.purpose or one.a.purpose)
        assert (one.a.outcome, one.b.outcome) == ("complete", "complete")
        assert (one.a.instances, one.a.bytes) == (one.b.instances, one.b.bytes)


async def whole_study(visit: Asking, countries: TwoCountries, study: str) -> dict[str, bytes]:
    """Fetch a study; it is what its manifest lists and, byte for byte, what the archive gives."""
    listed = await visit.find_documents(DocumentQuery(study_instance_uids=(study,)))
    manifest, _ = await visit.get_manifest(next(d for d in listed if d.kind is DocumentKind.MANIFEST_FHIR))
    came = await visit.get_images(study)
    kept = {row.sop_instance_uid: row for row in countries.a.kept(study)}
    assert set(came) == set(kept) == {i.sop_instance_uid for s in manifest.study.series for i in s.instances}
    assert {uid: hashlib.sha256(body).hexdigest() for uid, body in came.items()} == {
        uid: row.crossing_sha256 or row.sha256 for uid, row in kept.items()
    }
    return came


async def test_a_study_with_its_report_is_found_read_and_seen(countries: TwoCountries) -> None:
    since, eleni = countries.since(), PEOPLE["eleni"]
    (source,) = (report for report in reports().values() if report.person == "eleni")

    async with countries.b.visit(eleni) as visit:
        (examination,) = await visit.examinations()
        report, body = await visit.get_report(examination.reports[0])
        came = await whole_study(visit, countries, manifest_of(examination).study_instance_uids[0])

    assert manifest_of(examination).study_instance_uids == (STUDIES["ct-eleni"].study_instance_uid,)
    assert manifest_of(examination).description == "CT of the head without contrast"
    assert len(came) == manifest_of(examination).instance_count == 21
    assert report.header.patient.identifier == eleni.identifier
    assert report.header.title == examination.reports[0].title
    assert report.sections
    assert report.key_images
    assert original_of(body) == ("application/pdf", source.pdf.read_bytes())
    alike(since.pairs(), "ITI-71", "ITI-78", "ITI-71", "ITI-67", "ITI-68", "ITI-67", "ITI-68", "RAD-107", "receipt")


@pytest.mark.parametrize("person", ["markos", "sofia"])
async def test_a_report_in_greek_arrives_in_greek(countries: TwoCountries, person: str) -> None:
    async with countries.b.visit(PEOPLE[person]) as visit:
        (examination,) = await visit.examinations()
        report, body = await visit.get_report(examination.reports[0])

    assert examination.reports[0].language == "el"
    assert any("α" in (section.narrative or "") for section in report.sections)
    assert original_of(body)[1].startswith(b"%PDF-")


async def test_a_study_without_a_report_is_seen_all_the_same(countries: TwoCountries) -> None:
    since = countries.since()

    async with countries.b.visit(PEOPLE["mirela"]) as visit:
        (examination,) = await visit.examinations()
        came = await whole_study(visit, countries, STUDIES["us-mirela"].study_instance_uid)

    assert examination.reports == []
    assert came
    alike(since.pairs(), "ITI-67", "ITI-67", "ITI-68", "RAD-107", "receipt")


async def test_a_report_without_its_study_is_read_and_its_images_are_not_found(countries: TwoCountries) -> None:
    since = countries.since()

    async with countries.b.visit(PEOPLE["oskar"]) as visit:
        (examination,) = await visit.examinations()
        report, _ = await visit.get_report(examination.reports[0])
        alike(since.pairs(), "ITI-67", "ITI-68")
        with pytest.raises(ImagesNotFound):
            await visit.get_images(report.study_instance_uids[0])

    assert examination.manifest is None
    assert report.header.patient.identifier == PEOPLE["oskar"].identifier
    refused = since.pairs()[-1]
    assert refused.a is not None
    assert refused.b is not None
    assert (refused.a.outcome, refused.b.outcome) == ("refused", "refused")


async def test_two_studies_stand_newest_first_each_with_its_own_report(countries: TwoCountries) -> None:
    since = countries.since()

    async with countries.b.visit(PEOPLE["irini"]) as visit:
        newer, older = await visit.examinations()
        counts = [len(await whole_study(visit, countries, STUDIES[label].study_instance_uid)) for label in ("ct-irini", "mr-irini")]  # fmt: skip

    assert [manifest_of(e).study_instance_uids[0] for e in (newer, older)] == [
        STUDIES[label].study_instance_uid for label in ("ct-irini", "mr-irini")
    ]
    for examination in (newer, older):
        (report,) = examination.reports
        assert manifest_of(examination).study_instance_uids[0] in report.study_instance_uids
    assert counts == [manifest_of(newer).instance_count, manifest_of(older).instance_count]
    seen = ("ITI-67", "ITI-68", "RAD-107")
    alike(since.pairs(), *seen, *seen, "receipt", "receipt")  # receipts leave when the visit ends


async def test_what_a_patient_restricted_looks_like_nothing(countries: TwoCountries) -> None:
    since, hidden = countries.since(), STUDIES["mr-lazaros"].study_instance_uid
    said = []

    for person in ("lazaros", "noemi"):
        async with countries.b.visit(PEOPLE[person]) as visit:
            assert await visit.find_documents() == ()
            with pytest.raises(ImagesNotFound) as caught:
                await visit.get_images(hidden)
            said.append(str(caught.value))

    assert said[0] == said[1]
    restricted, nothing = (pairs for pairs in halves(since.pairs()))
    assert [outcomes(pair) for pair in restricted] == [outcomes(pair) for pair in nothing]
    assert outcomes(restricted[-1]) == ("RAD-107", "refused", "refused")


def halves(pairs: list[Pair]) -> tuple[list[Pair], list[Pair]]:
    return pairs[: len(pairs) // 2], pairs[len(pairs) // 2 :]


def outcomes(pair: Pair) -> tuple[str, str, str]:
    assert pair.a is not None
    assert pair.b is not None
    return pair.a.transaction, pair.a.outcome, pair.b.outcome


async def test_of_two_studies_the_one_that_is_not_restricted_is_seen(countries: TwoCountries) -> None:
    since = countries.since()

    async with countries.b.visit(PEOPLE["petra"]) as visit:
        (examination,) = await visit.examinations()
        came = await whole_study(visit, countries, STUDIES["dx-petra"].study_instance_uid)
        alike(since.pairs(), "ITI-67", "ITI-67", "ITI-68", "RAD-107")
        with pytest.raises(ImagesNotFound):
            await visit.get_images(STUDIES["mr-petra"].study_instance_uid)

    assert manifest_of(examination).study_instance_uids == (STUDIES["dx-petra"].study_instance_uid,)
    assert came


async def test_one_who_opted_out_looks_like_one_who_has_nothing(countries: TwoCountries) -> None:
    async with countries.b.visit(PEOPLE["iason"]) as visit:
        opted_out = await visit.find_documents()
        with pytest.raises(ImagesNotFound) as about_theirs:
            await visit.get_images(STUDIES["us-iason"].study_instance_uid)
    since = countries.since()
    async with countries.b.visit(PEOPLE["noemi"]) as visit:
        nothing = await visit.find_documents()
        with pytest.raises(ImagesNotFound) as about_nothing:
            await visit.get_images("2.25.404")

    assert opted_out == nothing == ()
    assert str(about_theirs.value) == str(about_nothing.value)
    assert outcomes(since.pairs()[-1]) == ("RAD-107", "refused", "refused")


async def test_twins_are_told_apart_by_their_identifier_alone(countries: TwoCountries) -> None:
    seen = {}

    for twin, other in (("twin-a", "us-twin-b"), ("twin-b", "mr-twin-a")):
        async with countries.b.visit(PEOPLE[twin]) as visit:
            seen[twin] = [manifest_of(e).study_instance_uids[0] for e in await visit.examinations()]
            with pytest.raises(ImagesNotFound):
                await visit.get_images(STUDIES[other].study_instance_uid)

    assert seen == {
        "twin-a": [STUDIES["mr-twin-a"].study_instance_uid],
        "twin-b": [STUDIES["us-twin-b"].study_instance_uid],
    }


EVERY_VERSION = DocumentQuery(statuses=("current", "superseded"))


@pytest.mark.requirement("REP-22")
async def test_an_amended_report_stands_before_the_one_it_replaces(countries: TwoCountries) -> None:
    since = countries.since()

    async with countries.b.visit(PEOPLE["stefanos"]) as visit:
        now = [d for d in await visit.find_documents() if not d.kind.is_manifest]
        ever = [d for d in await visit.find_documents(EVERY_VERSION) if not d.kind.is_manifest]
        amended, first = sorted(ever, key=lambda d: d.report_version or "", reverse=True)
        texts = [(await visit.get_report(document))[1] for document in (amended, first)]

    assert now == [amended]
    assert (amended.status, amended.report_version, amended.replaces) == ("current", "2", first.id)
    assert (first.status, first.report_version, first.replaces) == ("superseded", "1", None)
    assert texts[0] != texts[1]
    alike(since.pairs(), "ITI-67", "ITI-67", "ITI-68", "ITI-68")


async def test_one_report_about_two_studies_stands_at_both(countries: TwoCountries) -> None:
    async with countries.b.visit(PEOPLE["rosalie"]) as visit:
        examinations = await visit.examinations()

    assert len(examinations) == 2
    assert {manifest_of(e).study_instance_uids[0] for e in examinations} == {
        study.study_instance_uid for study in STUDIES.values() if study.person == "rosalie"
    }
    assert examinations[0].reports == examinations[1].reports
    assert len(examinations[0].reports) == 1


async def test_a_preliminary_report_says_that_it_is_one(countries: TwoCountries) -> None:
    async with countries.b.visit(PEOPLE["rada"]) as visit:
        (examination,) = await visit.examinations()
        report, _ = await visit.get_report(examination.reports[0])

    assert (examination.reports[0].report_status, report.header.status) == ("preliminary", "preliminary")
    assert examination.reports[0].language == "bg"
    assert PEOPLE["rada"].names[1].family in {name.family for name in report.header.patient.names}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.person)
async def test_country_b_sees_of_every_story_what_the_story_says(countries: TwoCountries, story: Story) -> None:
    async with countries.b.visit(story.patient) as visit:
        found = await visit.find_documents(EVERY_VERSION)

    assert {d.study_instance_uids[0] for d in found if d.kind.is_manifest} == {
        STUDIES[label].study_instance_uid for label in story.studies
    }
    assert sum(not d.kind.is_manifest for d in found) == len(story.reports)


async def test_the_marked_images_of_a_study_are_fetched_and_no_others(countries: TwoCountries, tmp_path: Path) -> None:
    study = STUDIES["ct-eleni"].study_instance_uid
    who = PEOPLE["eleni"]
    named = ("--identifier", f"{who.identifier.system}|{who.identifier.value}", "--family", who.name.family)
    asked = ("visit", "--as", "radiologist", "--country", "AA", *named, "--birth-date", who.birth_date)

    done = countries.b.command(*asked, "images", study, "--key-images", "--out", tmp_path, "--json")

    assert done.returncode == 0, done.stderr
    files = list(tmp_path.rglob("*.dcm"))
    kept = {row.sop_instance_uid: row.sha256 for row in countries.a.kept(study)}
    assert 0 < len(files) < len(kept)
    assert all(hashlib.sha256(file.read_bytes()).hexdigest() == kept[file.stem] for file in files)


async def test_nobody_is_found_under_anothers_birth_date(countries: TwoCountries) -> None:
    since, stranger = countries.since(), replace(PEOPLE["eleni"], birth_date="1961-04-18")

    with pytest.raises(PatientNotFound):
        async with countries.b.visit(stranger):
            raise AssertionError("nobody can be visited")

    assert [p.b.transaction for p in since.pairs() if p.b] == ["ITI-71", "ITI-78"]


async def test_a_nurse_reads_the_list_and_sees_no_pixels(countries: TwoCountries) -> None:
    since = countries.since()

    async with countries.b.visit(PEOPLE["anton"], login="nurse") as visit:
        (examination,) = await visit.examinations()
        with pytest.raises(InsufficientRights):
            await visit.get_images(manifest_of(examination).study_instance_uids[0])

    alike(since.pairs(), "ITI-67")


async def test_both_trails_are_proven_afterwards(countries: TwoCountries) -> None:
    async with countries.b.visit(PEOPLE["danae"]) as visit:
        await visit.find_documents()

    for node in (countries.a, countries.b):
        proof = node.verified()
        assert proof.intact, proof.problems
        assert proof.events
