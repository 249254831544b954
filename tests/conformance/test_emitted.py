"""What we emit fulfils every requirement of its kind; what is broken on purpose is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any
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
from tests.wire.test_reports import REPORT

from isthmus import errors
from isthmus.conformance.requirement import REQUIREMENTS, Kind, examine
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
    "outcome": (
        Kind.OUTCOME,
        write_outcome(errors.UnsupportedRequest("the parameter foo is not known here", path="foo")),
    ),
    "studies": (Kind.STUDIES, _studies()),
    "no studies": (Kind.STUDIES, _studies(found=False)),
    "row": (Kind.ROW, _row("study")),
    "row of an instance": (Kind.ROW, _row("instance")),
    "wrapped": (Kind.BINARY, b'{"resourceType":"Binary","contentType":"application/pdf","data":"JVBERi0="}'),
}
OUTCOMES = {
    name: orjson.loads(write_outcome(kind("why", reason=reason)))
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.IsthmusError)
    for reason in [kind.default_reason]
}


@pytest.mark.parametrize("name", EMITTED)
def test_what_we_emit_fulfils_every_requirement(name: str) -> None:
    kind, body = EMITTED[name]

    assert examine(kind, orjson.loads(body), PACK) == []


@pytest.mark.requirement("CAP-07")
@pytest.mark.parametrize("name", OUTCOMES)
def test_every_refusal_is_an_outcome(name: str) -> None:
    assert examine(Kind.OUTCOME, OUTCOMES[name], PACK) == []


def test_the_reports_of_the_practice_country_fulfil_every_requirement() -> None:
    reports = [
        file for file in resources.files("isthmus.demo").joinpath("data/reports").iterdir() if _is_json(file.name)
    ]

    findings = {file.name: examine(Kind.REPORT, orjson.loads(file.read_bytes()), PACK) for file in reports}

    assert len(findings) > 10
    assert {name: found for name, found in findings.items() if found} == {}


def _is_json(name: str) -> bool:
    return name.endswith(".json")


def _without(node: Any, *path: Any) -> None:
    for name in path[:-1]:
        node = node[name]
    del node[path[-1]]


def _with(value: Any, *path: Any) -> Callable[[Any], None]:
    def change(node: Any) -> None:
        for name in path[:-1]:
            node = node[name]
        node[path[-1]] = value

    return change


ENTRY = ("entry", 0, "resource")
STUDY_ENTRY = ("entry", 1, "resource")
MUTANTS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "CAP-12": ("search", lambda n: _without(n, "total")),
    "CAP-13": ("nothing found", _with([], "entry")),
    "CAP-14": ("search", lambda n: n["entry"].append(n["entry"][0])),
    "DRS-22": ("search", _with({"reference": "Patient/x"}, "entry", 1, "resource", "subject")),
    "DRC-01": ("search", lambda n: _without(n, *ENTRY, "masterIdentifier", "use")),
    "DRC-02": ("search", _with("final", *ENTRY, "docStatus")),
    "DRC-03": ("search", lambda n: _without(n, *ENTRY, "description")),
    "DRC-04": ("search", lambda n: n["entry"][0]["resource"]["category"].clear()),
    "DRC-05": ("search", lambda n: _without(n, *ENTRY, "custodian")),
    "DRC-06": ("search", _with("Bundle/1", *ENTRY, "content", 0, "attachment", "url")),
    "DRC-07": ("search", _with("AAAA", *ENTRY, "content", 0, "attachment", "data")),
    "DRC-08": ("search", lambda n: _without(n, "entry", 1, "resource", "content", 0, "attachment", "language")),
    "DRC-09": ("search", lambda n: _without(n, "entry", 1, "resource", "content", 0, "format")),
    "DRC-10": ("search", lambda n: _without(n, "entry", 2, "resource", "content", 0, "format")),
    "DRC-11": ("search", _with([{"code": "transforms", "target": {"reference": "DocumentReference/b-kos"}}], *ENTRY, "relatesTo")),
    "DRC-18": (
        "search",
        _with([{"code": "replaces", "target": {"reference": "DocumentReference/b-pdf"}}], *ENTRY, "relatesTo"),
    ),
    "DRC-19": (
        "search", lambda n: _with(n["entry"][1]["resource"]["content"], *ENTRY, "content")(n),
    ),
    "RET-03": ("wrapped", _with("JVB*", "data")),
    "CAP-05": ("smart", _with(["password"], "grant_types_supported")),
    "CAP-07": ("outcome", _with("suppressed", "issue", 0, "code")),
    "WAD-19": ("row", lambda n: _without(n, "0020000D", "Value")),
    "WAD-20": ("studies", _with([{"reference": "Endpoint/1"}], *ENTRY, "endpoint")),
    "DRC-12": ("search", lambda n: _without(n, "entry", 1, "resource", "context", "period")),
    "DRC-13": ("search", lambda n: _without(n, "entry", 1, "resource", "context", "related", 0)),
    "DRC-14": (
        "search", lambda n: _without(n, *ENTRY, "context", "related", 1, "identifier", "type", "coding", 0),
    ),
    "DRC-15": ("search", lambda n: _without(n, *ENTRY, "extension", 0)),
    "DRC-16": ("search", lambda n: n["entry"][1]["resource"]["extension"].pop(3)),
    "DRC-17": ("search", lambda n: _without(n, *ENTRY, "content", 0, "extension")),
    "DRC-20": ("search", _with({"value": "1"}, *ENTRY, "subject", "identifier")),
    "PID-04": ("patient", lambda n: _without(n, *ENTRY, "gender")),
    "PID-05": ("patient", _with([], *ENTRY, "telecom")),
    "PID-06": ("patient", _with([{"use": "official"}], *ENTRY, "name")),
    "PID-08": ("several patients", _with(1, "total")),
    "PID-12": ("patient", _with(2, "total")),
    "CAP-01": ("capability", _with("5.0.0", "fhirVersion")),
    "CAP-02": ("capability", lambda n: _without(n, "implementationGuide")),
    "CAP-03": ("capability", lambda n: _without(n, "rest", 0, "resource", 0, "searchParam", 0, "definition")),
    "CAP-04": ("capability", lambda n: _without(n, "rest", 0, "security")),
    "MFH-01": ("manifest", _with(1, "total")),
    "MFH-02": ("manifest", lambda n: n["entry"].append(n["entry"][2])),
    "MFH-03": ("manifest", _with("urn:oid:1.2", "identifier", "value")),
    "MFH-04": ("manifest", lambda n: _without(n, *ENTRY, "category")),
    "MFH-05": ("manifest", lambda n: _without(n, *ENTRY, "text")),
    "MFH-06": ("manifest", lambda n: _without(n, *ENTRY, "author", 0)),
    "MFH-07": ("manifest", lambda n: _without(n, *ENTRY, "event")),
    "MFH-08": ("manifest", _with([{"title": "x"}], *ENTRY, "section")),
    "MFH-14": ("manifest", _with("53120007", *STUDY_ENTRY, "series", 0, "bodySite", "code")),
    "MFH-19": ("manifest", lambda n: _without(n, *STUDY_ENTRY, "series", 0, "instance", 1, "extension")),
    "MFH-20": ("manifest", lambda n: _without(n, *STUDY_ENTRY, "series", 1, "instance", 0, "title")),
    "MFH-23": ("manifest", _with("file:///pacs/7", "entry", 5, "resource", "address")),
    "MFH-27": ("manifest", _with("OTHER", *STUDY_ENTRY, "basedOn", 0, "identifier", "value")),
    "MFH-28": ("manifest", lambda n: _without(n, *ENTRY, "title")),
    "MFH-30": ("manifest", lambda n: n["entry"][5]["resource"].update(payloadMimeType=["text/html"], address="viewer")),
    "MFH-09": ("manifest", lambda n: _without(n, "entry", 1, "resource", "identifier", 0, "type")),
    "MFH-10": ("manifest", _with(9, "entry", 1, "resource", "numberOfInstances")),
    "MFH-11": ("manifest", lambda n: _without(n, "entry", 1, "resource", "series", 0, "endpoint")),
    "MFH-12": ("manifest", lambda n: _without(n, "entry", 1, "resource", "procedureCode")),
    "MFH-13": ("manifest", lambda n: _without(n, "entry", 1, "resource", "extension")),
    "MFH-15": ("manifest", lambda n: _without(n, "entry", 5, "resource", "payloadType")),
    "MFH-16": ("manifest by location", lambda n: _without(n, "entry", 5, "resource", "_address")),
    "MFH-17": ("manifest", lambda n: _without(n, "entry", 6, "resource", "type")),
    "MFH-18": ("manifest", lambda n: _without(n, "entry", 7, "resource", "intent")),
    "MFH-21": ("manifest", lambda n: _without(n, "entry", 2, "resource", "birthDate")),
    "MFH-22": ("manifest", lambda n: _without(n, "entry", 7)),
    "REP-01": ("report", lambda n: n["entry"].append(n["entry"][0])),
    "REP-02": ("report", lambda n: _without(n, "timestamp")),
    "REP-03": ("report", _with("x", *ENTRY, "identifier", "value")),
    "REP-04": ("report", lambda n: _without(n, *ENTRY, "category", 0)),
    "REP-05": ("report", lambda n: _without(n, *ENTRY, "extension")),
    "REP-06": ("report", _with("amended", *ENTRY, "status")),
    "REP-07": ("report", lambda n: _without(n, *ENTRY, "section", 1)),
    "REP-09": ("report", lambda n: _without(n, *ENTRY, "section", 5, "text")),
    "REP-10": ("report", _with("<div>x</div>", *ENTRY, "section", 5, "text", "div")),
    "REP-13": ("report", lambda n: n["entry"][0]["resource"]["author"].pop()),
    "REP-14": ("report", lambda n: _without(n, *ENTRY, "attester", 0, "time")),
    "REP-15": ("report", lambda n: n["entry"].append({"resource": {"resourceType": "Endpoint"}})),
    "REP-16": ("report", lambda n: _without(_named(n, "DocumentReference"), "identifier")),
    "REP-18": ("report", lambda n: _without(_named(n, "Observation", "derivedFrom"), "derivedFrom")),
    "REP-26": (
        "report",
        lambda n: _with("1141981001", "extension", 1, "valueCodeableConcept", "coding", 0, "code")(
            _named(n, "DiagnosticReport")
        ),
    ),
}  # fmt: skip


def _named(node: Any, kind: str, member: str = "resourceType") -> Any:
    return next(
        e["resource"] for e in node["entry"] if e["resource"]["resourceType"] == kind and member in e["resource"]
    )


@pytest.mark.parametrize("id", MUTANTS)
def test_what_is_broken_on_purpose_is_found(id: str) -> None:
    name, change = MUTANTS[id]
    kind, body = EMITTED[name]
    node = orjson.loads(body)
    change(node)

    assert id in {finding.requirement for finding in examine(kind, node, PACK)}


def test_every_requirement_has_its_mutant() -> None:
    assert {id for id, row in REQUIREMENTS.items() if row.kind is not Kind.KOS} == set(MUTANTS)


def test_what_ihe_wrote_is_found_to_differ(sample: Callable[[str], Path]) -> None:
    name = "fhir/ihe_mado_study_b/mado-1.2.250.1.59.40211.22756022.2.1.102-bundle.json"

    found = {finding.requirement for finding in examine(Kind.MANIFEST, orjson.loads(sample(name).read_bytes()), PACK)}

    assert found == {"MFH-03", "MFH-05", "MFH-08"}
