"""Searching the list at the border: parameters together, pages that survive change, one entry by its id; the requirements by number."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier
from isthmus.testing.border import DOCTOR, PracticeBorder, Reply, traits
from isthmus.testing.register import CT, ISSUER, MR, SEEN, TWIN, add

pytestmark = pytest.mark.anyio
LOINC = "http://loinc.org"
Pairs = list[tuple[str, str]]


async def search(border: PracticeBorder, *pairs: tuple[str, str], post: bool = False) -> Reply:
    token, handle = await border.care(SEEN)
    asked = [("patient", f"Patient/{handle}"), *pairs]
    if post:
        return await border.ask("/fhir/DocumentReference/_search", token=token, form=asked)
    return await border.ask("/fhir/DocumentReference", token=token, query=asked)


async def found(border: PracticeBorder, *pairs: tuple[str, str]) -> set[str]:
    """The titles of what a search gives: `document 1` and so on, in the order in which the register has them."""
    reply = await search(border, *pairs)
    assert reply.status == 200, reply.body
    return {entry["content"][0]["attachment"]["title"].removeprefix("document ") for entry in reply.entries}


def kos_of(border: PracticeBorder, study: str = CT) -> Document:
    return add(border.register, SEEN, study, DocumentKind.MANIFEST_KOS, "CT")


ALL = {"1", "2", "3", "4", "11"}  # manifest and report of CT, of MR; a PDF about CT


@pytest.mark.requirement("DRS-04")
@pytest.mark.requirement("DRS-06")
@pytest.mark.requirement("DRS-07")
@pytest.mark.requirement("DRS-08")
@pytest.mark.requirement("DRS-09")
@pytest.mark.requirement("DRS-10")
@pytest.mark.requirement("DRS-11")
@pytest.mark.requirement("DRS-13")
@pytest.mark.requirement("DRS-14")
@pytest.mark.requirement("DRS-15")
@pytest.mark.requirement("DRS-16")
@pytest.mark.requirement("DRS-17")
@pytest.mark.requirement("DRS-18")
@pytest.mark.requirement("DRS-19")
@pytest.mark.requirement("DRS-20")
@pytest.mark.parametrize(
    ("pairs", "titles"),
    [
        ([("type", f"{LOINC}|85430-7")], {"2", "4", "11"}),
        ([("type", f"{LOINC}|18748-4,{LOINC}|85430-7")], ALL),
        ([("category", "Medical-Imaging"), ("contenttype", "application/pdf")], {"11"}),
        ([("contenttype", "application/fhir+json"), ("modality", "MR")], {"3", "4"}),
        ([("date", "ge2024-01-02"), ("date", "le2024-01-03")], {"2", "3"}),
        ([("creation", "2024-01-04")], {"4"}),
        ([("period", "lt2024-01-02")], {"1"}),
        ([("bodysite", "774007")], ALL), ([("anatomical-region", "http://snomed.info/sct|774007")], ALL),
        ([("study-instance-uid", CT)], {"1", "2", "11"}), ([("related:identifier", f"urn:dicom:uid|urn:oid:{CT}")], {"1", "2", "11"}),
        ([("accession-number", "urn:oid:2.999.1.2.2|A1002")], {"3", "4"}), ([("accession-number", "urn:oid:2.999.9|A1002")], set()),
        ([("format", "urn:ihe:rad:MADO:fhir-manifest:2026")], {"1", "3"}),
        ([("identifier", "urn:uuid:3")], {"3"}), ([("setting", "394914008")], ALL), ([("facility", "x")], set()),
        ([("event", "x")], set()), ([("security-label", "N")], set()), ([("author.family", "a")], ALL), ([("author.given", "zoe")], set()),
        ([("type", "85430-7"), ("modality", "CT"), ("contenttype", "application/pdf")], {"11"}),
    ],
)  # fmt: skip
async def test_every_parameter_narrows_the_list(border: PracticeBorder, pairs: Pairs, titles: set[str]) -> None:
    assert await found(border, *pairs) == titles


@pytest.mark.requirement("DRS-12")
async def test_any_two_and_three_together_are_the_intersection(border: PracticeBorder) -> None:
    one: list[tuple[str, str]] = [
        ("type", "85430-7"), ("category", "Medical-Imaging"), ("contenttype", "application/fhir+json"), ("date", "ge2024-01-02"),
    ]  # fmt: skip
    alone = {pair: await found(border, pair) for pair in one}

    for pairs in (*permutations(one, 2), *permutations(one, 3)):
        assert await found(border, *pairs) == set.intersection(*(alone[pair] for pair in pairs))


@pytest.mark.requirement("CAP-11")
async def test_get_and_post_give_the_same_bytes(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    pairs = [("patient", handle), ("type", "85430-7"), ("_count", "1"), ("_sort", "date")]

    by_get = await border.ask("/fhir/DocumentReference", token=token, query=pairs)
    by_post = await border.ask("/fhir/DocumentReference/_search", token=token, form=pairs)

    def without_cursor(reply: Reply) -> Any:
        body = reply.json()
        links = [link["url"].partition("&_cursor=")[0] for link in body.pop("link")]
        return body, links

    assert without_cursor(by_get) == without_cursor(by_post)


@pytest.mark.requirement("CAP-14")
@pytest.mark.fault("F38")
@pytest.mark.parametrize("order", ["", "date", "-date", "period", "-period", "creation", "-_lastUpdated,date"])
async def test_pages_survive_insertions_and_deletions(border: PracticeBorder, order: str) -> None:
    register = border.register
    for number in range(40):
        document = add(register, SEEN, CT, DocumentKind.REPORT_FHIR, "CT")
        same_day = replace(document, indexed="2024-02-01T00:00:00Z", period_start=None if number % 3 else "2024-02-01")
        register.documents[SEEN.identifier][-1] = same_day
    whole = await search(border, ("_count", "200"), *([("_sort", order)] if order else []))
    token, handle = await border.care(SEEN)
    query = [("patient", f"Patient/{handle}"), ("_count", "7"), *([("_sort", order)] if order else [])]

    seen: list[str] = []
    while query:
        page = await border.ask("/fhir/DocumentReference", token=token, query=query)
        seen += [entry["id"] for entry in page.entries]
        if len(seen) == 14:
            add(register, SEEN, MR, DocumentKind.REPORT_FHIR, "MR")
            gone = next(d for d in register.documents[SEEN.identifier] if d.title == "document 11")
            register.documents[SEEN.identifier].remove(gone)
        links = [link["url"] for link in page.json()["link"] if link["relation"] == "next"]
        query = [pair for link in links for pair in parse_qsl(urlsplit(link).query)]

    known = [entry["id"] for entry in whole.entries]
    assert len(seen) == len(set(seen))
    assert [id_ for id_ in seen if id_ in known] == [id_ for id_ in known if id_ in seen]
    assert len(set(known) - set(seen)) <= 1


@pytest.mark.requirement("CAP-14")
async def test_the_page_size_has_a_cap_and_the_total_stays(border: PracticeBorder) -> None:
    documents = border.register.documents[SEEN.identifier]
    one = documents[-1]
    documents += [
        replace(one, id=str(1000 + n), unique_id=Identifier("urn:oid:2.999.1.2.3", f"n{n}")) for n in range(230)
    ]

    reply = await search(border, ("_count", "9999"))

    assert len(reply.entries) == 200
    assert reply.json()["total"] == len(documents)


async def test_how_many_is_told_without_entries(border: PracticeBorder) -> None:
    reply = await search(border, ("_summary", "count"), ("_count", "1"))

    assert reply.json()["total"] == 5
    assert "entry" not in reply.json()
    assert [link["relation"] for link in reply.json()["link"]] == ["self"]


@pytest.mark.parametrize(
    ("order", "first"), [("date", "1"), ("-date", "11"), ("-creation", "11"), ("period,-date", "1")]
)
async def test_the_order_is_as_asked(border: PracticeBorder, order: str, first: str) -> None:
    reply = await search(border, ("_sort", order))

    assert reply.entries[0]["content"][0]["attachment"]["title"] == f"document {first}"


@pytest.mark.parametrize("order", ["title", "-", "date,", "-date,x", ""])
async def test_an_order_that_is_none_is_refused(border: PracticeBorder, order: str) -> None:
    assert (await search(border, ("_sort", order))).status == 400


@pytest.mark.requirement("DRS-20")
async def test_an_entry_is_found_and_read_by_its_id(border: PracticeBorder) -> None:
    everything = await search(border)
    token, _ = await border.care(SEEN)

    for entry in everything.entries:
        by_id = await search(border, ("_id", entry["id"]))
        read = await border.ask(f"/fhir/DocumentReference/{entry['id']}", token=token)
        assert [e["id"] for e in by_id.entries] == [entry["id"]]
        assert {**read.json(), "subject": None} == {**entry, "subject": None}


@pytest.mark.requirement("DRS-21")
@pytest.mark.requirement("DRC-18")
async def test_what_was_replaced_has_changed_since_and_names_its_successor(border: PracticeBorder) -> None:
    old = border.register.documents[SEEN.identifier][1]
    new = add(border.register, SEEN, CT, DocumentKind.REPORT_FHIR, "CT")
    documents = border.register.documents[SEEN.identifier]
    documents[1] = replace(old, status="superseded")
    documents[-1] = replace(new, replaces=old.id, indexed="2024-06-01T00:00:00Z")

    both = await search(border, ("_lastUpdated", "ge2024-05-01"), ("status", "current,superseded"))
    current = await search(border, ("study-instance-uid", CT), ("type", "85430-7"))

    newer, older = both.entries
    assert [(e["status"], e["meta"]["lastUpdated"]) for e in (newer, older)] == [
        ("current", "2024-06-01T00:00:00Z"), ("superseded", "2024-06-01T00:00:00Z"),
    ]  # fmt: skip
    assert newer["relatesTo"] == [{"code": "replaces", "target": {"reference": f"DocumentReference/{older['id']}"}}]
    assert older["id"] not in {entry["id"] for entry in current.entries}


@pytest.mark.threat("T32")
async def test_a_successor_that_is_hidden_leaves_no_trace_in_the_dates(border: PracticeBorder) -> None:
    old = border.register.documents[SEEN.identifier][1]
    new = add(border.register, SEEN, CT, DocumentKind.REPORT_FHIR, "CT")
    border.register.documents[SEEN.identifier][-1] = replace(
        new,
        replaces=old.id,
        indexed="2024-06-01T00:00:00Z",
        study_instance_uids=(),
        accession_numbers=(),
        sensitivity=("V",),
    )

    reply = await search(border, ("status", "current,superseded"))

    assert b"2024-06-01" not in reply.body
    assert reply.json()["total"] == 5


@pytest.mark.requirement("DRC-11")
async def test_twins_point_at_each_other_under_this_countrys_ids(border: PracticeBorder) -> None:
    kos = kos_of(border)
    documents = border.register.documents[SEEN.identifier]
    documents[0] = replace(documents[0], twin=kos.id)
    documents[-1] = replace(kos, twin=documents[0].id, unique_id=documents[0].unique_id)

    fhir, other = sorted(
        (await search(border, ("type", "18748-4"), ("study-instance-uid", CT))).entries,
        key=lambda e: e["content"][0]["attachment"]["contentType"],
        reverse=True,
    )

    assert fhir["relatesTo"][0]["target"]["reference"] == f"DocumentReference/{other['id']}"
    assert other["relatesTo"][0]["target"]["reference"] == f"DocumentReference/{fhir['id']}"
    assert fhir["masterIdentifier"]["value"] == other["masterIdentifier"]["value"]


@pytest.mark.requirement("DRS-01")
@pytest.mark.requirement("DRS-23")
@pytest.mark.parametrize(
    ("pairs", "issue"),
    [([("status", "current")], "required"), ([("patient", "x"), ("date", "2024-13")], "invalid"),
     ([("patient", "x"), ("period", "soon")], "invalid"), ([("patient", "x"), ("_lastUpdated", "ne2024")], "invalid")],
)  # fmt: skip
async def test_a_search_without_patient_or_with_a_bad_date_is_400(
    border: PracticeBorder, pairs: Pairs, issue: str
) -> None:
    token, _ = await border.care(SEEN)

    reply = await border.ask("/fhir/DocumentReference", token=token, query=pairs)

    assert (reply.status, reply.json()["issue"][0]["code"]) == (400, issue)


@pytest.mark.requirement("DRS-02")
@pytest.mark.requirement("DRS-22")
async def test_handle_and_identifier_find_the_same_and_only_this_patients(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    chained = f"{SEEN.identifier.system}|{SEEN.identifier.value}"

    by_handle = await border.ask("/fhir/DocumentReference", token=token, query={"patient": handle})
    by_identifier = await border.ask("/fhir/DocumentReference", token=token, query={"patient.identifier": chained})

    assert by_handle.body == by_identifier.body
    assert {entry["subject"]["reference"] for entry in by_handle.entries} == {f"Patient/{handle}"}


@pytest.mark.requirement("DRS-03")
async def test_what_is_superseded_is_absent_unless_asked_for(border: PracticeBorder) -> None:
    documents = border.register.documents[SEEN.identifier]
    documents[1] = replace(documents[1], status="superseded")

    assert await found(border) == ALL - {"2"}
    assert await found(border, ("status", "superseded")) == {"2"}
    assert await found(border, ("status", "current,superseded")) == ALL


@pytest.mark.fault("F41")
async def test_links_stand_on_the_public_address_whatever_the_request_says(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)
    said = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "http", "forwarded": "host=evil.example"}

    reply = await border.ask(
        "/fhir/DocumentReference", token=token, query={"patient": handle, "_count": "1"}, headers=said
    )

    urls = [link["url"] for link in reply.json()["link"]] + [entry["fullUrl"] for entry in reply.json()["entry"]]
    assert len(urls) == 3
    assert all(url.startswith("https://127.0.0.1:8711/fhir/DocumentReference") for url in urls)


# documents


@pytest.mark.fault("F40")
@pytest.mark.requirement("RET-02")
@pytest.mark.requirement("RET-03")
@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/pdf", "application/pdf"), ("*/*", "application/pdf"), ("", "application/pdf"),
        ("application/pdf;q=0.5, application/fhir+json", "application/fhir+json; charset=utf-8"), ("application/*", "application/pdf"),
        ("application/fhir+json", "application/fhir+json; charset=utf-8"), ("application/json", "application/fhir+json; charset=utf-8"),
    ],
)  # fmt: skip
async def test_a_binary_comes_bare_or_wrapped_as_it_is_accepted(border: PracticeBorder, accept: str, kind: str) -> None:
    (entry,) = (await search(border, ("contenttype", "application/pdf"))).entries
    token, _ = await border.care(SEEN)
    path = urlsplit(entry["content"][0]["attachment"]["url"]).path

    reply = await border.ask(path, token=token, headers={"accept": accept})

    assert (reply.status, reply.headers["content-type"]) == (200, kind)
    assert reply.body.startswith(b"%PDF" if kind == "application/pdf" else b'{"resourceType":"Binary"')


@pytest.mark.requirement("RET-01")
@pytest.mark.requirement("RET-09")
@pytest.mark.requirement("CAP-09")
async def test_a_fhir_document_is_a_bundle_and_the_same_bytes_twice(border: PracticeBorder) -> None:
    entries = (await search(border, ("contenttype", "application/fhir+json"))).entries
    token, _ = await border.care(SEEN)

    for entry in entries:
        path = urlsplit(entry["content"][0]["attachment"]["url"]).path
        one, two = [await border.ask(path, token=token) for _ in range(2)]
        assert one.json()["resourceType"] == "Bundle"
        assert (one.body, one.headers["etag"]) == (two.body, two.headers["etag"])
        assert one.headers["cache-control"] == "no-store"


@pytest.mark.requirement("RET-06")
async def test_a_form_that_a_document_does_not_have_is_406_and_an_unknown_one_404(border: PracticeBorder) -> None:
    (entry,) = (await search(border, ("contenttype", "application/pdf"))).entries
    token, _ = await border.care(SEEN)
    path = urlsplit(entry["content"][0]["attachment"]["url"]).path

    assert (await border.ask(path, token=token, headers={"accept": "image/png"})).status == 406
    assert (await border.ask(f"{path[:-1]}_", token=token)).status == 400
    assert (await border.ask("/fhir/Binary/none", token=token)).status == 404
    assert (await border.ask(path.replace("Binary", "Bundle"), token=token)).status == 404


@pytest.mark.requirement("DRC-19")
async def test_a_changed_document_gets_another_address(border: PracticeBorder) -> None:
    before = (await search(border, ("type", "85430-7"))).entries
    add(border.register, SEEN, CT, DocumentKind.REPORT_FHIR, "CT")

    after = (await search(border, ("type", "85430-7"))).entries

    old, new = ([entry["content"][0]["attachment"]["url"] for entry in listed] for listed in (before, after))
    assert set(old) < set(new)
    assert len(set(new)) == len(old) + 1


# the patient


async def find(border: PracticeBorder, *pairs: tuple[str, str]) -> Reply:
    return await border.ask("/fhir/Patient/_search", token=await border.token(), form=list(pairs))


@pytest.mark.requirement("PID-01")
@pytest.mark.requirement("PID-10")
async def test_identifier_name_birthdate_and_gender_find_the_person(border: PracticeBorder) -> None:
    whole = {k: v for k, v in traits(SEEN).items() if k not in ("family", "given")}

    by_name = await find(border, *whole.items(), ("name", "Paula Practice"))
    other = await find(border, *whole.items(), ("name", "Paula"))
    by_sex = await find(border, *traits(SEEN).items(), ("sex", "female"))

    assert (by_name.status, len(by_name.entries)) == (200, 1)
    assert (other.status, len(other.entries)) == (200, 0)
    assert (by_sex.status, by_sex.code) == (400, "param")


@pytest.mark.requirement("PID-02")
@pytest.mark.requirement("PID-03")
@pytest.mark.requirement("PID-07")
@pytest.mark.requirement("PID-09")
@pytest.mark.parametrize(
    ("change", "status", "count"),
    [
        ({"identifier": ""}, 400, 0), ({"family": "Other"}, 200, 0), ({"gender": "male"}, 200, 0),
        ({"identifier": "urn:oid:2.999.9.9|0000000001"}, 200, 0), ({"given": "Paul"}, 200, 0), ({}, 200, 1),
        ({"family:exact": "Practice"}, 200, 1), ({"family:exact": "practice"}, 200, 0),
    ],
)  # fmt: skip
async def test_the_mask_is_whole_and_every_trait_counts(
    border: PracticeBorder, change: dict[str, str], status: int, count: int
) -> None:
    base = traits(SEEN)
    if "family:exact" in change:
        del base["family"]

    reply = await find(border, *((name, value) for name, value in {**base, **change}.items() if value))

    assert reply.status == status
    assert len(reply.entries if status == 200 else []) == count


@pytest.mark.requirement("PID-03")
async def test_two_identifiers_must_both_be_the_persons(border: PracticeBorder) -> None:
    reply = await find(border, *traits(SEEN).items(), ("identifier", f"{ISSUER}|{TWIN.identifier.value}"))

    assert (reply.status, reply.json()["total"]) == (200, 0)


@pytest.mark.requirement("PID-13")
async def test_a_handle_is_good_for_one_professional_of_one_country_for_a_day(border: PracticeBorder) -> None:
    handle = await border.find(SEEN, await border.token())
    patient = replace(SEEN, handle=handle)
    colleague = replace(DOCTOR, sub="doctor-2")
    bb = border.bb

    by_colleague = await border.knock(bb.request(bb.hpa_claims(colleague), bb.trc_claims(patient, colleague)))
    border.clock.forward(hours=25)
    too_late = await border.knock(bb.request(bb.hpa_claims(), bb.trc_claims(patient)))

    assert (by_colleague.status, by_colleague.code) == (400, "trc-invalid")
    assert (too_late.status, too_late.code) == (400, "trc-invalid")


@pytest.mark.requirement("CAP-08")
async def test_the_request_id_is_echoed_and_stands_in_the_trail(border: PracticeBorder) -> None:
    token, handle = await border.care(SEEN)

    for path in ("/fhir/DocumentReference", "/fhir/ImagingStudy", "/dicom-web/studies"):
        sent = f"asked-{path.rpartition('/')[2]}"
        query = {"patient": handle} if "fhir" in path else {}
        reply = await border.ask(path, token=token, query=query, headers={"x-request-id": sent, "accept": "*/*"})
        assert (reply.status, reply.headers["x-request-id"]) == (200, sent)
        assert border.state.read_now(
            lambda c: c.exec_driver_sql("SELECT count(*) FROM audit_trail WHERE exchange_id = ?", (sent,)).scalar_one()  # noqa: B023  # used at once
        ) == 2  # fmt: skip
