"""Country A answers: who is found, what is listed, read and sent; and what is silent."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest

from isthmus.conformance.evidence import Exchange
from isthmus.conformance.requirement import Kind, examine
from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.model.documents import DocumentContent, DocumentKind
from isthmus.model.people import Patient
from isthmus.testing.border import PracticeBorder, Reply, traits
from isthmus.testing.register import CT, EMPTY, HIDDEN, MR, OPTED_OUT, RESTRICTED, SEEN, TWIN, add
from isthmus.wire.packs.pack import load_pack

OF_THE_EXCHANGE = ("x-request-id", "ncp-log", "ncp-checkpoint")

pytestmark = pytest.mark.anyio
STORED = {"accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}


async def listed(border: PracticeBorder, patient: Patient, **more: str) -> tuple[Reply, str]:
    token, handle = await border.care(patient)
    query = {"patient": f"Patient/{handle}", "status": "current", **more}
    return await border.ask("/fhir/DocumentReference", token=token, query=query), handle


def addresses(reply: Reply) -> list[str]:
    return [entry["content"][0]["attachment"]["url"] for entry in reply.entries]


# who is the patient


async def test_the_one_person_with_all_traits_is_found_by_get_and_post(border: PracticeBorder) -> None:
    token = await border.token()

    by_post = await border.ask("/fhir/Patient/_search", token=token, form=traits(SEEN))
    by_get = await border.ask("/fhir/Patient", token=token, query=traits(SEEN))

    for reply in (by_post, by_get):
        assert (reply.status, len(reply.entries), reply.json()["total"]) == (200, 1, 1)
        assert SEEN.identifier.value not in reply.entries[0]["id"]


async def test_nobody_is_found_with_a_wrong_trait(border: PracticeBorder) -> None:
    reply = await border.ask(
        "/fhir/Patient/_search", token=await border.token(), form={**traits(SEEN), "birthdate": "1901-02-03"}
    )

    assert (reply.status, reply.json()["total"], reply.entries) == (200, 0, [])


@pytest.mark.requirement("PID-08")
async def test_several_are_nobody_and_said_so(border: PracticeBorder) -> None:
    border.register.people.append(replace(SEEN))

    reply = await border.ask("/fhir/Patient/_search", token=await border.token(), form=traits(SEEN))

    assert reply.json()["total"] == 0
    assert "multiple-matches" in reply.body.decode()
    assert SEEN.name.family not in reply.body.decode()


async def test_under_a_care_token_only_the_attested_person_is_found(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)

    own = await border.ask("/fhir/Patient/_search", token=token, form=traits(SEEN))
    other = await border.ask("/fhir/Patient/_search", token=token, form=traits(TWIN))

    assert own.entries[0]["id"] == handle
    assert (other.status, other.json()["total"]) == (200, 0)


async def test_the_attested_patient_is_read_by_handle_and_nobody_else(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    _, other = await border.care(TWIN)

    own = await border.ask(f"/fhir/Patient/{handle}", token=token)
    refused = await border.ask(f"/fhir/Patient/{other}", token=token)

    assert (own.status, own.json()["id"]) == (200, handle)
    assert refused.status == 404


# studies and reports


async def test_get_and_post_list_the_same(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    asked = {"patient": f"Patient/{handle}", "status": "current"}

    by_get = await border.ask("/fhir/DocumentReference", token=token, query=asked)
    by_post = await border.ask("/fhir/DocumentReference/_search", token=token, form=asked)

    assert by_get.body == by_post.body
    assert (len(by_get.entries), by_get.json()["total"]) == (5, 5)


@pytest.mark.parametrize(
    ("name", "value", "count"),
    [
        ("type", "http://loinc.org|18748-4", 2),
        ("modality", "MR", 2),
        ("study-instance-uid", f"urn:oid:{CT}", 3),
        ("period", "lt1901-01-01", 0),
        ("category", "http://example.org|other", 0),
    ],
)
async def test_filters_narrow_the_list(border: PracticeBorder, name: str, value: str, count: int) -> None:
    reply, _ = await listed(border, SEEN, **{name: value})

    assert reply.json()["total"] == count


async def test_a_chained_identifier_is_compared_and_not_repeated(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)

    async def by(patient: Patient) -> Reply:
        chained = {"patient.identifier": f"{patient.identifier.system}|{patient.identifier.value}", "status": "current"}
        return await border.ask("/fhir/DocumentReference/_search", token=token, form=chained)

    own, other = await by(SEEN), await by(TWIN)

    assert len(own.entries) == 5
    links = [link["url"] for link in own.json()["link"]]
    assert all(SEEN.identifier.value not in link and handle in link for link in links)
    assert (other.status, other.code) == (403, "patient-mismatch")


async def test_pages_give_each_entry_once_and_the_exact_total(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    whole, _ = await listed(border, SEEN)
    query = [("patient", f"Patient/{handle}"), ("status", "current"), ("_count", "2")]

    seen: list[str] = []
    while query:
        page = await border.ask("/fhir/DocumentReference", token=token, query=query)
        seen += [entry["id"] for entry in page.entries]
        assert page.json()["total"] == 5
        query = [
            pair
            for link in page.json()["link"]
            if link["relation"] == "next"
            for pair in parse_qsl(urlsplit(link["url"]).query)
        ]

    assert seen == [entry["id"] for entry in whole.entries]


async def test_a_page_of_another_professional_is_none(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    query = {"patient": f"Patient/{handle}", "_count": "2"}
    page = await border.ask("/fhir/DocumentReference", token=token, query=query)
    following = next(link["url"] for link in page.json()["link"] if link["relation"] == "next")
    cursor = dict(parse_qsl(urlsplit(following).query))["_cursor"]
    other_token, other_handle = await border.care(SEEN)

    reply = await border.ask(
        "/fhir/DocumentReference",
        token=other_token,
        query={**query, "patient": f"Patient/{other_handle}", "_cursor": cursor},
    )

    assert reply.status == 400


async def test_documents_read_as_they_were_made_and_304_when_held(border: PracticeBorder) -> None:
    reply, _ = await listed(border, SEEN)
    token, _ = await border.care(SEEN)

    for url in addresses(reply):
        path = urlsplit(url).path
        accept = {"accept": "application/pdf" if "/Binary/" in path else "application/fhir+json"}
        one = await border.ask(path, token=token, headers=accept)
        two = await border.ask(path, token=token, headers={**accept, "if-none-match": one.headers["etag"]})

        assert one.status == 200
        assert one.body in {content.body for content in border.register.contents.values()}
        assert one.headers["cache-control"] == "no-store"
        assert (two.status, two.body, two.headers["etag"]) == (304, b"", one.headers["etag"])


def _binary(reply: Reply) -> str:
    return next(urlsplit(url).path for url in addresses(reply) if "/Binary/" in url)


@pytest.mark.fault("F40")
@pytest.mark.parametrize(
    ("accept", "query", "came"),
    [
        ("application/pdf", {}, "application/pdf"),
        ("*/*", {}, "application/pdf"),
        ("application/*", {}, "application/pdf"),
        ("application/pdf, application/fhir+json;q=0.9", {}, "application/pdf"),
        ("application/fhir+json", {}, "wrapped"),
        ("application/json", {}, "wrapped"),
        ("application/pdf;q=0.5, application/fhir+json", {}, "wrapped"),
        ("application/pdf", {"_format": "json"}, "wrapped"),
        ("application/pdf", {"_format": "application/fhir+json"}, "wrapped"),
        ("image/png", {}, "406 media"),
        ("application/pdf;q=0, text/*", {}, "406 media"),
        ("application/pdf", {"_format": "xml"}, "406 media"),
        ("application/pdf", {"_summary": "true"}, "400 param"),
    ],
)
async def test_a_pdf_comes_as_it_is_or_wrapped_as_is_wanted(
    border: PracticeBorder, accept: str, query: dict[str, str], came: str
) -> None:
    listing, _ = await listed(border, SEEN)
    token, _ = await border.care(SEEN)

    reply = await border.ask(_binary(listing), token=token, headers={"accept": accept}, query=query)

    issued = next(c.body for c in border.register.contents.values() if c.media_type == "application/pdf")
    if came == "application/pdf":
        assert (reply.status, reply.headers["content-type"], reply.body) == (200, came, issued)
    elif came == "wrapped":
        wrapped = reply.json()
        assert reply.headers["content-type"].startswith("application/fhir+json")
        assert (wrapped["resourceType"], wrapped["contentType"]) == ("Binary", "application/pdf")
        assert base64.b64decode(wrapped["data"]) == issued
    else:
        assert f"{reply.status} {reply.code}" == came


async def test_a_report_that_became_a_european_document_is_still_read_where_it_was_as_it_was_issued(
    border: PracticeBorder,
) -> None:
    before, _ = await listed(border, SEEN)
    token, _ = await border.care(SEEN)
    path, register = _binary(before), border.register
    held = register.documents[SEEN.identifier]
    at = next(n for n, document in enumerate(held) if document.kind is DocumentKind.REPORT_PDF)
    old, row = register.contents[held[at].id], held[at].id
    formed = replace(
        held[at], kind=DocumentKind.REPORT_FHIR, media_type="application/fhir+json", issued="application/pdf",
        profile="report_minimal",
    )  # fmt: skip
    held[at] = formed
    body = b'{"resourceType":"Bundle"}'
    register.contents |= {row: DocumentContent(formed, formed.media_type, body), f"{row}/issued": old}

    after, _ = await listed(border, SEEN)
    issued = await border.ask(path, token=token, headers={"accept": "application/pdf"})
    bundles = [await border.ask(urlsplit(url).path, token=token) for url in addresses(after)]

    assert (issued.status, issued.headers["content-type"], issued.body) == (200, "application/pdf", old.body)
    assert path not in [urlsplit(url).path for url in addresses(after)]
    assert [reply.body for reply in bundles].count(body) == 1
    assert b"BundleReportMinimalMetadataEuImaging" in after.body
    register.documents[SEEN.identifier] = [one for one in held if one is not formed]
    assert (await border.ask(path, token=token)).status == 404


async def test_each_form_of_a_manifest_is_read_under_its_own_resource_only(border: PracticeBorder) -> None:
    add(border.register, SEEN, CT, DocumentKind.MANIFEST_KOS, "CT")
    listing, _ = await listed(border, SEEN, format="urn:ihe:rad:MADO:fhir-manifest:2026")
    kos, _ = await listed(border, SEEN, contenttype="application/dicom")
    token, _ = await border.care(SEEN)
    fhir_path, kos_path = (urlsplit(addresses(reply)[0]).path for reply in (listing, kos))
    wrong = [fhir_path.replace("/Bundle/", "/Binary/"), kos_path.replace("/Binary/", "/Bundle/")]

    manifest = await border.ask(kos_path, token=token, headers={"accept": "application/dicom"})
    none = await border.ask(f"/fhir/Binary/{'0' * 40}", token=token)

    assert (manifest.headers["content-type"], manifest.body[128:132]) == ("application/dicom", b"DICM")
    for path in wrong:
        reply = await border.ask(path, token=token)
        assert (reply.status, reply.body) == (404, none.body)


@pytest.mark.threat("T30")
async def test_anothers_document_is_as_one_that_does_not_exist(border: PracticeBorder) -> None:
    theirs, _ = await listed(border, TWIN)
    token, _ = await border.care(SEEN)

    for url in addresses(theirs):
        path = urlsplit(url).path
        other = await border.ask(path, token=token)
        none = await border.ask(f"{path.rpartition('/')[0]}/{'0' * 40}", token=token)

        assert (other.status, other.body) == (404, none.body)
        assert other.headers.keys() == none.headers.keys()


# images


async def test_a_study_comes_whole_in_parts(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)

    reply = await border.ask(f"/dicom-web/studies/{CT}", token=token, headers=STORED)

    assert reply.status == 200
    assert reply.headers["content-type"].startswith('multipart/related; type="application/dicom"')
    assert reply.body.count(f"DICM {CT}".encode()) == 300


async def test_one_instance_comes_as_a_single_part_with_its_digest(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)
    path = f"/dicom-web/studies/{CT}/series/{CT}.1/instances/{CT}.1.2"

    reply = await border.ask(path, token=token, headers={"accept": "application/dicom; transfer-syntax=*"})

    stored = border.register.instances[SEEN.identifier][1]
    assert (reply.status, hashlib.sha256(reply.body).hexdigest()) == (200, stored.sha256)
    assert "content-digest" in reply.headers


@pytest.mark.threat("T30")
@pytest.mark.parametrize("tail", ["", "/series/{0}.1", "/series/{0}.1/instances/{0}.1.1"])
async def test_anothers_images_are_as_those_that_do_not_exist(border: PracticeBorder, tail: str) -> None:
    token, _ = await border.care(SEEN)

    other, none = [
        await border.ask(f"/dicom-web/studies/{uid}{tail.format(uid)}", token=token, headers=STORED)
        for uid in (HIDDEN, "2.25.7777")
    ]

    assert (other.status, other.body) == (404, none.body)
    assert other.headers.keys() == none.headers.keys()


async def test_a_series_of_another_study_is_not_found(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)

    reply = await border.ask(f"/dicom-web/studies/{CT}/series/{MR}.1", token=token, headers=STORED)

    assert reply.status == 404


# silence


@pytest.mark.requirement("SEC-08")
@pytest.mark.threat("T32")
@pytest.mark.threat("T35")
async def test_restricted_equals_absent(border: PracticeBorder) -> None:
    border.say(RESTRICTED, "restrict-study", HIDDEN)
    border.say(OPTED_OUT, "opt-out")

    answers = set()
    for patient in (RESTRICTED, OPTED_OUT, EMPTY):
        reply, handle = await listed(border, patient)
        headers = tuple((name, value) for name, value in sorted(reply.headers.items()) if name not in OF_THE_EXCHANGE)
        answers.add((reply.status, headers, reply.body.replace(handle.encode(), b"HANDLE")))

    assert len(answers) == 1


@pytest.mark.threat("T34")
async def test_a_token_tells_nothing_of_what_the_patient_said(border: PracticeBorder) -> None:
    border.say(OPTED_OUT, "opt-out")

    sizes = {len((await border.care(patient))[0]) for patient in (SEEN, OPTED_OUT, EMPTY)}

    assert len(sizes) == 1


@pytest.mark.threat("T23")
async def test_a_restriction_bites_on_the_next_request_and_leaves_no_trace(border: PracticeBorder) -> None:
    before, _ = await listed(border, SEEN)
    token, _ = await border.care(SEEN)
    report = next(urlsplit(u).path for u, e in zip(addresses(before), before.entries, strict=True) if CT in str(e))
    border.say(SEEN, "restrict-study", CT)

    after, _ = await listed(border, SEEN)
    images = await border.ask(f"/dicom-web/studies/{CT}", token=token, headers=STORED)
    document = await border.ask(report, token=token)

    assert after.json()["total"] == 2
    assert CT not in after.body.decode()
    assert (images.status, document.status) == (404, 404)


@pytest.mark.threat("T34")
async def test_as_many_records_are_written_whatever_was_decided(border: PracticeBorder) -> None:
    border.say(OPTED_OUT, "opt-out")

    async def records(patient: Patient, path: str) -> int:
        token, handle = await border.care(patient)
        before = border.events()
        await border.ask(path, token=token, query={"patient": f"Patient/{handle}"} if "fhir" in path else ())
        return border.events() - before

    for path in ("/fhir/DocumentReference", "/dicom-web/studies/2.25.4001"):
        assert {await records(patient, path) for patient in (SEEN, OPTED_OUT, EMPTY)} == {2}


@pytest.mark.requirement("AUD-09")
async def test_what_the_trail_cannot_take_is_not_given(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    border.trail.stop()

    reply = await border.ask("/fhir/DocumentReference", token=token, query={"patient": f"Patient/{handle}"})

    assert (reply.status, reply.code) == (503, "audit")
    assert "retry-after" in reply.headers
    border.register.asked.clear()


@pytest.mark.threat("T36")
async def test_a_directive_in_doubt_closes(border: PracticeBorder) -> None:
    border.say(SEEN, "restrict-study", "1.2.3")
    token, handle = await border.care(SEEN)
    border.state.write_now(lambda c: c.exec_driver_sql("DELETE FROM consent_directives"))
    border.register.asked.clear()

    reply = await border.ask("/fhir/DocumentReference", token=token, query={"patient": f"Patient/{handle}"})

    assert (reply.status, reply.code, border.register.asked) == (503, "backend", [])


async def test_a_register_that_fails_is_said_in_the_same_words(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    border.register.fails = NationalInfrastructureUnavailable("the archive is away")

    reply = await border.ask("/fhir/DocumentReference", token=token, query={"patient": f"Patient/{handle}"})

    assert (reply.status, reply.code) == (503, "backend")
    assert b"away" not in reply.body


# capability


async def test_a_known_country_reads_what_this_border_does(border: PracticeBorder) -> None:
    metadata = await border.ask("/fhir/metadata")
    smart = [await border.ask(f"{base}/.well-known/smart-configuration") for base in ("", "/fhir")]

    assert (metadata.status, metadata.json()["fhirVersion"], metadata.json()["kind"]) == (200, "4.0.1", "instance")
    assert {reply.json()["token_endpoint"] for reply in smart} == {"https://127.0.0.1:8711/oauth/token"}
    assert "ncp-trust-seq" in metadata.headers


async def test_a_service_that_is_not_offered_is_said_before_any_patient(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)
    border.offer("imaging-report")
    border.register.asked.clear()

    reply = await border.ask(f"/dicom-web/studies/{CT}", token=token, headers=STORED)

    assert (reply.status, reply.code, border.register.asked) == (501, "not-offered", [])


# who is it, asked by $match


def person(patient: Patient, **more: Any) -> dict[str, Any]:
    number = {"system": patient.identifier.system, "value": patient.identifier.value}
    name = {"family": patient.name.family, "given": list(patient.name.given)}
    told = {"identifier": [number], "name": [name], "birthDate": patient.birth_date, "gender": patient.gender}
    return {"resourceType": "Patient", **told, **more}


async def matched(border: PracticeBorder, node: dict[str, Any] | None, **asked: Any) -> Reply:
    parameters = [{"name": name, **value} for name, value in asked.items()]
    parameters += [{"name": "resource", "resource": node}] if node is not None else []
    return await border.ask(
        "/fhir/Patient/$match",
        token=await border.token(),
        method="POST",
        body=orjson.dumps({"resourceType": "Parameters", "parameter": parameters}),
        headers={"content-type": "application/fhir+json"},
    )


CERTAIN_ALONE = {"onlyCertainMatches": {"valueBoolean": True}}


@pytest.mark.requirement("PID-11")
@pytest.mark.parametrize("asked", [CERTAIN_ALONE, {}, {**CERTAIN_ALONE, "count": {"valueInteger": 3}}])
async def test_a_match_gives_the_one_certain_person_whether_that_is_asked_for_or_not(
    border: PracticeBorder, asked: dict[str, Any]
) -> None:
    reply = await matched(border, person(SEEN), **asked)

    (entry,) = reply.json()["entry"]
    assert reply.status == 200
    assert entry["search"]["mode"] == "match"
    assert [one["valueCode"] for one in entry["search"]["extension"]] == ["certain"]
    assert entry["resource"]["birthDate"] == SEEN.birth_date
    assert entry["resource"]["id"] != SEEN.identifier.value


@pytest.mark.requirement("PID-11")
async def test_a_match_that_is_not_certain_gives_nobody(border: PracticeBorder) -> None:
    wrong = await matched(border, person(SEEN, birthDate="1901-02-03"), **CERTAIN_ALONE)
    border.register.people.append(replace(SEEN))
    several = await matched(border, person(SEEN), **CERTAIN_ALONE)

    assert (wrong.status, wrong.json()["total"], wrong.entries) == (200, 0, [])
    assert (several.status, several.json()["total"]) == (200, 0)
    assert [one["resourceType"] for one in several.entries] == ["OperationOutcome"]


@pytest.mark.requirement("PID-11")
@pytest.mark.parametrize(
    ("node", "asked"),
    [
        (person(SEEN), {"onlyCertainMatches": {"valueBoolean": False}}),
        (person(SEEN), {"onlyCertainMatches": {"valueString": "true"}}),
        (person(SEEN), {"fuzzy": {"valueBoolean": True}}),
        (None, CERTAIN_ALONE),
        ({"resourceType": "Practitioner"}, CERTAIN_ALONE),
        (person(SEEN, identifier=[]), CERTAIN_ALONE),
        (person(SEEN, name=[]), CERTAIN_ALONE),
    ],
)
async def test_a_match_for_less_than_certain_or_with_less_than_the_mask_asks_is_refused(
    border: PracticeBorder, node: dict[str, Any] | None, asked: dict[str, Any]
) -> None:
    assert (await matched(border, node, **asked)).status == 400


# the same images by the address of XC-WADO

COMMUNITY = "2.999.1.1"


def by_location(rest: str, community: str = f"urn:oid:{COMMUNITY}") -> str:
    return f"/homeCommunityId/{community}/RetrieveLocationUID/2.999.1.2.6.1/{rest}"


def instances_in(reply: Reply) -> list[bytes]:
    return [part.body for part in Exchange(path="", headers=reply.headers, answer=reply.body).parts]


@pytest.mark.requirement("WAD-17")
@pytest.mark.parametrize("tail", ["", f"/series/{CT}.1", f"/series/{CT}.1/instances/{CT}.1.2"])
@pytest.mark.parametrize("form", ["study", "studies"])
async def test_the_xc_wado_form_of_an_address_gives_the_same_bytes(
    border: PracticeBorder, form: str, tail: str
) -> None:
    token, _ = await border.care(SEEN)

    plain = await border.ask(f"/dicom-web/studies/{CT}{tail}", token=token, headers=STORED)
    other = await border.ask(by_location(f"{form}/{CT}{tail}"), token=token, headers=STORED)

    assert other.status == plain.status == 200
    assert instances_in(other) == instances_in(plain) != []
    assert examine(Kind.CONVERSATION, tuple(border.conversation[-2:]), load_pack()) == []


@pytest.mark.requirement("WAD-17")
async def test_an_address_elsewhere_in_it_is_not_followed(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)

    reply = await border.ask(
        by_location(f"study/{CT}"), token=token, headers=STORED, query={"retrieveurl": "https://evil.example/dicom-web"}
    )

    assert reply.status == 200
    assert instances_in(reply)


async def test_the_xc_wado_form_is_refused_on_the_record_while_the_trust_list_has_run_out(
    border: PracticeBorder,
) -> None:
    token, _ = await border.care(SEEN)
    before = border.events()
    border.clock.forward(days=400)

    reply = await border.ask(by_location(f"study/{CT}"), token=token, headers=STORED)

    assert reply.status == 503
    assert border.events() > before


async def test_another_community_is_not_answered_for(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)

    reply = await border.ask(by_location(f"study/{CT}", "urn:oid:2.999.3.1"), token=token, headers=STORED)

    assert reply.status == 404


async def test_the_xc_wado_form_needs_what_the_other_needs(border: PracticeBorder) -> None:
    found = await border.ask(by_location(f"study/{CT}"), token=await border.token(), headers=STORED)
    nobody = await border.ask(by_location(f"study/{CT}"), headers=STORED)

    assert (found.status, nobody.status) == (403, 401)
