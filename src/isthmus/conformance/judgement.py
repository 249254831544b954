"""One file, judged: what it is, by content, and everything that is wrong with it.

A document, an answer to a search or a capability statement is held against the structure of R4 and the requirements of the border; a
single resource against R4; a key object selection, an instance, a CDA document or a PDF against their own rules. What cannot be read
is an error of its own. Source: wire.md §5.4; R4; interfaces.md §2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from isthmus.conformance.agreement import Facts, cda_facts, instance_facts, kos_facts, manifest_facts, report_facts
from isthmus.conformance.dataset import Coverage, coverage
from isthmus.conformance.evidence import Conversation, kos_node
from isthmus.conformance.media import cda_faults, dicom_faults, pdf_faults
from isthmus.conformance.profiles.claims import profile_faults
from isthmus.conformance.profiles.known import Profiles
from isthmus.conformance.requirement import Finding, Kind, Severity, document_of, examine
from isthmus.conformance.requirements import all as groups
from isthmus.conformance.structure import structure_faults
from isthmus.dicom.faults import REASONS
from isthmus.dicom.header import KEY_OBJECT_SELECTION, Header
from isthmus.dicom.windows import Source
from isthmus.errors import IsthmusError
from isthmus.fhir import bundles
from isthmus.fhir import elements as el
from isthmus.fhir.elements import Node
from isthmus.model.imaging import Manifest
from isthmus.model.report.document import ImagingReport
from isthmus.originals.beside import Beside
from isthmus.originals.cda.report import report_of_cda
from isthmus.originals.cda.tree import root_name
from isthmus.originals.recognise import CDA_ROOT
from isthmus.wire.kos_reading import KeyObjects, purpose_of, read_document, read_kos
from isthmus.wire.manifests import read_manifest
from isthmus.wire.packs.pack import Pack
from isthmus.wire.report.document import read_report

MAX_BYTES: Final = 64 * 1024 * 1024
UNREADABLE: Final = "unreadable"
_SEARCHES: Final = {"DocumentReference": Kind.SEARCH, "Patient": Kind.PATIENTS, "ImagingStudy": Kind.STUDIES}
_ASKED: Final = re.compile(r"/([A-Z][A-Za-z]{1,63})(?:/_search)?$")
_BARE: Final = re.compile(
    rb" ?\x08\x00[\x00\x01\x05\x06\x08\x12-\x16\x18]\x00|\x02\x00[\x00\x01\x02\x10]\x00(?:UL|OB|UI)"
)
"""How a data set begins that is no file: at its first attributes, or at the meta information."""
_ADVICE: Final = {
    "CAP": "Let the border answer as its capability statement and the contract say.",
    "PID": "Give of a patient what the contract names, and nothing to whom does not name one person.",
    "DRS": "Let the search filter as its parameter is defined.",
    "DRC": "Complete the DocumentReference from the document it describes.",
    "RET": "Give the document as it was issued, under the address that the list names.",
    "MFH": "Make the manifest anew from the study; `isthmus convert` shows how one is written.",
    "MKO": "Make the key object selection anew from the study; `isthmus convert` shows how one is written.",
    "REP": "Complete the report from what was dictated and ordered; say what is not known as not known.",
    "WAD": "Give images as PS3.18 says.",
    "SEC": "Refuse what is not shown to be allowed.",
    "TOL": "Nothing to do but to tell whoever made it.",
}
assert groups.GROUPS


@dataclass(frozen=True, slots=True)
class Judged:
    """What a file is, what is wrong with it, what others of its folder are compared with, and what it tells of the data set."""

    kind: str
    findings: tuple[Finding, ...]
    facts: Facts | None = None
    coverage: tuple[Coverage, ...] = ()


def judge(source: Source, pack: Pack, profiles: Profiles | None = None) -> Judged:
    """Judge a file, FHIR also by profiles. Whatever stands in it, an answer comes: what cannot be read is a finding."""
    head = source.read_at(0, min(4096, source.size_bytes))
    if head[128:132] == b"DICM":
        return _dicom(source, pack)
    if source.size_bytes > MAX_BYTES:
        return unreadable("a file of more than 64 MiB is no document")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:5]
    data = source.read_at(0, source.size_bytes)
    if start == b"%PDF-":
        return Judged("PDF", tuple(pdf_faults(data)))
    if start[:1] == b"<" or head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _xml(data)
    if start[:1] in (b"{", b"["):
        return _json(data, pack, profiles)
    if _BARE.match(head):
        words = f"{REASONS['not-dicom'].rstrip('.')}: a data set without preamble and file meta information"
        advice = "Export it as a file (PS3.10): a reader needs the transfer syntax, which stands in the file meta information."
        found = Finding("DICOM-not-dicom", Severity.ERROR, words, "file", "PS3.10", advice)
        return Judged(UNREADABLE, (found,))
    return unreadable("neither FHIR nor DICOM nor CDA nor PDF" if head else "an empty file")


def judge_conversation(conversation: Conversation, pack: Pack, profiles: Profiles | None = None) -> list[Finding]:
    """Judge what a live border answered: every answer by R4 and by profiles, and the whole by the requirements.

    Paths begin with what was asked.
    """
    found: list[Finding] = []
    for one in conversation:
        at = f"{one.method} {one.path}"
        if one.node.get("resourceType"):
            found += [replace(fault, path=f"{at}: {fault.path}") for fault in _resource_faults(one.node, profiles)]
        asked = _asked(Kind.EXCHANGE, one, pack)
        found += [replace(fault, path=f"{at}: {fault.path}" if fault.path else at) for fault in asked]
    seen = {(one.requirement, one.path.partition(": ")[2]) for one in found}
    whole = _asked(Kind.CONVERSATION, conversation, pack)
    return found + [one for one in whole if (one.requirement, one.path) not in seen]


def unreadable(words: str, path: str = "file") -> Judged:
    """The judgement of what cannot be read."""
    advice = "Export the file again; if it is of another kind, leave it out."
    return Judged(UNREADABLE, (Finding("READ-file", Severity.ERROR, words, path, "interfaces.md", advice),))


def _xml(data: bytes) -> Judged:
    root = root_name(data)
    if root == CDA_ROOT:
        found = cda_faults(data)
        try:
            told = report_of_cda(data, Beside())
        except IsthmusError:  # said by the faults
            return Judged("CDA", tuple(found))
        return Judged("CDA", tuple(found), cda_facts(told), tuple(coverage(told)))
    if root is not None and root.startswith("{http://hl7.org/fhir}"):
        return unreadable("FHIR as XML, which is not read: the border speaks JSON")
    return unreadable(
        "XML that is no CDA document" if root else "no XML that is read: not well formed, or with a document type"
    )


def _dicom(source: Source, pack: Pack) -> Judged:
    header, found = dicom_faults(source)
    if header is None:
        broken = any(one.severity is Severity.ERROR for one in found)
        return Judged(UNREADABLE if broken else "DICOM directory", tuple(found))
    if header.sop_class_uid == KEY_OBJECT_SELECTION and source.size_bytes <= MAX_BYTES:
        return _kos(source.read_at(0, source.size_bytes), header, found, pack)
    return Judged("DICOM instance", tuple(found), instance_facts(header))


def _kos(data: bytes, header: Header, found: list[Finding], pack: Pack) -> Judged:
    try:
        if purpose_of(read_document(data)[1], pack) is not KeyObjects.MANIFEST and not _read_as_manifest(data, pack):
            return Judged("key objects of a study", tuple(found), instance_facts(header))
        found += _asked(Kind.KOS, kos_node(data), pack)
        told = read_kos(data, pack).manifest
        return Judged("DICOM manifest", tuple(found), kos_facts(told), tuple(coverage(told)))
    except IsthmusError as error:
        found.append(_misread(error, "key object selection"))
        return Judged("DICOM manifest", tuple(found))


def _read_as_manifest(data: bytes, pack: Pack) -> bool:
    try:
        read_kos(data, pack)
    except IsthmusError:
        return False
    return True


def _json(data: bytes, pack: Pack, profiles: Profiles | None) -> Judged:
    try:
        node = orjson.loads(data.lstrip(b"\xef\xbb\xbf"))
    except (orjson.JSONDecodeError, RecursionError):
        return unreadable("JSON that is cut or not well formed")
    if not isinstance(node, dict) or not isinstance(node.get("resourceType"), str):
        if isinstance(node, dict) and "token_endpoint" in node:
            return Judged("configuration", tuple(_asked(Kind.SMART, node, pack)))
        return unreadable("JSON that is no FHIR resource: no resourceType", "resourceType")
    found = _resource_faults(node, profiles)
    kind = _kind(node, pack)
    if kind is None:
        name = node["resourceType"]
        return Judged(f"FHIR {name}" if name.isalpha() and len(name) < 64 else "FHIR resource", tuple(found))
    found += _asked(kind, node, pack)
    told, facts, more = _told(kind, data, node, pack)
    return Judged(f"FHIR {kind.value}", (*found, *more), facts, tuple(coverage(told)) if told is not None else ())


def _resource_faults(node: Node, profiles: Profiles | None) -> list[Finding]:
    """What R4 finds, and profiles; not how often something is there where R4 finds that wrong already."""
    found = structure_faults(node)
    if profiles is None:
        return found
    told = {one.path for one in found if one.requirement == "R4-cardinality"}
    more = profile_faults(node, profiles)
    return found + [one for one in more if one.requirement != "PROFILE-cardinality" or one.path not in told]


def _kind(node: Node, pack: Pack) -> Kind | None:
    """Which requirements of the border are about this resource; None for one that stands alone."""
    name = node["resourceType"]
    if name in ("CapabilityStatement", "DocumentReference"):
        return Kind.CAPABILITY if name == "CapabilityStatement" else Kind.ENTRY
    if name != "Bundle":
        return None
    if node.get("type") == "searchset":
        told = [el.text(entry, "resource", "resourceType") for entry in el.children(node, "entry")]
        asked = _ASKED.search((bundles.link(node, "self") or "").partition("?")[0])
        return next((_SEARCHES[one] for one in (*told, asked and asked[1]) if one in _SEARCHES), None)
    document = document_of(node, pack)
    if document is not None and not (document[0] is Kind.MINIMAL and not _holds(node, "DiagnosticReport")):
        return document[0]
    if _holds(node, "Composition"):  # a document whose frame is broken is still one
        return (
            Kind.REPORT if _holds(node, "DiagnosticReport") else Kind.MANIFEST if _holds(node, "ImagingStudy") else None
        )
    return None


def _holds(node: Node, kind: str) -> bool:
    return any(el.text(entry, "resource", "resourceType") == kind for entry in el.children(node, "entry"))


def _told(
    kind: Kind, data: bytes, node: Node, pack: Pack
) -> tuple[ImagingReport | Manifest | None, Facts | None, list[Finding]]:
    """A document read as a country would read it, what it says of its study, and what was forgiven for that."""
    forgiven: list[str] = []
    told: ImagingReport | Manifest
    try:
        if kind is Kind.MANIFEST:
            read = read_manifest(data, pack)
            forgiven += read.tolerances
            told, facts = read.manifest, manifest_facts(read.manifest, node)
        elif kind is Kind.REPORT:
            told = read_report(data, pack, forgive=forgiven.append)
            facts = report_facts(told, node)
        else:
            return None, None, []
    except IsthmusError as error:
        return None, None, [_misread(error, "Bundle")]
    said = [f"read with forbearance: {word}" for word in dict.fromkeys(forgiven)]
    return (
        told,
        facts,
        [Finding("TOL-10", Severity.INFORMATION, words, "Bundle", "R", _ADVICE["TOL"]) for words in said],
    )


def _misread(error: IsthmusError, path: str) -> Finding:
    where = error.facts.get("path")
    advice = "A country that receives this cannot use it: give what is missing."
    return Finding("READ-document", Severity.ERROR, error.message, str(where) if where else path, "wire.md", advice)


def _asked(kind: Kind, subject: Any, pack: Pack) -> Iterator[Finding]:
    """What the requirements of a kind find, each at its place and with advice."""
    try:
        found = examine(kind, subject, pack)
    except Exception as fault:  # foreign data may be of any shape; a check must not end the others
        words = f"the requirements could not be tried ({type(fault).__name__}): the resource is not well formed"
        yield Finding("READ-shape", Severity.ERROR, words, kind.value, "R", "Mend the structure first.")
        return
    for one in found:
        advice = _ADVICE.get(one.requirement.partition("-")[0], "Make it fulfil the requirement.")
        yield replace(
            one, statement=f"does not hold: {one.statement}", path=_located(subject, kind, one.path), advice=advice
        )


_START: Final = re.compile(r"([A-Z][A-Za-z]+)(?:: ?|\.|$)")


def _located(node: Any, kind: Kind, path: str) -> str:
    """The path from the outermost element: a requirement names the resource of a Bundle by its type."""
    if not isinstance(node, dict):
        return path
    if kind is Kind.KOS or node.get("resourceType") != "Bundle":
        outer = str(node.get("resourceType") or kind.value)
        return path if path.startswith(outer) or kind is Kind.KOS else f"{outer}.{path}" if path else outer
    if not path or path.startswith("Bundle"):
        return path or "Bundle"
    named = _START.match(path)
    if named is None:
        return f"Bundle.{path}"
    rest = path[named.end() :]
    places = [
        number for number, entry in enumerate(el.children(node, "entry"))
        if el.text(entry, "resource", "resourceType") == named[1]
    ]  # fmt: skip
    place = f"[{places[0]}]" if len(places) == 1 else ""
    return f"Bundle.entry{place}.resource.{named[1]}" + (f".{rest}" if rest else "")
