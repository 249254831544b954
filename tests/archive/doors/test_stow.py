"""STOW-RS: what a sender is told, what is kept, and what hostile or broken senders get.

Source: PS3.18 §10.5; interfaces.md §11; trust.md T69, T98, T99.
"""

from __future__ import annotations

import io
import socket
import time
from typing import Any

import pytest
from tests.archive.conftest import dicom
from tests.archive.doors.conftest import TOKENS, Intakes, multipart

from isthmus.archive.doors.answers import IN_QUARANTINE
from isthmus.archive.verdicts import REASONS


def head_of(body_length: int | None, content_type: str, port: int, path: str = "/dicom-web/studies") -> bytes:
    length = f"Content-Length: {body_length}" if body_length is not None else "Transfer-Encoding: chunked"
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKENS['ct']}\r\n"
        f"Content-Type: {content_type}\r\n{length}\r\n\r\n"
    ).encode()


def test_a_study_is_kept_and_each_instance_answered_for(doors: Intakes) -> None:
    reply = doors.store(dicom(1), dicom(2))

    assert (reply.status, reply.headers["content-type"]) == (200, "application/dicom+json")
    assert reply.uids() == ["2.25.100001", "2.25.100002"]
    assert [(row.state, row.source) for row in doors.kept()] == [("served", "archive")] * 2


def test_the_same_request_again_changes_nothing_and_is_answered_the_same(doors: Intakes) -> None:
    first = doors.store(dicom(1), dicom(2))

    again = doors.store(dicom(1), dicom(2))

    assert (again.status, again.body) == (first.status, first.body)
    assert len(doors.kept()) == 2


def test_dicomweb_client_stores_a_study(doors: Intakes) -> None:
    from dicomweb_client.api import DICOMwebClient
    from pydicom import dcmread

    client = DICOMwebClient(
        f"http://127.0.0.1:{doors.port}/dicom-web", headers={"Authorization": f"Bearer {TOKENS['ct']}"}
    )

    told = client.store_instances([dcmread(io.BytesIO(dicom(number))) for number in range(1, 4)])

    assert [str(item.ReferencedSOPInstanceUID) for item in told.ReferencedSOPSequence] == [
        f"2.25.10000{number}" for number in range(1, 4)
    ]
    assert len(doors.kept()) == 3


def test_dicomweb_client_is_told_what_failed_and_what_is_held(doors: Intakes) -> None:
    from dicomweb_client.api import DICOMwebClient
    from pydicom import dcmread

    doors.store(dicom(1))
    client = DICOMwebClient(
        f"http://127.0.0.1:{doors.port}/dicom-web", headers={"Authorization": f"Bearer {TOKENS['ct']}"}
    )
    other_bytes, another = dicom(1, StudyDescription="Else"), dicom(2, PatientID="9", PatientName="Other^One")

    told = client.store_instances([dcmread(io.BytesIO(body)) for body in (other_bytes, another, dicom(3))])

    assert [(str(i.ReferencedSOPInstanceUID), i.FailureReason) for i in told.FailedSOPSequence] == [
        ("2.25.100001", 0x0111)
    ]
    assert [(str(i.ReferencedSOPInstanceUID), i.get("WarningReason")) for i in told.ReferencedSOPSequence] == [
        ("2.25.100002", IN_QUARANTINE),
        ("2.25.100003", None),
    ]


def test_one_instance_alone_needs_no_multipart(doors: Intakes) -> None:
    reply = doors.post("/studies", dicom(), "application/dicom")

    assert (reply.status, reply.uids()) == (200, ["2.25.100001"])


def test_a_patient_who_contradicts_the_register_is_held_and_told_as_a_warning(doors: Intakes) -> None:
    doors.store(dicom(1))

    reply = doors.store(dicom(2, study="2.25.20", PatientName="Contradictus^Otho", PatientBirthDate="19310131"))

    assert (reply.status, reply.uids(), reply.reasons()) == (202, ["2.25.100002"], ["contradicts-register"])
    assert [row.state for row in doors.kept()] == ["served", "quarantined"]


def test_another_issuer_than_the_source_has_is_held(doors: Intakes) -> None:
    reply = doors.store(dicom(IssuerOfPatientID="2.999.77"))

    assert (reply.status, reply.reasons()) == (202, ["other-issuer"])
    assert [row.state for row in doors.kept()] == ["quarantined"]


