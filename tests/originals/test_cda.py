"""What is read of a CDA document, however it is written; and what is refused.

Source: field-faults F31; trust.md T72.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from isthmus.demo.reports import reports
from isthmus.errors import IsthmusError, MalformedRequest, TooLarge
from isthmus.model.documents import DocumentKind
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import Organisation
from isthmus.originals.cda.elements import moment
from isthmus.originals.cda.header import presented_form, read_cda
from isthmus.originals.cda.tree import MAX_BYTES, MAX_DEPTH, read_tree
from isthmus.originals.recognise import recognise

BODY = '<id root="1.2.3" extension="d1"/><recordTarget><patientRole><id root="2.999.4.1" extension="7"/></patientRole></recordTarget>'
PLAIN = f'<ClinicalDocument xmlns="urn:hl7-org:v3">{BODY}</ClinicalDocument>'
PREFIXED = (
    PLAIN.replace('xmlns="', 'xmlns:n1="').replace("</", "</n1:").replace("<", "<n1:").replace("<n1:/n1:", "</n1:")
)
WRITTEN = {
    "plain": PLAIN.encode(),
    "single quotes": PLAIN.replace('"', "'").encode(),
    "a prefix": PREFIXED.encode(),
    "a byte order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "UTF-16": f'<?xml version="1.0" encoding="UTF-16"?>{PLAIN}'.encode("utf-16"),
    "ISO-8859-1": f'<?xml version="1.0" encoding="ISO-8859-1"?><!-- ä -->{PLAIN}'.encode("latin-1"),
    "a comment before": f'<?xml version="1.0"?>\n<!-- made elsewhere -->\n<?xml-stylesheet href="x.xsl"?>\n{PLAIN}'.encode(),
}


@pytest.mark.fault("F31")
@pytest.mark.parametrize("name", WRITTEN)
def test_a_cda_is_one_however_it_is_written(name: str) -> None:
    assert recognise(WRITTEN[name]) is DocumentKind.REPORT_CDA
    assert read_cda(WRITTEN[name]).patients == (PatientIdentifier("urn:oid:2.999.4.1", "7"),)


@pytest.mark.fault("F31")
@pytest.mark.parametrize(
    "body",
    [
        b"<ClinicalDocument/>",
        PLAIN.replace("hl7-org:v3", "hl7-org:v2").encode(),
        b"<a xmlns='urn:hl7-org:v3'/>",
        b"<",
        b"{}",
    ],
)
def test_what_only_looks_like_one_is_none(body: bytes) -> None:
    assert recognise(body) is None
    with pytest.raises(MalformedRequest):
        read_cda(body)


@pytest.mark.threat("T72")
@pytest.mark.parametrize(
    "doctype",
    [
        "<!DOCTYPE ClinicalDocument>",
        '<!DOCTYPE a [<!ENTITY x "y">]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd">',
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
    ],
)
def test_a_document_type_is_refused(doctype: str) -> None:
    assert recognise(f"{doctype}{PLAIN}".encode()) is None
    with pytest.raises(MalformedRequest):
        read_cda(f"{doctype}{PLAIN}".encode())


@pytest.mark.threat("T72")
def test_the_published_attacks_are_refused(sample: Callable[[str], Path]) -> None:
    for name in ("dtd", "xmlbomb"):
        with pytest.raises(IsthmusError):
            read_tree(sample(f"xml_attack/{name}.xml").read_bytes())


def test_depth_number_and_size_are_bounded() -> None:
    deep = b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1)
    many = b"<a>" + b"<b/>" * 200_001 + b"</a>"

    for body in (deep, many, b" " * (MAX_BYTES + 1)):
        with pytest.raises(TooLarge):
            read_tree(body)


def test_the_practice_report_tells_all_that_a_list_shows() -> None:
    (report,) = (r for r in reports().values() if r.form == "cda")

    read = read_cda(report.document.read_bytes())

    assert read.patients == (report.patient.identifier,)
    said = read.index
    assert (said.names[0].family, said.names[0].given) == (report.patient.name.family, report.patient.name.given)
    assert (said.birth_date, said.gender) == (report.patient.birth_date, report.patient.gender)
    assert said.study_instance_uids == report.study_instance_uids
    assert (said.title, said.language, said.status, said.version) == ("Stressechokardiographie", "de", "final", "1")
    assert said.custodian == Organisation("Asfodelos General Hospital (demo)", "AA-H-001", "urn:oid:2.999.1.2.4")
    assert said.authors == ("Friederike Nebelthau",)
    assert (said.created, said.period_start) == ("2026-03-12T11:20:00+02:00", "2026-03-12T09:14:08+02:00")
    assert Identifier("urn:oid:2.999.1.2.2", "AA26-031260") in read.order_numbers


def test_a_published_one_of_level_1_holds_a_pdf(sample: Callable[[str], Path]) -> None:
    body = sample("cda/ehdsi_orcd/18748-4_3-1234-W7.xml").read_bytes()

    read, form = read_cda(body), presented_form(body)

    assert read.patients == (PatientIdentifier("urn:oid:2.16.17.710.850.1000.990.1.1000", "3-1234-W7"),)
    assert (read.index.birth_date, read.index.period_start) == ("1886-06-29", "2021-06-17")
    assert form is not None
    assert (form[0], form[1][:5]) == ("application/pdf", b"%PDF-")


def test_a_published_one_with_a_catalogue_names_study_and_modality(sample: Callable[[str], Path]) -> None:
    body = sample("cda/ccda_dir/Diagnostic_Imaging_Report.xml").read_bytes()

    read = read_cda(body).index

    assert (len(read.study_instance_uids), read.modalities) == (1, ("CR",))
    assert presented_form(body) is None


def test_what_is_cut_or_spoilt_is_refused_or_read_and_nothing_else() -> None:
    (report,) = (r for r in reports().values() if r.form == "cda")
    body = report.document.read_bytes()
    ends = [body[:at] for at in range(0, len(body) - 20, 61)]
    spoilt = [body[:at] + byte + body[at + 1 :] for at in range(0, len(body), 37) for byte in (b"\x00", b"<", b"\xff")]

    refused = 0
    for one in (*ends, *spoilt):
        try:
            read_cda(one)
        except IsthmusError:
            refused += 1

    assert refused >= len(ends)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("20260312112000+0200", "2026-03-12T11:20:00+02:00"), ("202603121120-0130", "2026-03-12T11:20:00-01:30"),
        ("20260312112000", "2026-03-12"), ("202603", "2026-03"), ("2026", "2026"), ("yesterday", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_time_of_day_needs_its_offset(text: str, read: str) -> None:
    assert moment(text) == read
