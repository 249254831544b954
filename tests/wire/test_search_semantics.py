"""Searching means what the definitions say: a slow reading of what crosses, by FHIRPath, finds the same as the index does.

Each definition's expression is written here as its source has it; values are compared on the JSON that is emitted, by code that
shares nothing with `fhir/parameters.py`. (`extension.where(url=…)` stands for `extension(…)`, which fhirpathpy ends at the first.)
"""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fhirpathpy import compile as compile_path
from fhirpathpy.models import models
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.wire.made import BASE, HANDLE, KOS_ENTRY, MANIFEST_ENTRY, PDF_ENTRY, REPORT_ENTRY, STUDY

from isthmus.model.codes import SNOMED, Code
from isthmus.model.documents import Document
from isthmus.model.identifiers import Identifier
from isthmus.model.imaging import Instance, Series
from isthmus.wire import documents
from isthmus.wire.entries import write_entry
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.studies import imaging_study
from isthmus.wire.studies.imaging_study import Listed, write_study

PACK, ZONE = load_pack(), ZoneInfo("Europe/Athens")
E, S = PACK.extensions, PACK.systems
_NUMBER = "{0}.identifier.where(type.coding.where(system='http://dicom.nema.org/resources/ontology/DCM' and code='{1}').exists())"
OF_DOCUMENTS = {
    "status": "DocumentReference.status",
    "type": "DocumentReference.type",
    "category": "DocumentReference.category",
    "contenttype": "DocumentReference.content.attachment.contentType",
    "format": "DocumentReference.content.format",
    "date": "DocumentReference.date",
    "creation": "DocumentReference.content.attachment.creation",
    "period": "DocumentReference.context.period",
    "_lastUpdated": "DocumentReference.meta.lastUpdated",
    "study-instance-uid": _NUMBER.format("DocumentReference.context.related", "110180"),
    "accession-number": _NUMBER.format("DocumentReference.context.related", "121022"),
    "related": "DocumentReference.context.related.where(reference.exists())",
    "related:identifier": "DocumentReference.context.related.identifier",
    "modality": f"DocumentReference.extension.where(url='{E['modality']}').value | DocumentReference.extension.where(url='{E['modality_once']}').value",
    "bodysite": f"DocumentReference.extension.where(url='{E['body_site']}').value"
    f" | DocumentReference.extension.where(url='{E['body_site_once']}').extension.where(url='concept').value",
    "anatomical-region": f"DocumentReference.extension.where(url='{E['body_site']}').value",
    "identifier": "DocumentReference.masterIdentifier | DocumentReference.identifier",
    "_id": "DocumentReference.id",
    "event": "DocumentReference.context.event",
    "facility": "DocumentReference.context.facilityType",
    "setting": "DocumentReference.context.practiceSetting",
    "security-label": "DocumentReference.securityLabel",
    "author.given": "DocumentReference.author.display",
    "author.family": "DocumentReference.author.display",
}
OF_STUDIES = {
    "identifier": "ImagingStudy.identifier",
    "modality": "ImagingStudy.series.modality",
    "started": "ImagingStudy.started",
    "reason": "ImagingStudy.reasonCode",
    "bodysite": f"ImagingStudy.series.bodySite | ImagingStudy.extension.where(url='{E['region_manifest']}').value",
    "body-site": f"ImagingStudy.series.bodySite | ImagingStudy.extension.where(url='{E['region_manifest']}').value",
    "dicom-class": "ImagingStudy.series.instance.sopClass",
    "status": "ImagingStudy.status",
    "based-on": "ImagingStudy.basedOn.where(reference.exists())",
    "based-on:identifier": "ImagingStudy.basedOn.identifier",
    "series": "ImagingStudy.series.uid",
    "instance": "ImagingStudy.series.instance.uid",
    "_id": "ImagingStudy.id",
}
TEXTS = {"author.given", "author.family"}
DATES = {"date", "creation", "period", "_lastUpdated", "started"}


@cache
def _path(expression: str) -> Any:
    return compile_path(expression, models["r4"])


def _tokens(value: Any) -> Iterator[tuple[str | None, str]]:
    """System and code of a primitive, Coding, CodeableConcept or Identifier."""
    if isinstance(value, str):
        yield None, value
    elif "coding" in value:
        yield from ((coding.get("system"), coding["code"]) for coding in value["coding"])
    else:
        yield value.get("system"), value.get("code", value.get("value"))