def test_each_sender_delivers_into_its_own_source_whatever_it_says(doors: Intakes) -> None:
    reply = doors.store(dicom(), sender="lab", headers={"X-Source": "archive"})

    assert reply.status == 200
    assert [(row.source, row.system) for row in doors.kept()] == [("lab", "urn:oid:2.999.4.9")]


def test_a_sender_cannot_add_to_the_study_of_another_sources_patient(doors: Intakes) -> None:
    doors.store(dicom(1))

    reply = doors.store(dicom(2), sender="lab")

    assert (reply.status, reply.reasons()) == (202, ["contradicts-study"])


def test_a_known_uid_with_other_bytes_is_refused_and_the_first_stays(doors: Intakes) -> None:
    doors.store(dicom())

    reply = doors.store(dicom(StudyDescription="Another"))

    assert (reply.status, reply.uids("00081198"), reply.reasons()) == (409, ["2.25.100001"], ["other-bytes"])
    assert len(doors.kept()) == 1


def test_an_instance_of_another_study_than_the_path_says_is_refused(doors: Intakes) -> None:
    reply = doors.store(dicom(1), dicom(2, study="2.25.66"), study="2.25.10")

    assert (reply.status, reply.uids(), reply.uids("00081198")) == (202, ["2.25.100001"], ["2.25.100002"])
    assert reply.reasons() == ["other-study"]


@pytest.mark.parametrize(
    "path",
    [
        "/dicom-web/studies/..", "/dicom-web/studies/%2e%2e", "/dicom-web/studies/1.2.3%00", "/dicom-web/studies/1.2/series",
        "/dicom-web/studies/" + "1." * 40 + "1", "/dicom-web/studies//1.2", "/dicom-web/studies/..%2f..%2fetc", "/dicom-web", "/",
    ],
)  # fmt: skip
def test_a_path_that_is_none_is_refused(doors: Intakes, path: str) -> None:
    body, content_type = multipart(dicom())

    reply = doors.post(path, body, content_type)

    assert reply.status in (400, 404)
    assert not doors.kept()


@pytest.mark.parametrize(
    ("content_type", "words"),
    [
        ('multipart/related; type="application/dicom+json"; boundary=b0undary', "whole instances"),
        ('multipart/related; type="application/dicom+xml"; boundary=b0undary', "whole instances"),
        ("multipart/form-data; boundary=b0undary", "multipart/related"),
        ("application/octet-stream", "multipart/related"),
        ('multipart/related; type="application/dicom"', "multipart/related"),
        ("", "multipart/related"),
    ],
)
def test_another_form_is_refused_in_words(doors: Intakes, content_type: str, words: str) -> None:
    body, _ = multipart(dicom())

    reply = doors.post("/dicom-web/studies", body, content_type)

    assert reply.status == 415
    assert words in reply.json["message"]
    assert not doors.kept()


def test_an_answer_in_xml_is_not_given(doors: Intakes) -> None:
    assert doors.store(dicom(), headers={"Accept": "application/dicom+xml"}).status == 406


@pytest.mark.parametrize("sender", [None, "", "guess", TOKENS["ct"] + "x", TOKENS["ct"].upper()])
def test_nothing_is_taken_from_whom_nobody_knows(doors: Intakes, sender: str | None) -> None:
    reply = doors.store(dicom(), sender=sender)

    assert (reply.status, reply.headers["www-authenticate"][:6]) == (401, "Bearer")
    assert not doors.kept()


def test_parts_that_are_no_instance_do_not_hinder_the_others(doors: Intakes) -> None:
    reply = doors.store(b"", dicom(1), b"no image" * 50, dicom(2)[:-20], dicom(3))

    assert (reply.status, reply.uids()) == (202, ["2.25.100001", "2.25.100003"])
    assert sorted(reply.reasons()) == ["empty", "not-dicom", "truncated"]


def test_a_part_of_another_type_is_refused(doors: Intakes) -> None:
    body, content_type = multipart(dicom(), media="image/jpeg")

    reply = doors.post("/dicom-web/studies", body, content_type.replace("image/jpeg", "application/dicom"))

    assert (reply.status, reply.reasons()) == (409, ["unknown-form"])


