"""Documents: what is asked, what it means, and what an answer may hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

import orjson
import pytest
from tests.wire.made import BASE, HANDLE, KOS_ENTRY, MANIFEST_ENTRY, PDF_ENTRY, REPORT_ENTRY

from isthmus.errors import CountryMisanswered, MalformedRequest, UnsupportedRequest
from isthmus.model.documents import Document, DocumentKind
from isthmus.model.identifiers import Identifier, PatientIdentifier, plain_uid
from isthmus.model.intervals import DateFilter
from isthmus.model.queries import Demand, DocumentQuery, Page
from isthmus.wire.documents import (
    demands_of,
    matches,
    newest_first,
    read_found,
    read_search,
    write_found,
    write_search,
)
from isthmus.wire.packs.pack import load_pack

PACK = load_pack()
ZONE = ZoneInfo("Europe/Vienna")
ALL = (REPORT_ENTRY, MANIFEST_ENTRY, KOS_ENTRY, PDF_ENTRY)


def _read(*pairs: tuple[str, str]) -> DocumentQuery:
    return read_search([("patient", f"Patient/{HANDLE}"), *pairs], ZONE, PACK, base=BASE)


def _hits(*pairs: tuple[str, str], documents: tuple[Document, ...] = ALL) -> list[str]:
    query = _read(*pairs)
    return [document.id for document in documents if matches(document, query, PACK, ZONE)]


def _answer(*documents: Document, **page: Any) -> dict[str, Any]:
    body = write_found(
        Page(documents, len(documents), **page), _read(("type", "85430-7")), base=BASE, handle=HANDLE, pack=PACK
    )
    answer: dict[str, Any] = orjson.loads(body)
    return answer


def test_a_page_comes_back_as_it_was_listed() -> None:
    body = write_found(Page(ALL, 9, "cur/1+"), _read(("modality", "CT")), base=BASE, handle=HANDLE, pack=PACK)

    found = read_found(body, base=BASE, handle=HANDLE, pack=PACK)

    assert found.documents == ALL
    assert found.total == 9
    assert dict(parse_qsl(found.next_query or "")) == {
        "patient": f"Patient/{HANDLE}", "modality": "CT", "_cursor": "cur/1+",
    }  # fmt: skip
    assert found.tolerances == ()


def test_an_order_number_crosses_and_is_found_by() -> None:
    ordered = replace(REPORT_ENTRY, order_numbers=(Identifier("urn:oid:2.999.5.3", "P-77"),))

    found = read_found(orjson.dumps(_answer(ordered)), base=BASE, handle=HANDLE, pack=PACK)

    assert found.documents == (ordered,)
    assert _hits(("related:identifier", "urn:oid:2.999.5.3|P-77"), documents=(ordered,)) == [ordered.id]
    assert _hits(("related:identifier", "urn:oid:2.999.5.4|P-77"), documents=(ordered,)) == []


def test_links_and_subject_carry_the_handle_alone() -> None:
    query = read_search([("patient.identifier", "urn:oid:2.999.4.1|1234567")], ZONE, PACK)

    body = write_found(Page((REPORT_ENTRY,), 1), query, base=BASE, handle=HANDLE, pack=PACK)

    assert b"1234567" not in body
    assert b'"subject":{"reference":"Patient/h-42"}' in body


def test_nothing_found_is_an_answer_with_total_zero_and_no_entry() -> None:
    answer = _answer()

    assert answer["total"] == 0
    assert "entry" not in answer
    assert set(answer) == {"resourceType", "type", "total", "link"}


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], ["b-report", "b-manifest", "b-kos", "b-pdf"]),
        ([("type", "http://loinc.org|85430-7")], ["b-report", "b-pdf"]),
        ([("type", "18748-4")], ["b-manifest", "b-kos"]),
        ([("type", "85430-7,18748-4")], ["b-report", "b-manifest", "b-kos", "b-pdf"]),
        ([("type", "85430-7"), ("type", "18748-4")], []),
        ([("type", "http://loinc.org|")], ["b-report", "b-manifest", "b-kos", "b-pdf"]),
        ([("type", "http://snomed.info/sct|85430-7")], []),
        ([("category", f"{PACK.systems['category']}|Medical-Imaging")], ["b-report", "b-manifest", "b-kos", "b-pdf"]),
        ([("category", f"{PACK.aliases['category'][1]}|Medical-Imaging"), ("type", "18748-4")], ["b-manifest", "b-kos"]),
        ([("category", "Laboratory")], []),
        ([("modality", "PT")], ["b-report"]),
        ([("modality", "http://dicom.nema.org/resources/ontology/DCM|US,PT")], ["b-report", "b-pdf"]),
        ([("modality", "CT"), ("modality", "PT")], ["b-report"]),
        ([("modality", "urn:other|CT")], []),
        ([("study-instance-uid", "urn:oid:2.999.7.1")], ["b-report", "b-manifest", "b-kos"]),
        ([("study-instance-uid", "2.999.7.1")], ["b-report", "b-manifest", "b-kos"]),
        ([("study-instance-uid", "urn:dicom:uid|urn:oid:2.999.7.1")], ["b-report", "b-manifest", "b-kos"]),
        ([("study-instance-uid", "2.999.7.10")], []),
        ([("status", "superseded")], []),
        ([("status", "current,superseded"), ("type", "85430-7")], ["b-report", "b-pdf"]),
        ([("date", "ge2026-03-02T11:00:00+01:00")], ["b-report"]),
        ([("date", "2025")], ["b-pdf"]),
        ([("date", "ge2026-03-02"), ("date", "lt2026-03-02T10:30:00+01:00")], ["b-manifest", "b-kos"]),
        ([("period", "2026-03-02")], ["b-report", "b-manifest", "b-kos"]),
        ([("period", "gt2026-03-02")], []),
        ([("contenttype", "application/fhir+json")], ["b-report", "b-manifest"]),
        ([("contenttype", "application/fhir json")], ["b-report", "b-manifest"]),
        ([("contenttype", "application/dicom,application/pdf")], ["b-kos", "b-pdf"]),
        ([("contenttype", "application/dicom"), ("type", "85430-7")], []),
        ([("format", "urn:ihe:rad:MADO:fhir-manifest:2026")], ["b-manifest"]),
        ([("format", f"{PACK.systems['dcmuid']}|1.2.840.10008.5.1.4.1.1.88.59")], ["b-kos"]),
        ([("format", f"{PACK.aliases['dcmuid'][2]}|1.2.840.10008.5.1.4.1.1.88.59")], ["b-kos"]),
        ([("creation", "2025-01-02")], ["b-pdf"]),
        ([("creation", "ge2026-03-02T10:30:00+01:00")], ["b-report"]),
        ([("bodysite", "774007")], ["b-report"]),
        ([("anatomical-region", "http://snomed.info/sct|737561001")], ["b-manifest", "b-kos"]),
        ([("bodysite", "421060004")], ["b-manifest", "b-kos"]),
        ([("bodysite", "urn:other|774007")], []),
        ([("accession-number", "urn:oid:2.999.5.1|A2026-0042")], ["b-report", "b-manifest"]),
        ([("accession-number", "urn:oid:2.999.5.9|A2026-0042")], []),
        ([("accession-number", "A2026-0042 ")], ["b-report", "b-manifest"]),
        ([("accession-number", "|77")], ["b-report"]),
        ([("related:identifier", "urn:dicom:uid|urn:oid:2.999.7.1")], ["b-report", "b-manifest", "b-kos"]),
        ([("related:identifier", "2.999.7.1"), ("contenttype", "application/dicom")], ["b-kos"]),
        ([("related:identifier", "urn:oid:2.999.5.1|A2026-0042")], ["b-report", "b-manifest"]),
        ([("related", "ImagingStudy/1")], []),
        ([("identifier", "urn:dicom:uid|urn:oid:2.999.7.9.1")], ["b-manifest", "b-kos"]),
        ([("identifier", "2.999.7.9.1")], ["b-manifest", "b-kos"]),
        ([("_id", "b-kos,b-pdf")], ["b-kos", "b-pdf"]),
        ([("event", "x")], []),
        ([("security-label", "R")], []),
        ([("facility", "22232009"), ("setting", "http://snomed.info/sct|394914008"), ("_id", "b-pdf")], ["b-pdf"]),
        ([("author.family", "RADIO")], ["b-report"]),
        ([("author.given", "exam")], ["b-report", "b-manifest"]),
        ([("author.family", "xample")], []),
        ([("_lastUpdated", "ge2026-03-02T10:30:00+01:00")], ["b-report"]),
    ],
)  # fmt: skip
def test_what_a_search_finds(pairs: list[tuple[str, str]], expected: list[str]) -> None:
    assert _hits(*pairs) == expected


@pytest.mark.fault("F15")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-01-15", "first last day"), ("ge2024-01-15", "first last day"), ("le2024-01-15", "first last day"),
        ("gt2024-01-15", ""), ("lt2024-01-15", ""), ("lt2024-01-16", "first last day"), ("2024-01", "first last day"),
        ("ge2024-01-15T23:59:59+01:00", "last day"),
    ],
)  # fmt: skip
def test_the_edges_of_a_day_are_inside(value: str, expected: str) -> None:
    starts = {"first": "2024-01-15T00:00:00+01:00", "last": "2024-01-15T23:59:59+01:00", "day": "2024-01-15"}
    documents = tuple(replace(MANIFEST_ENTRY, id=name, period_start=start) for name, start in starts.items())

    assert _hits(("period", value), documents=documents) == expected.split()


@pytest.mark.parametrize(
    "name",
    [
        "foo",
        "_elements",
        "_revinclude",
        "patient:identifier",
        "type:not",
        "date:missing",
        "_format",
        "_total",
        "bodysite:in",
        "related:ImagingStudy",
    ],
)
def test_a_parameter_that_is_not_known_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedRequest) as caught:
        _read((name, "x"))

    assert caught.value.facts["path"] == name
    assert name in caught.value.message


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([("date", "yesterday")], "value"), ([("date", "2024-02-30")], "value"), ([("period", "ap2024")], "value"),
        ([("status", "gone")], "value"), ([("type", "")], "value"), ([("type", "a,,b")], "value"),
        ([("_count", "0")], "value"), ([("_count", "-1")], "value"), ([("_count", "x")], "value"),
        ([("study-instance-uid", "1.2/../3")], "uid"), ([("patient", "Patient/other")], "value"),
        ([("patient", "Patient/a,Patient/b")], "value"), ([("patient", "https://evil.example/fhir/Patient/h-42")], "value"),
        ([("patient.identifier", "1234567")], "value"),
    ],
)  # fmt: skip
def test_a_value_that_is_none_is_malformed(pairs: list[tuple[str, str]], reason: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        _read(*pairs)

    assert caught.value.reason == reason


def test_a_search_without_a_patient_is_refused() -> None:
    with pytest.raises(MalformedRequest) as caught:
        read_search([("type", "85430-7")], ZONE, PACK)

    assert caught.value.reason == "required"


@pytest.mark.parametrize("value", [HANDLE, f"Patient/{HANDLE}", f"{BASE}/Patient/{HANDLE}"])
def test_a_patient_is_named_by_handle_in_three_forms(value: str) -> None:
    assert read_search([("patient", value)], ZONE, PACK, base=BASE).patient_handle == HANDLE


@pytest.mark.fault("F07")
@pytest.mark.parametrize(
    ("asked", "value"), [(r"A\,1", "A,1"), (r"2024\|117", "2024|117"), (r"B\\", "B\\"), (r"C\,", "C,"), ("2|3", "2|3")]
)
@pytest.mark.parametrize("name", ["patient.identifier", "patient:Patient.identifier"])
def test_escapes_in_an_identifier_are_the_characters_themselves(name: str, asked: str, value: str) -> None:
    query = read_search([(name, f"urn:oid:2.999.4.1|{asked}")], ZONE, PACK)

    assert query.patient_identifier == PatientIdentifier("urn:oid:2.999.4.1", value)


def test_the_page_size_is_capped() -> None:
    assert _read(("_count", "100000")).count == 200
    assert _read().count == 50


def test_what_country_b_asks_country_a_understands() -> None:
    query = DocumentQuery(
        patient_handle=HANDLE,
        statuses=("current", "superseded"),
        types=(("http://loinc.org", "85430-7"),),
        categories=((PACK.systems["category"], "Medical-Imaging"),),
        dates=((DateFilter.read("ge2024-01-15", ZONE),), (DateFilter.read("le2024-02", ZONE),)),
        periods=((DateFilter.read("2024", ZONE), DateFilter.read("2024-01-15T10:00:00.25+02:00", ZONE)),),
        study_instance_uids=("2.999.7.1", "2.999.7.2"),
        modalities=("CT", "MR"),
        count=20,
        cursor="abc",
    )

    read = read_search(parse_qsl(write_search(query, PACK).decode()), ZONE, PACK)

    assert [d.name for d in read.demands] == [d.name for d in demands_of(query, PACK)]
    assert (read.statuses, read.count, read.cursor, read.patient_handle) == ((), 20, "abc", HANDLE)
    assert [_written(d) for d in read.demands] == [_written(d) for d in demands_of(query, PACK)]


def _written(demand: Demand) -> tuple[str, set[str], tuple[DateFilter, ...]]:
    return demand.name, {plain_uid(code) for _, code in demand.tokens}, demand.dates


def test_the_newest_comes_first_and_the_order_is_total() -> None:
    twins = [replace(REPORT_ENTRY, unique_id=Identifier(None, name)) for name in ("a", "c", "b")]

    listed = newest_first([PDF_ENTRY, *twins, MANIFEST_ENTRY], ZONE)

    assert [d.unique_id.value for d in listed[:3]] == ["c", "b", "a"]
    assert [d.id for d in listed[3:]] == ["b-manifest", "b-pdf"]


def _docref(sample: Callable[[str], Path], form: str) -> dict[str, Any]:
    name = f"fhir/ihe_mado_study_b/mado-{form}-1.2.250.1.59.40211.22756022.2.1.102-docref.json"
    node: dict[str, Any] = orjson.loads(sample(name).read_bytes())
    return node


def _searchset(*resources: dict[str, Any], **more: Any) -> bytes:
    entries = [{"fullUrl": f"{BASE}/DocumentReference/{r.get('id')}", "resource": r} for r in resources]
    return orjson.dumps({"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries} | more)


@pytest.mark.requirement("TOL-03", "TOL-04", "TOL-05", "TOL-07")
def test_entries_of_ihe_are_read_and_what_was_forgiven_is_named(sample: Callable[[str], Path]) -> None:
    body = _searchset(_docref(sample, "fhir"), _docref(sample, "kos"))

    found = read_found(body, base=BASE, handle="pat-mrn--1097192655", pack=PACK)

    fhir, kos = found.documents
    assert (fhir.kind, kos.kind) == (DocumentKind.MANIFEST_FHIR, DocumentKind.MANIFEST_KOS)
    assert fhir.study_instance_uids == kos.study_instance_uids == ("1.2.250.1.59.40211.22756022.2.1.102",)
    assert fhir.accession_numbers == (Identifier("http://example.org/fhir/ris-ids", "8529258169397744"),)
    assert fhir.modalities == ("CT", "KO")
    assert [region.code for region in fhir.regions] == ["774007", "38266002"]
    assert fhir.url == f"{BASE}/Bundle/mado-bundle--2047166865"
    assert found.tolerances == (
        "category-system", "dcmuid-system", "modality-repeated", "no-master-identifier", "relative-address",
    )  # fmt: skip


def test_an_entry_about_another_patient_is_a_misanswer() -> None:
    body = write_found(Page((REPORT_ENTRY,), 1), _read(), base=BASE, handle="other", pack=PACK)

    with pytest.raises(CountryMisanswered):
        read_found(body, base=BASE, handle=HANDLE, pack=PACK)


@pytest.mark.parametrize(
    "url",
    [
        "https://ncpeh.aa.example.evil/fhir/Bundle/1", "https://ncpeh.aa.example/fhir.evil/Bundle/1",
        "http://ncpeh.aa.example/fhir/Bundle/1", "https://ncpeh.aa.example:8443/fhir/Bundle/1",
        "https://ncpeh.aa.example@evil.example/fhir/Bundle/1", "https://ncpeh.aa.example/fhir/../admin/1",
        "https://ncpeh.aa.example/fhir/Bundle/%2e%2e", "file:///etc/passwd", "//evil.example/fhir/Bundle/1",
        "https://ncpeh.aa.example/fhir/Bundle/1?x=1", "https://[::1/fhir/Bundle/1", "../Bundle/1",
    ],
)  # fmt: skip
def test_a_document_elsewhere_is_a_misanswer(url: str) -> None:
    answer = _answer(REPORT_ENTRY)
    answer["entry"][0]["resource"]["content"][0]["attachment"]["url"] = url

    with pytest.raises(CountryMisanswered):
        read_found(orjson.dumps(answer), base=BASE, handle=HANDLE, pack=PACK)


@pytest.mark.requirement("CAP-15")
def test_of_the_next_page_only_the_query_is_taken_and_only_from_home() -> None:
    answer = _answer(REPORT_ENTRY, next_cursor="c")
    answer["link"][1]["url"] = "https://ncpeh.aa.example.evil/fhir/DocumentReference?_cursor=c"

    with pytest.raises(CountryMisanswered):
        read_found(orjson.dumps(answer), base=BASE, handle=HANDLE, pack=PACK)

    answer["link"][1]["url"] = "DocumentReference?_cursor=c"
    assert read_found(orjson.dumps(answer), base=BASE, handle=HANDLE, pack=PACK).next_query == "_cursor=c"


@pytest.mark.requirement("TOL-08")
def test_several_contents_are_each_offered() -> None:
    answer = _answer(REPORT_ENTRY)
    pdf = {"attachment": {"contentType": "application/pdf", "url": f"{BASE}/Binary/p-1"}}
    answer["entry"][0]["resource"]["content"].append(pdf)

    found = read_found(orjson.dumps(answer), base=BASE, handle=HANDLE, pack=PACK)

    assert [d.kind for d in found.documents] == [DocumentKind.REPORT_FHIR, DocumentKind.REPORT_PDF]
    assert "several-contents" in found.tolerances


@pytest.mark.requirement("TOL-01")
@pytest.mark.parametrize("code", ["1141981001", "737561001", "421060004"])
def test_the_spine_is_one_region(code: str) -> None:
    answer = _answer(MANIFEST_ENTRY)
    for extension in answer["entry"][0]["resource"]["extension"]:
        for coded in [extension, *extension.get("extension", [])]:
            for coding in coded.get("valueCodeableConcept", {}).get("coding", []):
                if coding["code"] == "1141981001":
                    coding["code"] = code

    found = read_found(orjson.dumps(answer), base=BASE, handle=HANDLE, pack=PACK)

    assert [region.code for region in found.documents[0].regions] == ["1141981001"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"resourceType":"Patient"}', b'{"resourceType":"Bundle","type":"document"}']
)
def test_what_is_no_answer_to_a_search_is_a_misanswer(body: bytes) -> None:
    with pytest.raises(CountryMisanswered):
        read_found(body, base=BASE, handle=HANDLE, pack=PACK)


def test_get_and_post_ask_the_same() -> None:
    form = [("patient", HANDLE), ("type", r"a\,b,c"), ("date", "ge2024")]

    assert read_search(parse_qsl(urlencode(form)), ZONE, PACK) == read_search(form, ZONE, PACK)


@pytest.mark.requirement("TOL-06")
@pytest.mark.parametrize(
    ("extension", "word"),
    [
        (
            {"url": PACK.extensions["body_site"], "valueCodeableConcept": {"coding": [{"code": "774007"}]}},
            "region-system",
        ),
        (
            {
                "url": PACK.extensions["body_site"],
                "extension": [
                    {
                        "url": "concept",
                        "valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": "774007"}]},
                    }
                ],
            },
            "body-site-form",
        ),
        (
            {
                "url": PACK.extensions["body_site_once"],
                "valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": "774007"}]},
            },
            "body-site-form",
        ),
    ],
)
def test_a_body_site_is_read_in_every_draft(extension: dict[str, Any], word: str) -> None:
    answer = _answer(MANIFEST_ENTRY)
    answer["entry"][0]["resource"]["extension"] = [extension]

    found = read_found(orjson.dumps(answer), base=BASE, handle=HANDLE, pack=PACK)

    assert [(r.system, r.code) for r in found.documents[0].regions] == [("http://snomed.info/sct", "774007")]
    assert word in found.tolerances


def test_a_list_of_a_country_without_our_extensions_knows_no_extent() -> None:
    answer = _answer(MANIFEST_ENTRY)
    resource = answer["entry"][0]["resource"]
    resource["extension"] = [e for e in resource["extension"] if not e["url"].startswith("urn:ncp:")]

    document = read_found(orjson.dumps(answer), base=BASE, handle=HANDLE, pack=PACK).documents[0]

    assert (document.series_count, document.instance_count, document.study_bytes) == (None, None, None)