def _alike(name: str, token: tuple[str | None, str]) -> tuple[str | None, str]:
    """The written equalities: prefixes of UIDs, the spine, aliases of systems, blanks around a number."""
    system, code = token
    if name in ("study-instance-uid", "series", "instance", "dicom-class") or (
        name.endswith("identifier") and system in (None, "urn:dicom:uid")
    ):
        code = re.sub(r"^(urn:)?oid:", "", code)
    if name in ("bodysite", "body-site", "anatomical-region") and code in ("737561001", "421060004", "1141981001"):
        code = "spine"
    if name == "category" and system is not None:
        system = system.replace("/eu-health-data-api/", "/health-data-api/")
    if name == "format" and system in PACK.aliases["dcmuid"]:
        system = "DCMUID"
    return system, code.strip(" ") if name in ("accession-number", "based-on:identifier") else code


IMPLIED = {"status": None, "contenttype": None, "_id": None, "series": None, "instance": None}


def _token_found(name: str, asked: str, held: list[Any]) -> bool:
    first, bar, rest = asked.partition("|")
    system, code = _alike(name, ((first or None) if bar else None, rest if bar else first))
    any_system = not bar or name == "study-instance-uid"
    for value in held:
        for token in _tokens(value):
            their_system, their_code = _alike(name, token)
            if (any_system or name in IMPLIED or system == their_system) and code in ("", their_code):
                return True
    return False


def _bare(text: str) -> str:
    split = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in split if not unicodedata.combining(sign))


def _text_found(asked: str, held: list[Any]) -> bool:
    return any(re.search(rf"(^|\s){re.escape(_bare(asked))}", _bare(value)) for value in held)


def _span(text: str) -> tuple[datetime, datetime]:
    """First moment, and the first one after, of a date at its precision."""
    parts = [int(part) for part in text[:10].split("-")]
    if len(parts) == 1:
        return datetime(parts[0], 1, 1, tzinfo=ZONE), datetime(parts[0] + 1, 1, 1, tzinfo=ZONE)
    if len(parts) == 2:
        start = datetime(parts[0], parts[1], 1, tzinfo=ZONE)
        return start, start + timedelta(days=monthrange(*parts)[1])
    if "T" not in text:
        start = datetime(*parts, tzinfo=ZONE)  # type: ignore[arg-type,misc]  # three numbers, by the form of the text
        return start, start + timedelta(days=1)
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    seconds = text[16:17] == ":"
    return moment, moment + (timedelta(seconds=1) if seconds else timedelta(minutes=1))


def _date_found(asked: str, held: list[Any]) -> bool:
    prefix, wanted = (asked[:2], asked[2:]) if asked[:1].isalpha() else ("eq", asked)
    first, after = _span(wanted)
    for value in held:
        start, end = _span(value["start"] if isinstance(value, dict) else value)
        if {"eq": start < after and end > first, "ge": end > first, "gt": end > after, "le": start < after,
            "lt": start < first}[prefix]:  # fmt: skip
            return True
    return False


def slowly(name: str, value: str, resource: dict[str, Any], expressions: dict[str, str]) -> bool:
    """Whether one occurrence of a parameter finds the resource."""
    held = _path(expressions[name])(resource, {})
    for asked in value.split(","):
        if name in DATES and _date_found(asked, held):
            return True
        if name in TEXTS and _text_found(asked, held):
            return True
        if name not in DATES | TEXTS and _token_found(name, asked, held):
            return True
    return False


UIDS = ("2.999.7.1", "2.999.7.10", "2.25.1")
NUMBERS = (Identifier("urn:oid:2.999.5.1", "A1"), Identifier("urn:oid:2.999.5.2", "A1"), Identifier(None, "77"))
REGIONS = ("774007", "1141981001", "737561001", "421060004", "53120007")
MOMENTS = (
    "2024-01-15T00:00:00+02:00", "2024-01-15T23:59:59+02:00", "2024-01-15T22:00:00Z", "2024-02-29T10:00:00Z",
    "2023-12-31T23:30:00Z", "2024-01-14T22:00:00Z",
)  # fmt: skip
DAYS = (*MOMENTS, "2024-01-15", "2024-01", "2024", "2024-03-31T03:30+03:00")
MODALITIES = ("CT", "MR", "PT")
AUTHORS = ("Dr Éva Müller", "Hôpital de l'Est", "Ana Muller-Nagy")


def some(*values: Any, **bounds: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(values), unique=True, **bounds).map(tuple)