def test_a_part_that_lies_about_its_length_is_refused(doors: Intakes) -> None:
    body, content_type = multipart(dicom())

    reply = doors.post(
        "/dicom-web/studies", body.replace(b"\r\n\r\n", b"\r\nContent-Length: 7\r\n\r\n", 1), content_type
    )

    assert (reply.status, reply.reasons()) == (409, ["lying-length"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--other\r\n\r\n" + dicom() + b"\r\n--other--",
        b"x" * (3 << 20),
        b"--b0undary\r\n" + b"A: b\r\n" * 10_000,
        b"--b0undary--\r\n",
    ],
    ids=["nothing", "another boundary", "no boundary", "a head without end", "no part"],
)
def test_a_body_without_parts_is_a_bad_request(doors: Intakes, body: bytes) -> None:
    reply = doors.post("/dicom-web/studies", body, multipart()[1])

    assert reply.status == 400
    assert not doors.kept()


def test_a_body_without_its_end_keeps_what_came_whole_and_says_that_it_is_bad(doors: Intakes) -> None:
    body, content_type = multipart(dicom(1), dicom(2))

    reply = doors.post("/dicom-web/studies", body[:-100], content_type)

    assert reply.status == 400
    assert [row.sop_instance_uid for row in doors.kept()] == ["2.25.100001"]
    assert doors.store(dicom(1), dicom(2)).status == 200


def test_a_request_that_is_cut_keeps_whole_instances_or_none_and_can_be_said_again(doors: Intakes) -> None:
    body, content_type = multipart(*(dicom(number) for number in range(1, 6)))
    with socket.create_connection(("127.0.0.1", doors.port)) as cut:
        cut.sendall(head_of(len(body), content_type, doors.port) + body[: len(body) // 2])
        time.sleep(0.3)

    for _ in range(50):
        kept = {row.sop_instance_uid for row in doors.kept()}
        if kept:
            break
        time.sleep(0.05)

    assert kept <= {f"2.25.10000{number}" for number in range(1, 3)}
    assert doors.store(*(dicom(number) for number in range(1, 6))).status == 200
    assert len(doors.kept()) == 5


def test_a_hundred_thousand_empty_parts_are_refused_in_bounded_words(doors: Intakes) -> None:
    part = b"--b0undary\r\nContent-Type: application/dicom\r\n\r\n\r\n"
    began = time.monotonic()

    reply = doors.post("/dicom-web/studies", part * 100_000 + b"--b0undary--\r\n", multipart()[1])

    assert reply.status == 409
    assert len(reply.json["0008119A"]["Value"]) == 1000
    assert time.monotonic() - began < 60
    assert doors.post("/dicom-web/studies", part * 100_001 + b"--b0undary--\r\n", multipart()[1]).status == 413


def test_every_reason_that_is_told_is_one_of_the_list(doors: Intakes) -> None:
    reply = doors.store(
        b"", b"MZ" + dicom()[2:], dicom(StudyInstanceUID=None), dicom(SeriesInstanceUID=None), dicom(9)[:200]
    )

    assert reply.status == 409
    assert set(reply.reasons()) <= set(REASONS)
    assert len(reply.reasons()) == 5


def test_a_sender_waits_for_its_turn(doors: Intakes, caplog: Any) -> None:
    body, content_type = multipart(dicom())
    waiting = [socket.create_connection(("127.0.0.1", doors.port)) for _ in range(4)]
    for one in waiting:
        one.sendall(head_of(len(body), content_type, doors.port))
    time.sleep(0.5)

    reply = doors.store(dicom(1))

    assert (reply.status, reply.headers["retry-after"]) == (429, "5")
    assert doors.store(dicom(1), sender="lab").status == 200
    for one in waiting:
        one.close()


def test_what_follows_from_a_change_is_made_when_the_study_is_quiet(doors: Intakes) -> None:
    from isthmus.archive.doors import offers

    doors.store(dicom(1))
    doors.store(dicom(2))

    assert doors.desk.offers._ready() == ([], set())
    time.sleep(offers.QUIET_S + 0.1)
    assert doors.desk.offers._ready() == (["2.25.10"], set())
    assert doors.desk.offers._ready() == ([], set())
