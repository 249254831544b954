"""What we emit fulfils every requirement of its kind."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from zoneinfo import ZoneInfo

import orjson
import pytest
from tests.wire.made import (
    BASE,
    HANDLE,
    KOS_ENTRY,
    MANIFEST,
    MANIFEST_ENTRY,
    PATIENT,
    PDF_ENTRY,
    REPORT_ENTRY,
    STUDY,
)  # fmt: skip
from tests.wire.made_reports import FULL
from tests.wire.test_further_sections import minimal
from tests.wire.test_reports import REPORT

from isthmus import errors
from isthmus.conformance.evidence import Exchange
from isthmus.conformance.requirement import Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.model.documents import Document
from isthmus.model.queries import Page
from isthmus.model.report.document import ImagingReport
from isthmus.model.report.key_images import KeyImage
from isthmus.model.report.statements import Finding
from isthmus.wire import documents, patients
from isthmus.wire.capability import write_capability, write_smart_configuration
from isthmus.wire.manifests import write_manifest
from isthmus.wire.outcomes import write_outcome
from isthmus.wire.packs.pack import load_pack
from isthmus.wire.report.document import write_report
from isthmus.wire.report.minimal import write_minimal
from isthmus.wire.studies import imaging_study, qido

PACK = load_pack()
FOUND = replace(PATIENT, handle=HANDLE)
assert groups.GROUPS


def _searched(*listed: Document) -> bytes:
    query = documents.read_search([("patient", HANDLE)], ZoneInfo("UTC"), PACK)
    return documents.write_found(Page(listed, len(listed)), query, base=BASE, handle=HANDLE, pack=PACK)


def _patients(several: bool = False) -> bytes:
    return patients.write_found(FOUND, several=several, self_link=f"{BASE}/Patient", base=BASE, pack=PACK)


def _studies(found: bool = True) -> bytes:
    query = imaging_study.read_search([("patient", HANDLE)], ZoneInfo("UTC"), PACK)
    page = [imaging_study.Listed("s-1", STUDY)] if found else []
    return imaging_study.write_found(
        page, query, total=len(page), next_cursor=None, base=BASE, handle=HANDLE, pack=PACK
    )


def _row(level: qido.Level) -> bytes:
    series = STUDY.series[0]
    row = qido.Row(MANIFEST_ENTRY, *((series, series.instances[0]) if level == "instance" else ()))
    return orjson.dumps(orjson.loads(qido.write_found([row], level, base="https://a/dicom-web", handle=HANDLE))[0])


SEEN = (
    Finding(
        "A cyst", images=(REPORT.key_images[0], KeyImage("2.999.7.1.1.9", "2.999.7.1.1", "2.999.7.1", "US", frame=4))
    ),
)
EMITTED: dict[str, tuple[Kind, bytes]] = {
    "search": (Kind.SEARCH, _searched(REPORT_ENTRY, MANIFEST_ENTRY, KOS_ENTRY, PDF_ENTRY)),
    "nothing found": (Kind.SEARCH, _searched()),
    "patient": (Kind.PATIENTS, _patients()),
    "several patients": (Kind.PATIENTS, _patients(several=True)),
    "manifest": (Kind.MANIFEST, write_manifest(MANIFEST, PACK)),
    "manifest by location": (Kind.MANIFEST, write_manifest(replace(MANIFEST, endpoint_address=None), PACK)),
    "manifest without order": (
        Kind.MANIFEST,
        write_manifest(replace(MANIFEST, study=replace(STUDY, accession_numbers=(), placer_order_numbers=())), PACK),
    ),
    "report": (Kind.REPORT, write_report(REPORT, PACK)),
    "report whose findings are seen in images": (
        Kind.REPORT,
        write_report(replace(REPORT, examination=replace(REPORT.examination, findings=SEEN)), PACK),
    ),
    "bare report": (
        Kind.REPORT,
        write_report(ImagingReport(REPORT.header, examination=replace(REPORT.examination, findings=())), PACK),
    ),
    "report of every chapter": (Kind.REPORT, write_report(FULL, PACK)),
    "report as issued alone": (Kind.MINIMAL, write_minimal(minimal(), PACK)),
    "capability": (
        Kind.CAPABILITY,
        write_capability(
            base=BASE,
            services=("imaging-report", "imaging-manifest", "imaging-pixels"),
            pack=PACK,
            software_version="1",
            date="2026-01-01",
        ),
    ),
    "smart": (Kind.SMART, write_smart_configuration(token_endpoint="https://ncpeh.aa.example/oauth/token")),
    "studies": (Kind.STUDIES, _studies()),
    "no studies": (Kind.STUDIES, _studies(found=False)),
}
ROWS = {"row": _row("study"), "row of an instance": _row("instance")}
OUTCOMES = {
    name: write_outcome(kind("why", reason=reason))
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.IsthmusError)
    for reason in [kind.default_reason]
}


@pytest.mark.requirement("PID-08", "MFH-16", "REP-18", "REP-26")
@pytest.mark.parametrize("name", EMITTED)
def test_what_we_emit_fulfils_every_requirement(name: str) -> None:
    kind, body = EMITTED[name]

    assert examine(kind, orjson.loads(body), PACK) == []


@pytest.mark.requirement("CAP-07")
@pytest.mark.parametrize("name", OUTCOMES)
def test_every_refusal_is_an_outcome(name: str) -> None:
    headers = {"content-type": "application/fhir+json", "www-authenticate": "Bearer"}
    refused = Exchange(
        path="/fhir/AnyOther", status=400, headers=headers, answer=OUTCOMES[name], sent={"authorization": "Bearer x"}
    )

    assert examine(Kind.EXCHANGE, refused, PACK) == []


@pytest.mark.requirement("WAD-19")
@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_dicom_json(name: str) -> None:
    headers = {"content-type": "application/dicom+json", "cache-control": "no-store"}
    found = Exchange(
        path="/dicom-web/studies", headers=headers, answer=b"[%s]" % ROWS[name], sent={"authorization": "Bearer x"}
    )

    assert examine(Kind.EXCHANGE, found, PACK) == []


def test_the_reports_of_the_practice_country_fulfil_every_requirement() -> None:
    reports = [
        file for file in resources.files("isthmus.demo").joinpath("data/reports").iterdir() if _is_json(file.name)
    ]

    findings = {file.name: examine(Kind.REPORT, orjson.loads(file.read_bytes()), PACK) for file in reports}

    assert len(findings) > 10
    assert {name: found for name, found in findings.items() if found} == {}


def _is_json(name: str) -> bool:
    return name.endswith(".json")