DOCUMENTS: st.SearchStrategy[Document] = st.builds(
    replace,
    st.sampled_from((REPORT_ENTRY, MANIFEST_ENTRY, KOS_ENTRY, PDF_ENTRY)),
    id=st.sampled_from(("d1", "d2")),
    indexed=st.sampled_from(MOMENTS),
    created=st.sampled_from(DAYS),
    updated=st.sampled_from(MOMENTS),
    period_start=st.none() | st.sampled_from(DAYS),
    status=st.sampled_from(("current", "superseded")),
    study_instance_uids=some(*UIDS, max_size=2),
    accession_numbers=some(*NUMBERS, max_size=2),
    modalities=some(*MODALITIES, max_size=2),
    regions=some(*(Code(SNOMED, code) for code in REGIONS), max_size=2),
    authors=some(*AUTHORS, max_size=2),
    unique_id=st.sampled_from(
        (Identifier("urn:dicom:uid", "urn:oid:2.999.9"), Identifier("urn:ietf:rfc:3986", "urn:uuid:1"))
    ),
)

_UID_VALUES = (*UIDS, *(f"urn:oid:{uid}" for uid in UIDS), *(f"urn:dicom:uid|urn:oid:{uid}" for uid in UIDS))
_REGION_VALUES = (*REGIONS, *(f"{SNOMED}|{code}" for code in REGIONS), "urn:other|774007", f"{SNOMED}|")
_NUMBER_VALUES = (
    "A1",
    "urn:oid:2.999.5.1|A1",
    "urn:oid:2.999.5.2|A1",
    "urn:oid:2.999.5.3|A1",
    "77",
    "|77",
    "A1 ",
    "urn:oid:2.999.5.1|",
)
_MODALITY_VALUES = ("CT", "PT", "MR", f"{S['dcm']}|CT", "urn:other|CT", f"{S['dcm']}|", "ct")
_DATE_VALUES = tuple(f"{prefix}{day}" for prefix in ("", "ge", "gt", "le", "lt", "eq") for day in DAYS)
VALUES: dict[str, tuple[str, ...]] = {
    "status": ("current", "superseded", "entered-in-error"),
    "type": ("85430-7", "18748-4", "http://loinc.org|18748-4", "http://loinc.org|", "urn:x|18748-4", "x"),
    "category": ("Medical-Imaging", f"{S['category']}|Medical-Imaging", f"{PACK.aliases['category'][1]}|Medical-Imaging", "x"),
    "contenttype": ("application/fhir+json", "application/dicom", "application/pdf", "text/xml"),
    "format": (PACK.codes["format_manifest_fhir"], *(f"{a}|{PACK.codes['format_manifest_kos']}" for a in PACK.aliases["dcmuid"])),
    "study-instance-uid": _UID_VALUES,
    "accession-number": _NUMBER_VALUES,
    "related": ("ImagingStudy/1", f"{BASE}/ImagingStudy/1"),
    "related:identifier": (*_UID_VALUES, *_NUMBER_VALUES[:6]),
    "modality": _MODALITY_VALUES,
    "bodysite": _REGION_VALUES,
    "anatomical-region": _REGION_VALUES,
    "identifier": ("urn:dicom:uid|2.999.9", "urn:oid:2.999.9", "urn:uuid:1", "urn:ietf:rfc:3986|urn:uuid:1", "urn:dicom:uid|urn:uuid:1"),
    "_id": ("d1", "d2", "d3"),
    "event": ("x", "http://loinc.org|x"),
    "facility": ("22232009", f"{SNOMED}|22232009", "x"),
    "setting": ("394914008", f"{SNOMED}|", "urn:x|394914008"),
    "security-label": ("R", "N"),
    "author.given": ("eva", "ÉVA", "müll", "Muller", "est", "Dr Éva", "va"),
    "author.family": ("mull", "nagy", "hopital", "Ana M", "x"),
    "started": _DATE_VALUES, "reason": ("x",), "body-site": _REGION_VALUES,
    "dicom-class": ("1.2.840.10008.5.1.4.1.1.2", "urn:oid:1.2.840.10008.5.1.4.1.1.4", "urn:ietf:rfc:3986|urn:oid:1.2.840.10008.5.1.4.1.1.2"),
    "based-on": ("ServiceRequest/1",), "based-on:identifier": _NUMBER_VALUES,
    "series": ("2.999.7.1.1", "urn:oid:2.999.7.1.2", "2.999"), "instance": ("urn:oid:2.999.7.1.1.1", "2.999.7.1.2.1", "1.2"),
    **dict.fromkeys(("date", "creation", "period", "_lastUpdated"), _DATE_VALUES),
}  # fmt: skip
OF_A_STUDY = {
    "status": ("available", "registered"),
    "identifier": (*_UID_VALUES, *_NUMBER_VALUES[:6]),
    "_id": ("s1", "s2"),
}


