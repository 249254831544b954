"""Studies told as FHIR ImagingStudy and by QIDO-RS: found, counted, and silent where the patient said so."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from isthmus.model.documents import DocumentKind
from isthmus.model.people import Patient
from isthmus.testing.border import PracticeBorder, Reply
from isthmus.testing.register import CT, EMPTY, HIDDEN, MR, OPTED_OUT, RESTRICTED, SEEN, THEIRS, TWIN, add

OF_THE_EXCHANGE = ("x-request-id", "ncp-log", "ncp-checkpoint")

pytestmark = pytest.mark.anyio
ROWS = ("/studies", "/series", "/instances")
BELOW = ("/studies/{0}/series", "/studies/{0}/instances", "/studies/{0}/series/{0}.1/instances")


async def qido(border: PracticeBorder, path: str, patient: Patient = SEEN, **keys: str) -> Reply:
    token, _ = await border.care(patient)
    return await border.ask(f"/dicom-web{path}", token=token, query=keys, headers={"accept": "application/dicom+json"})


async def studies(border: PracticeBorder, patient: Patient = SEEN, **more: str) -> tuple[Reply, str]:
    token, handle = await border.care(patient)
    return await border.ask("/fhir/ImagingStudy", token=token, query={"patient": f"Patient/{handle}", **more}), handle


def uids(reply: Reply, tag: str = "0020000D") -> list[str]:
    return [row[tag]["Value"][0] for row in reply.json()]


def unlike(reply: Reply, handle: str = "") -> tuple[int, object, bytes]:
    headers = tuple((name, value) for name, value in sorted(reply.headers.items()) if name not in OF_THE_EXCHANGE)
    return reply.status, headers, reply.body.replace(handle.encode() or b"\0", b"HANDLE")


# QIDO-RS


@pytest.mark.requirement("WAD-19")
async def test_studies_series_and_instances_are_found_with_their_counts(border: PracticeBorder) -> None:
    every = await qido(border, "/studies")
    series = await qido(border, f"/studies/{CT}/series")
    instances = await qido(border, f"/studies/{CT}/series/{CT}.1/instances")

    assert every.headers["content-type"] == "application/dicom+json"
    assert sorted(uids(every)) == [CT, MR]
    assert {row["00201208"]["Value"][0] for row in every.json()} == {3}
    assert series.json()[0]["00201209"] == {"vr": "IS", "Value": [3]}
    assert uids(instances, "00080018") == [f"{CT}.1.{number}" for number in (1, 2, 3)]
    assert instances.json()[0]["00081190"]["Value"] == [
        f"https://127.0.0.1:8711/dicom-web/studies/{CT}/series/{CT}.1/instances/{CT}.1.1"
    ]


async def test_a_row_tells_the_handle_and_nothing_else_of_the_patient(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)

    reply = await border.ask("/dicom-web/studies", token=token, headers={"accept": "*/*"})

    row = reply.json()[0]
    assert row["00100020"] == {"vr": "LO", "Value": [handle]}
    assert [row[tag] for tag in ("00100010", "00100030", "00100040")] == [{"vr": "PN"}, {"vr": "DA"}, {"vr": "CS"}]
    assert SEEN.identifier.value.encode() not in reply.body


@pytest.mark.requirement("WAD-19")
@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ({}, {CT, MR}), ({"ModalitiesInStudy": "MR"}, {MR}), ({"Modality": "MR"}, {MR}), ({"00080061": "M?"}, {MR}),
        ({"StudyInstanceUID": CT}, {CT}), ({"StudyInstanceUID": f"{CT},{MR}"}, {CT, MR}), ({"0020000D": "2.25.777"}, set()),
        ({"StudyDate": "20240101"}, {CT}), ({"StudyDate": "20240101-20240131"}, {CT, MR}), ({"StudyDate": "20240102-"}, {MR}),
        ({"StudyDate": "-20240102"}, {CT}), ({"StudyDate": "19010101-19010102"}, set()), ({"StudyTime": "08-10"}, {CT, MR}),
        ({"AccessionNumber": "A1001"}, {CT}), ({"AccessionNumber": "A100*"}, {CT, MR}), ({"AccessionNumber": "1001"}, set()),
        ({"StudyDescription": "CT*head"}, {CT}), ({"StudyDescription": "ct*head"}, set()), ({"StudyDate": ""}, {CT, MR}),
        ({"ModalitiesInStudy": "CT", "StudyDate": "20240101"}, {CT}), ({"ModalitiesInStudy": "MR", "StudyDate": "20240101"}, set()),
        ({"includefield": "all"}, {CT, MR}), ({"includefield": "00081030,SeriesDescription", "limit": "9"}, {CT, MR}),
    ],
)  # fmt: skip
async def test_keys_narrow_the_studies(border: PracticeBorder, keys: dict[str, str], found: set[str]) -> None:
    reply = await qido(border, "/studies", SEEN, **keys)

    assert (reply.status, set(uids(reply)) if reply.body else set()) == (200 if found else 204, found)


async def test_patient_id_is_the_attested_value_or_the_handle_or_refused(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)

    async def by(name: str, value: str) -> Reply:
        return await border.ask(
            "/dicom-web/studies", token=token, query={name: value}, headers={"accept": "application/json"}
        )

    for own in (SEEN.identifier.value, handle, ""):
        assert (await by("PatientID", own)).status == 200
    for other in (TWIN.identifier.value, "*", f"{SEEN.identifier.value}*", "0"):
        for name in ("PatientID", "00100020"):
            reply = await by(name, other)
            assert (reply.status, reply.code) == (403, "patient-mismatch")


@pytest.mark.parametrize(
    ("path", "keys", "status", "code"),
    [
        ("/studies", {"ShoeSize": "43"}, 400, "param"), ("/studies", {"PatientName": "Practice"}, 400, "param"),
        ("/studies", {"SOPInstanceUID": "1.2"}, 400, "param"), ("/studies", {"StudyDate": "20261345"}, 400, "malformed"),
        ("/studies", {"StudyDate": "2026-01-01"}, 400, "malformed"), ("/studies", {"StudyDate": "-"}, 400, "malformed"),
        ("/studies", {"StudyTime": "2561"}, 400, "malformed"), ("/studies", {"StudyInstanceUID": "1..2"}, 400, "malformed"),
        ("/studies", {"limit": "0"}, 400, "malformed"), ("/studies", {"offset": "-1"}, 400, "malformed"),
        ("/studies", {"fuzzymatching": "maybe"}, 400, "malformed"), ("/studies", {"includefield": "<x>"}, 400, "malformed"),
        ("/series", {"SeriesNumber": "x"}, 400, "malformed"), ("/studies/1..2/series", {}, 400, "malformed"),
        ("/studies/not-a-uid/instances", {}, 400, "malformed"), ("/studies", {"AccessionNumber": "A" * 65}, 400, "malformed"),
    ],
)  # fmt: skip
async def test_what_is_no_key_or_no_value_is_refused(
    border: PracticeBorder, path: str, keys: dict[str, str], status: int, code: str
) -> None:
    reply = await qido(border, path, SEEN, **keys)

    assert (reply.status, reply.code) == (status, code)


async def test_a_form_that_is_not_given_is_406(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)

    for accept in ('multipart/related; type="application/dicom+xml"', "application/fhir+json", "application/dicom"):
        reply = await border.ask("/dicom-web/studies", token=token, headers={"accept": accept})
        assert (reply.status, reply.code) == (406, "media")


async def test_pages_say_that_there_is_more_and_fuzzy_matching_that_there_is_none(border: PracticeBorder) -> None:
    first = await qido(border, "/instances", limit="4", fuzzymatching="true")
    rest = await qido(border, "/instances", offset="4")

    assert (len(first.json()), len(rest.json())) == (4, 2)
    assert "fuzzymatching" in first.headers["warning"] or "2 additional" in first.headers["warning"]
    assert "warning" not in rest.headers
    assert len({*uids(first, "00080018"), *uids(rest, "00080018")}) == 6


@pytest.mark.threat("T30")
@pytest.mark.parametrize("path", BELOW)
async def test_anothers_study_is_as_one_that_does_not_exist(border: PracticeBorder, path: str) -> None:
    other, none = [await qido(border, path.format(uid)) for uid in (THEIRS, "2.25.7777")]

    assert other.status == 204
    assert unlike(other) == unlike(none)


@pytest.mark.threat("T32")
@pytest.mark.parametrize("path", [*ROWS, *BELOW])
async def test_restricted_opted_out_and_empty_are_the_same_bytes(border: PracticeBorder, path: str) -> None:
    border.say(RESTRICTED, "restrict-study", HIDDEN)
    border.say(OPTED_OUT, "opt-out")

    answers = {
        unlike(await qido(border, path.format(study), patient))
        for patient, study in ((RESTRICTED, HIDDEN), (OPTED_OUT, "2.25.4001"), (EMPTY, "2.25.5001"))
    }

    assert len(answers) == 1
    assert answers.pop()[0] == 204


@pytest.mark.threat("T100")
async def test_a_stored_value_never_acts_as_a_pattern(border: PracticeBorder) -> None:
    manifest = border.register.documents[SEEN.identifier][0]
    border.register.documents[SEEN.identifier][0] = replace(manifest, description="*?[a-z]%_.")

    literal = await qido(border, "/studies", StudyDescription="*?[a-z]%_.")
    other = await qido(border, "/studies", StudyDescription="xb[a-z]%_!")

    assert uids(literal) == [CT]
    assert other.status == 204


# ImagingStudy


@pytest.mark.requirement("WAD-20")
async def test_imaging_studies_are_found_by_get_and_post_without_an_endpoint(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    asked = {"patient": f"Patient/{handle}"}

    by_get = await border.ask("/fhir/ImagingStudy", token=token, query=asked)
    by_post = await border.ask("/fhir/ImagingStudy/_search", token=token, form=asked)

    assert by_get.body == by_post.body
    assert [entry["identifier"][0]["value"] for entry in by_get.entries] == [f"urn:oid:{MR}", f"urn:oid:{CT}"]
    assert {(e["numberOfSeries"], e["numberOfInstances"]) for e in by_get.entries} == {(1, 3)}
    assert b"endpoint" not in by_get.body
    assert SEEN.identifier.value.encode() not in by_get.body


@pytest.mark.requirement("WAD-20")
@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("identifier", f"urn:dicom:uid|urn:oid:{CT}", {CT}), ("identifier", CT, {CT}), ("identifier", "A1001", {CT}),
        ("modality", "MR", {MR}), ("modality", "http://dicom.nema.org/resources/ontology/DCM|CT,MR", {CT, MR}),
        ("started", "ge2024-01-02", {MR}), ("started", "lt1901-01-01", set()), ("reason", "x", set()),
        ("bodysite", "774007", {CT, MR}), ("body-site", "http://snomed.info/sct|53120007", set()), ("status", "available", {CT, MR}),
        ("dicom-class", "urn:oid:1.2.840.10008.5.1.4.1.1.2", {CT, MR}), ("dicom-class", "1.2.840.10008.5.1.4.1.1.4", set()),
        ("based-on:identifier", "urn:oid:2.999.1.2.2|A1002", {MR}), ("based-on", "ServiceRequest/1", set()),
        ("series", f"urn:oid:{CT}.1", {CT}), ("instance", f"{MR}.1.2", {MR}), ("_id", "x", set()), ("_count", "1", {MR}),
        ("_sort", "started", {CT, MR}),
    ],
)  # fmt: skip
async def test_parameters_narrow_the_imaging_studies(
    border: PracticeBorder, name: str, value: str, found: set[str]
) -> None:
    reply, _ = await studies(border, SEEN, **{name: value})

    assert {entry["identifier"][0]["value"].removeprefix("urn:oid:") for entry in reply.entries} == found


async def test_a_study_is_read_by_its_id_and_no_other_is(border: PracticeBorder) -> None:
    found, _ = await studies(border)
    theirs, _ = await studies(border, TWIN)
    token, _ = await border.care(SEEN)

    own = await border.ask(f"/fhir/ImagingStudy/{found.entries[0]['id']}", token=token)
    other = await border.ask(f"/fhir/ImagingStudy/{theirs.entries[0]['id']}", token=token)
    none = await border.ask(f"/fhir/ImagingStudy/{'a' * 32}", token=token)

    assert own.json()["identifier"] == found.entries[0]["identifier"]
    assert (other.status, unlike(other)) == (404, unlike(none))


async def test_an_id_of_a_study_means_nothing_to_another_country(border: PracticeBorder) -> None:
    cc = border.peers["CC"]
    mine, _ = await studies(border)
    token, handle = await border.care(SEEN, peer=cc)

    theirs = await border.ask("/fhir/ImagingStudy", token=token, query={"patient": handle}, certificate=cc.certificate)

    assert not {e["id"] for e in mine.entries} & {e["id"] for e in theirs.entries}


@pytest.mark.threat("T32")
async def test_an_imaging_study_that_is_restricted_leaves_no_trace(border: PracticeBorder) -> None:
    before, _ = await studies(border)
    border.say(SEEN, "restrict-study", CT)
    border.say(RESTRICTED, "restrict-study", HIDDEN)
    border.say(OPTED_OUT, "opt-out")

    after, _ = await studies(border)
    token, _ = await border.care(SEEN)
    reads = [await border.ask(f"/fhir/ImagingStudy/{e['id']}", token=token) for e in before.entries]
    answers = {unlike(*await studies(border, patient)) for patient in (RESTRICTED, OPTED_OUT, EMPTY)}

    assert after.json()["total"] == 1
    assert CT not in after.body.decode()
    assert [reply.status for reply in reads] == [200, 404]
    assert len(answers) == 1


async def test_another_patient_is_refused(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)
    _, other = await border.care(TWIN)

    for name, value in (("patient", other), ("subject", f"Patient/{other}"), ("patient.identifier", "urn:x|1")):
        reply = await border.ask("/fhir/ImagingStudy", token=token, query={name: value})
        assert (reply.status, reply.code) == (403, "patient-mismatch")


async def test_pages_of_studies_give_each_once(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    query = [("patient", f"Patient/{handle}"), ("_count", "1"), ("_sort", "started")]

    seen: list[str] = []
    while query:
        page = await border.ask("/fhir/ImagingStudy", token=token, query=query)
        seen += [entry["identifier"][0]["value"] for entry in page.entries]
        links = [link["url"] for link in page.json()["link"] if link["relation"] == "next"]
        query = [pair for link in links for pair in parse_qsl(urlsplit(link).query)]

    assert seen == [f"urn:oid:{CT}", f"urn:oid:{MR}"]


@pytest.mark.requirement("MFH-24")
async def test_a_country_that_publishes_key_object_selections_alone_tells_the_same_studies(
    border: PracticeBorder,
) -> None:
    of_fhir, _ = await studies(border)
    register = border.register
    register.documents[SEEN.identifier] = []
    for uid, modality in ((CT, "CT"), (MR, "MR")):
        add(register, SEEN, uid, DocumentKind.MANIFEST_KOS, modality)

    of_kos, _ = await studies(border)

    kept = ("id", "modality", "numberOfSeries", "numberOfInstances")
    assert [[e[name] for name in kept] for e in of_kos.entries] == [[e[name] for name in kept] for e in of_fhir.entries]


@pytest.mark.threat("T34")
async def test_as_many_records_are_written_whatever_may_be_told(border: PracticeBorder) -> None:
    border.say(OPTED_OUT, "opt-out")

    async def records(patient: Patient, path: str) -> int:
        token, handle = await border.care(patient)
        before = border.events()
        await border.ask(
            path, token=token, query={"patient": handle} if "fhir" in path else (), headers={"accept": "*/*"}
        )
        return border.events() - before

    for path in ("/fhir/ImagingStudy", "/dicom-web/studies", "/dicom-web/studies/2.25.4001/series"):
        assert {await records(patient, path) for patient in (SEEN, OPTED_OUT, EMPTY)} == {2}
