"""What is neither said nor a resource: arrivals, deliveries, trails, a value beside its document. Sound it fails nothing; spoilt, its own."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any

import orjson
import pytest
from tests.conformance.spoken import (
    FIRST,
    IMPLICIT,
    INSTANCES,
    NOW,
    PACK,
    PDF,
    STUDY_UID,
    dicom,
    images,
    listed,
    multipart,
    said,
    sound,
)  # fmt: skip
from tests.wire.made import BASE, HANDLE, KOS_ENTRY, MANIFEST, MANIFEST_ENTRY, PATIENT, PDF_ENTRY, STUDY
from tests.wire.made_reports import FULL
from tests.wire.test_reports import REPORT

from isthmus.conformance.evidence import Arrival, Delivery, Examination, Launch, Trails, Written, kos_node
from isthmus.conformance.requirement import REQUIREMENTS, Kind, examine
from isthmus.conformance.requirements import all as groups
from isthmus.fhir.elements import Node
from isthmus.wire.entries import read_entry, write_entry
from isthmus.wire.kos import write_kos, write_plain_kos
from isthmus.wire.kos_reading import read_kos
from isthmus.wire.report.document import write_report

assert groups.GROUPS
HIM = (PATIENT.identifier.system, PATIENT.identifier.value)
ANOTHER = (PATIENT.identifier.system, "other")
NAMED = sound()
FHIR_MANIFEST: Node = NAMED["manifest"].node
REPORT_NODE: Node = orjson.loads(write_report(REPORT, PACK))
FULL_NODE: Node = orjson.loads(write_report(FULL, PACK))
KOS, PLAIN = write_kos(MANIFEST, PACK), write_plain_kos(MANIFEST, PACK)
READ, READ_PLAIN = read_kos(KOS, PACK).manifest, read_kos(PLAIN, PACK).manifest
LESS = replace(MANIFEST, study=replace(STUDY, series=STUDY.series[:1]))
ENTRY = write_entry(replace(MANIFEST_ENTRY, modalities=("CT", "XX")), base=BASE, handle=HANDLE, pack=PACK)
PDF_NODE = write_entry(PDF_ENTRY, base=BASE, handle=HANDLE, pack=PACK)
INLINE = {**PDF_NODE, "content": [{"attachment": {"contentType": "application/pdf", "data": b64encode(PDF).decode()}}]}


def without(node: Node, *path: Any) -> Node:
    """The same without one member."""
    copy: Any = orjson.loads(orjson.dumps(node))
    held = copy
    for step in path[:-1]:
        held = held[step]
    del held[path[-1]]
    return dict(copy)


def read(entry: Node, **more: Any) -> Arrival:
    """An entry and what the reader makes of it."""
    documents, forgiven = read_entry(entry, f"{BASE}/DocumentReference/x", base=BASE, pack=PACK)
    return Arrival(
        document=entry, value=tuple(documents), forgiven=frozenset(forgiven), counted=frozenset(forgiven), **more
    )


def with_code(system: str, code: str) -> Node:
    """The entry with another body site."""
    node: Any = orjson.loads(orjson.dumps(ENTRY))
    for extension in node["extension"]:
        for holder in (extension, *extension.get("extension", ())):
            for one in holder.get("valueCodeableConcept", {}).get("coding", ()):
                if "odySite" in str(extension["url"]):
                    one.update(system=system, code=code, display="words")
    return dict(node)


SNOMED, DCM = PACK.systems["snomed"], PACK.systems["dcm"]
HEAD = read(with_code(SNOMED, "774007"))
SPINE, IN_DCM = read(with_code(SNOMED, "421060004")), read(with_code(DCM, "774007"))
OTHER_CATEGORY = read(
    {**ENTRY, "category": [{"coding": [{"system": PACK.aliases["category"][1], "code": "Medical-Imaging"}]}]}
)
PREFIXED = read(
    {
        **ENTRY,
        "context": {
            "related": [{"identifier": {**ENTRY["context"]["related"][0]["identifier"], "value": "oid:2.999.7.1"}}]
        },
    }
)
KOS_NODE = write_entry(KOS_ENTRY, base=BASE, handle=HANDLE, pack=PACK)
SPELT: Any = orjson.loads(orjson.dumps(KOS_NODE))
SPELT["content"][0]["format"]["system"] = "urn:oid:1.2.840.10008.2.6.1"
SEVERAL = read({**ENTRY, "content": [*ENTRY["content"], *PDF_NODE["content"]]})
SHOWN = read(ENTRY, told="CT XX Vertebral column")

ASKING = {"sent": {"accept": "application/dicom"}}
TWO_LINES = listed(("type", "18748-4")).node
PAGE = '<main><h2>Findings</h2><p>No haemorrhage</p><img src="/visits/1/rendered/1"></main>'
SECTION = {
    "title": "Findings",
    "text": {"div": "<div><p>No haemorrhage</p></div>"},
    "code": {"coding": [{"code": "unknown"}]},
}
SHOWN_REPORT = {
    "resourceType": "Bundle", "type": "document",
    "entry": [{"resource": {"resourceType": "Composition", "section": [SECTION]}}, {"resource": {"resourceType": "DiagnosticReport"}}],
}  # fmt: skip
FETCH = images(STUDY_UID, multipart(*INSTANCES.values()))


def event(number: str, transaction: str, side: str, **more: Any) -> Node:
    """An event as the trail has it, with its ending."""
    ended = {"outcome": "complete", "status": 200, "instances": 0, "bytes": 0} | more.pop("ended", {})
    return {
        "exchange_id": number, "transaction": transaction, "side": side, "at": NOW.isoformat(), "purpose": "TREAT", "role": "2212",
        "patient": {"system": "s", "value": "1"}, "token_jti": "j-1", "details": {}, "ended": ended,
    } | more  # fmt: skip


def trails(**changed: Any) -> Trails:
    """A token, a search, a transfer that lacks an instance, a refusal; and what both sides wrote down."""
    token = said("/oauth/token", b"{}", method="POST", sent={"authorization": ""})
    short = images(STUDY_UID, multipart(*INSTANCES.values()), status=206)
    spoken = (token, listed(), short, NAMED["unknown"])
    names = ("ITI-71", "ITI-67", "RAD-107", "ITI-68")
    moved = {"instances": 3, "bytes": 900}
    endings: tuple[Node, ...] = (
        {},
        {},
        moved | {"missing": {"count": 1, "named": ["1.2"]}},
        {"outcome": "refused", "status": 404},
    )
    sides = []
    for side in "BA":
        pairs = zip(spoken, names, endings, strict=True)
        sides.append([event(one.headers["x-request-id"], name, side, ended=ended) for one, name, ended in pairs])
    sides[1][0]["details"] = {"stage": "care"}
    made = Trails(spoken, tuple(sides[0]), tuple(sides[1]))
    return replace(made, **changed)


TRAILS = trails()


def spoilt(side: str, number: int, **members: Any) -> Trails:
    """One event of a side with other members."""
    events = list(getattr(TRAILS, side))
    events[number] = events[number] | members
    return replace(TRAILS, **{side: tuple(events)})


def ended(side: str, number: int, **members: Any) -> Trails:
    return spoilt(side, number, ended=getattr(TRAILS, side)[number]["ended"] | members)


AUDIT: Node = {
    "resourceType": "AuditEvent", "type": {"code": "rest"}, "recorded": "2026-03-03T12:00:00Z", "outcome": "0",
    "subtype": [
        {"system": "http://hl7.org/fhir/restful-interaction", "code": "search"}, {"system": "urn:ihe:event-type-code", "code": "ITI-67"},
    ],
    "agent": [
        {"type": {"coding": [{"code": "110153"}]}, "who": {"display": "BB"}, "network": {"address": "bb.example"}, "requestor": False},
        {"type": {"coding": [{"code": "IRCP"}]}, "who": {"display": "doctor"}, "requestor": True},
    ],
    "source": {"observer": {"display": "AA"}},
    "entity": [{"type": {"code": "2"}, "role": {"code": "24"}, "query": b64encode(b"DocumentReference?patient=x").decode()}],
}  # fmt: skip
FAILED = {
    **AUDIT,
    "outcome": "4",
    "meta": {"profile": ["https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.Query"]},
}
MINIMAL: Node = {
    "resourceType": "Bundle", "type": "collection",
    "entry": [{"resource": {
        "resourceType": "DiagnosticReport", "imagingStudy": [{"identifier": {"value": "urn:oid:1.2"}}], "basedOn": [{"identifier": {"value": "A"}}],
        "presentedForm": [{"contentType": "application/pdf", "data": b64encode(PDF).decode()}],
    }}],
}  # fmt: skip
REPORT_OF = ("entry", 0, "resource")
FIGURES: Node = {"study_bytes": 4_294_967_296, "peak_mib": {"A": 120, "B": 110}}
LAUNCH = Launch(
    "https://viewer.example/IHEInvokeImageDisplay?requestType=STUDY&studyUID={study}", {"study": "1.2&x"}, ""
)
LAUNCH = replace(LAUNCH, address="https://viewer.example/IHEInvokeImageDisplay?requestType=STUDY&studyUID=1.2%26x")
VERDICT = "Error - Unrecognized enumerated value <NUM> for value 1 of attribute <Value Type>\nWarning - anything\nKeyObjectSelectionDocument"

TOLD = Examination(
    study_instance_uid=STUDY_UID, manifest=FHIR_MANIFEST, kos=kos_node(KOS), reports=(REPORT_NODE,),
    accession_number=("urn:oid:2.999.5.1", "A2026-0042"),
)  # fmt: skip
UNNUMBERED = replace(MANIFEST, study=replace(STUDY, series=tuple(replace(one, number=None) for one in STUDY.series)))
HARM = ("AdverseEvent", "AllergyIntolerance")
UNHARMED = {**FULL_NODE, "entry": [one for one in FULL_NODE["entry"] if one["resource"]["resourceType"] not in HARM]}
OTHER = replace(LESS, uid="2.999.1")
NOT_ECHOED = replace(TRAILS.conversation[0], sent={**TRAILS.conversation[0].sent, "x-request-id": "z"})
SOUND: dict[str, tuple[Kind, Any]] = {
    "a raw PDF": (Kind.ARRIVAL, Arrival(document=PDF_NODE, value=PDF, sent=(NAMED["pdf"],))),
    "a wrapped PDF": (Kind.ARRIVAL, Arrival(document={}, value=PDF, sent=(NAMED["pdf wrapped"],))),
    "a PDF in its entry": (Kind.ARRIVAL, Arrival(document=INLINE, value=PDF)),
    "his report": (Kind.ARRIVAL, Arrival(document=REPORT_NODE, patient=HIM)),
    "another's report": (Kind.ARRIVAL, Arrival(document=REPORT_NODE, patient=ANOTHER, refused="wrong-patient")),
    "two manifests, one line": (Kind.ARRIVAL, Arrival(document=TWO_LINES, value=(STUDY_UID,))),
    "a key object selection": (Kind.ARRIVAL, Arrival(document=kos_node(KOS), value=READ)),
    "a plain one": (Kind.ARRIVAL, Arrival(document=kos_node(PLAIN), value=READ_PLAIN)),
    "its bytes": (Kind.ARRIVAL, Arrival(document=KOS, value=READ)),
    "a hostile one": (Kind.ARRIVAL, Arrival(document=b"DICM", refused="dicom-rejected")),
    "two of three images": (Kind.ARRIVAL, Arrival(document=FHIR_MANIFEST, value=frozenset([*INSTANCES][:2]), told="2 of 3")),
    "images by location": (Kind.ARRIVAL, Arrival(document=FHIR_MANIFEST, value=MANIFEST, sent=(FETCH,))),
    "an object of another": (Kind.ARRIVAL, Arrival(document=dicom(FIRST), patient=ANOTHER, refused="wrong-patient")),
    "a report on a page": (Kind.ARRIVAL, Arrival(document=SHOWN_REPORT, told=PAGE)),
    "an entry": (Kind.ARRIVAL, SHOWN),
    "the spine": (Kind.ARRIVAL, SPINE),
    "the other category": (Kind.ARRIVAL, OTHER_CATEGORY),
    "a UID with a prefix": (Kind.ARRIVAL, PREFIXED),
    "DCMUID by its number": (Kind.ARRIVAL, read(SPELT)),
    "several contents": (Kind.ARRIVAL, SEVERAL),
    "a region under DCM": (Kind.ARRIVAL, IN_DCM),
    "a manifest and its model": (Kind.WRITTEN, Written(MANIFEST, FHIR_MANIFEST)),
    "the other form and its model": (Kind.WRITTEN, Written(MANIFEST, kos_node(KOS))),
    "a report and its model": (Kind.WRITTEN, Written(REPORT, REPORT_NODE)),
    "a report of every chapter and its model": (Kind.WRITTEN, Written(FULL, FULL_NODE)),
    "the same bytes": (Kind.DELIVERY, Delivery(INSTANCES[FIRST], INSTANCES[FIRST])),
    "the same pixels": (Kind.DELIVERY, Delivery(dicom(FIRST, syntax=IMPLICIT), dicom(FIRST))),
    "both trails": (Kind.TRAILS, TRAILS),
    "an event": (Kind.EVENT, AUDIT),
    "a failed one": (Kind.EVENT, {**FAILED, "meta": {}}),
    "the minimal form": (Kind.MINIMAL, MINIMAL),
    "figures": (Kind.FIGURES, FIGURES),
    "a viewer's address": (Kind.LAUNCH, LAUNCH),
    "dciodvfy": (Kind.VERDICT, VERDICT),
    "what is told of a study": (Kind.EXAMINATION, TOLD),
}  # fmt: skip


def _of(name: str, **members: Any) -> tuple[Kind, Any]:
    kind, subject = SOUND[name]
    return kind, replace(subject, **members)


SPOILT: dict[str, tuple[set[str], tuple[Kind, Any]]] = {
    "wrapped bytes are kept wrapped": ({"RET-04"}, _of("a wrapped PDF", value=NAMED["pdf wrapped"].answer)),
    "a PDF is asked for again": ({"RET-05"}, _of("a PDF in its entry", sent=(NAMED["pdf"],))),
    "another's report is read": ({"RET-10"}, _of("another's report", refused=None)),
    "another media type is asked for": ({"RET-11"}, (Kind.ARRIVAL, Arrival(document=KOS_NODE, value=NAMED["pdf"].answer, sent=(NAMED["pdf"],)))),
    "two manifests, two lines": ({"RET-12"}, _of("two manifests, one line", value=(STUDY_UID, STUDY_UID))),
    "a series is not read": ({"MKO-17"}, _of("a key object selection", value=LESS)),
    "nothing is read of a plain one": ({"MKO-18"}, _of("a plain one", value=None)),
    "a hostile one is nothing": ({"MKO-22"}, _of("a hostile one", refused=None)),
    "what is not there is read": ({"MKO-22"}, _of("its bytes", value=LESS)),
    "fewer images, and nobody says so": ({"WAD-09"}, _of("two of three images", told="")),
    "images of something else": ({"WAD-16"}, _of("images by location", sent=(images("1.2.3", b""),))),
    "an object of another is kept": ({"WAD-18"}, _of("an object of another", refused=None)),
    "a section is not shown": ({"REP-23"}, _of("a report on a page", told="<main></main>")),
    "a script": ({"REP-24"}, _of("a report on a page", told=PAGE + "<script>x</script>")),
    "a picture from elsewhere": ({"REP-24"}, _of("a report on a page", told=PAGE + '<img src="https://evil.example/x">')),
    "the spine stays what it was": ({"TOL-01"}, _of("the spine", value=tuple(replace(one, regions=()) for one in SPINE.value))),
    "the other category is not read": ({"TOL-02"}, _of("the other category", value=())),
    "a prefix stays": ({"TOL-03"}, _of("a UID with a prefix", value=tuple(replace(one, study_instance_uids=("oid:2.999.7.1",)) for one in PREFIXED.value))),
    "a spelling is not known": ({"TOL-02", "TOL-04"}, _of("DCMUID by its number", value=())),
    "another unique id": ({"TOL-05"}, _of("an entry", value=tuple(replace(one, unique_id=PDF_ENTRY.unique_id) for one in SHOWN.value))),
    "no region": ({"TOL-06"}, (Kind.ARRIVAL, replace(HEAD, value=tuple(replace(one, regions=()) for one in HEAD.value)))),
    "one modality of two": ({"TOL-07"}, _of("an entry", value=tuple(replace(one, modalities=("CT",)) for one in SHOWN.value))),
    "one content of two": ({"TOL-08"}, _of("several contents", value=SEVERAL.value[:1])),
    "a foreign region is not said": ({"TOL-09"}, _of("a region under DCM", forgiven=frozenset())),
    "a tolerance is not counted": ({"TOL-10"}, _of("a region under DCM", counted=frozenset())),
    "an unknown code is dropped": ({"TOL-11"}, _of("an entry", told="CT Vertebral column")),
    "a description is left out": ({"MFH-26"}, (Kind.WRITTEN, Written(MANIFEST, without(FHIR_MANIFEST, "entry", 1, "resource", "description")))),
    "a language is left out": ({"MFH-29"}, (Kind.WRITTEN, Written(MANIFEST, without(FHIR_MANIFEST, "entry", 0, "resource", "language")))),
    "a series' number is left out": ({"MKO-12"}, (Kind.WRITTEN, Written(MANIFEST, kos_node(write_kos(UNNUMBERED, PACK))))),
    "an attester is left out": ({"REP-25"}, (Kind.WRITTEN, Written(REPORT, without(REPORT_NODE, "entry", 0, "resource", "attester")))),
    "a reaction is left out": ({"REP-25"}, (Kind.WRITTEN, Written(FULL, UNHARMED))),
    "other bytes": ({"WAD-10"}, _of("the same bytes", arrived=INSTANCES[FIRST] + b"\0\0")),
    "other pixels": ({"WAD-10"}, _of("the same pixels", arrived=dicom(FIRST).replace(b"\1\0\2\0", b"\1\0\1\0"))),
    "an id that is not echoed": ({"CAP-08"}, (Kind.TRAILS, replace(TRAILS, conversation=(NOT_ECHOED, *TRAILS.conversation[1:])))),
    "an exchange that Country B did not write down": ({"AUD-01", "AUD-05", "CAP-08"}, (Kind.TRAILS, replace(TRAILS, asking=TRAILS.asking[1:]))),
    "a transfer about nobody": ({"AUD-01"}, (Kind.TRAILS, spoilt("answering", 1, patient=None))),
    "two names for one transaction": ({"AUD-05"}, (Kind.TRAILS, spoilt("asking", 1, transaction="ITI-68"))),
    "a refusal that went well": ({"AUD-06"}, (Kind.TRAILS, ended("answering", 3, outcome="complete"))),
    "bytes that differ": ({"AUD-07"}, (Kind.TRAILS, ended("asking", 2, bytes=1))),
    "a use without its token": ({"AUD-08"}, (Kind.TRAILS, spoilt("asking", 1, token_jti=""))),
    "given and not written": ({"AUD-01", "AUD-05", "AUD-09", "CAP-08"}, (Kind.TRAILS, replace(TRAILS, answering=TRAILS.answering[:1] + TRAILS.answering[2:]))),
    "clocks apart": ({"AUD-11"}, (Kind.TRAILS, spoilt("asking", 1, at="2026-03-03T12:01:00+00:00"))),
    "no purpose": ({"SEC-07"}, (Kind.TRAILS, spoilt("answering", 1, purpose=""))),
    "what lacks is not named": ({"WAD-08"}, (Kind.TRAILS, ended("answering", 2, missing={}))),
    "images before the relationship": ({"WAD-22"}, (Kind.TRAILS, spoilt("answering", 0, details={"stage": "identify"}))),
    "a search without its query": ({"AUD-02"}, (Kind.EVENT, {**AUDIT, "entity": []})),
    "REST alone": ({"AUD-03"}, (Kind.EVENT, {**AUDIT, "subtype": AUDIT["subtype"][:1]})),
    "a professional who did not ask": ({"AUD-04"}, (Kind.EVENT, {**AUDIT, "agent": AUDIT["agent"][:1]})),
    "a failure that claims a profile": ({"AUD-06"}, (Kind.EVENT, FAILED)),
    "no time": ({"AUD-10"}, (Kind.EVENT, without(AUDIT, "recorded"))),
    "a minimal one without its order": ({"REP-20"}, (Kind.MINIMAL, without(MINIMAL, *REPORT_OF, "basedOn"))),
    "200 MiB held": ({"WAD-11"}, (Kind.FIGURES, {**FIGURES, "peak_mib": {"A": 4096, "B": 110}})),
    "an address with more in it": ({"WAD-21"}, (Kind.LAUNCH, replace(LAUNCH, address=LAUNCH.address.replace("%26", "&")))),
    "dciodvfy finds an error": ({"MKO-19"}, (Kind.VERDICT, "Error - Missing attribute Type 1 Required")),
    "a manifest under another UID": ({"MFH-03", "MKO-20"}, (Kind.EXAMINATION, replace(TOLD, kos=kos_node(write_kos(OTHER, PACK))))),
    "a report about another study": ({"REP-11"}, (Kind.EXAMINATION, Examination(study_instance_uid="1.2.3", reports=(REPORT_NODE,)))),
    "another number in the images": ({"REP-12"}, (Kind.EXAMINATION, replace(TOLD, accession_number=("urn:oid:2.999.5.9", "A")))),
}  # fmt: skip


@pytest.mark.requirement("TOL-02", "TOL-03", "TOL-04", "TOL-05", "TOL-07", "MKO-12", "REP-25", "MFH-26", "MFH-29")
@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_fails_nothing(name: str) -> None:
    assert examine(*SOUND[name], PACK) == []


@pytest.mark.parametrize("how", SPOILT)
def test_what_is_spoilt_fails_exactly_what_it_must(how: str) -> None:
    expected, (kind, subject) = SPOILT[how]

    assert {finding.requirement for finding in examine(kind, subject, PACK)} == expected


def test_every_requirement_of_this_kind_is_failed_by_something() -> None:
    kinds = {kind for kind, _ in SOUND.values()}
    asked = {id for id, row in REQUIREMENTS.items() if row.kinds[0] in kinds}

    elsewhere = {"MFH-18", "MFH-25", "MFH-27", "REP-22", "WAD-13"}  # in test_mutants.py and test_conversations.py
    assert asked - {id for expected, _ in SPOILT.values() for id in expected} == elsewhere


def test_a_subject_of_another_kind_is_no_subject() -> None:
    with pytest.raises(TypeError):
        examine(Kind.ARRIVAL, {}, PACK)