def asked(names: dict[str, str], own: dict[str, tuple[str, ...]]) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Up to three parameters, each with up to two alternatives."""

    def one(name: str) -> st.SearchStrategy[tuple[str, str]]:
        values = st.lists(st.sampled_from({**VALUES, **own}[name]), min_size=1, max_size=2)
        return values.map(lambda chosen: (name, ",".join(chosen)))

    return st.lists(st.sampled_from(sorted(names)).flatmap(one), min_size=1, max_size=3)


def test_every_parameter_has_its_expression_here() -> None:
    assert set(OF_DOCUMENTS) == set(documents.DEFINITIONS)
    assert set(OF_STUDIES) == set(imaging_study.DEFINITIONS)


@pytest.mark.requirement("DRS-12")
@settings(max_examples=600, deadline=None)
@given(st.lists(DOCUMENTS, min_size=1, max_size=4), asked(OF_DOCUMENTS, {}))
def test_the_index_finds_the_documents_that_the_definitions_find(
    listed: list[Document], pairs: list[tuple[str, str]]
) -> None:
    query = documents.read_search([("patient", HANDLE), *pairs], ZONE, PACK, base=BASE)
    resources = [write_entry(document, base=BASE, handle=HANDLE, pack=PACK) for document in listed]
    wanted = pairs if any(name == "status" for name, _ in pairs) else [*pairs, ("status", "current")]

    found = [documents.matches(document, query, PACK, ZONE) for document in listed]

    assert found == [all(slowly(*pair, resource, OF_DOCUMENTS) for pair in wanted) for resource in resources]


STUDIES: st.SearchStrategy[Listed] = st.builds(
    Listed,
    st.sampled_from(("s1", "s2")),
    st.builds(
        replace,
        st.just(STUDY),
        study_instance_uid=st.sampled_from(UIDS),
        started=st.none() | st.sampled_from(DAYS),
        accession_numbers=some(*NUMBERS, max_size=2),
        placer_order_numbers=some(*NUMBERS, max_size=1),
        regions=some(*(Code(SNOMED, code) for code in REGIONS), max_size=2),
        series=st.lists(
            st.builds(
                Series,
                st.sampled_from(("2.999.7.1.1", "2.999.7.1.2")),
                st.sampled_from(MODALITIES),
                st.just((Instance("2.999.7.1.1.1", "1.2.840.10008.5.1.4.1.1.2", 1),)),
                body_site=st.none() | st.sampled_from([Code(SNOMED, code) for code in REGIONS]),
            ),
            min_size=1,
            max_size=2,
        ).map(tuple),
    ),
)


@pytest.mark.requirement("WAD-20")
@settings(max_examples=400, deadline=None)
@given(st.lists(STUDIES, min_size=1, max_size=3), asked(OF_STUDIES, OF_A_STUDY))
def test_the_index_finds_the_studies_that_the_definitions_find(
    listed: list[Listed], pairs: list[tuple[str, str]]
) -> None:
    query = imaging_study.read_search([("subject", HANDLE), *pairs], ZONE, PACK, base=BASE)
    resources = [write_study(one, handle=HANDLE, pack=PACK) for one in listed]

    found = [imaging_study.matches(one, query, PACK, ZONE) for one in listed]

    assert found == [all(slowly(*pair, resource, OF_STUDIES) for pair in pairs) for resource in resources]


@pytest.mark.fault("F38")
@given(
    st.lists(DOCUMENTS, max_size=6, unique_by=lambda d: (d.unique_id.value, d.kind)),
    st.lists(st.tuples(st.sampled_from(sorted(documents.ORDERS)), st.booleans()), max_size=2).map(tuple),
)
def test_an_order_is_total_and_puts_what_lacks_the_date_last(
    listed: list[Document], order: tuple[tuple[str, bool], ...]
) -> None:
    one = documents.newest_first(listed, ZONE, order)

    assert one == documents.newest_first(list(reversed(listed)), ZONE, order)
    if order and order[0][0] == "period":
        dated = [document.period_start is not None for document in one]
        assert dated == sorted(dated, reverse=True)
