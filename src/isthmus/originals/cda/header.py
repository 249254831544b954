"""What a list and a register need to know of a CDA document, and the PDF inside one of level 1.

The text of the document is not read here: it is kept and given as it was issued. An identifier that names no issuer is none.

Source: CDA R2; PS3.20; OrCD; wire.md §1.4.4.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from isthmus.errors import MalformedRequest
from isthmus.model.confidentiality import beyond_normal, highest, label_of
from isthmus.model.identifiers import Identifier, PatientIdentifier, is_uid
from isthmus.originals.cda.elements import (
    V3,
    all_of,
    at,
    identifiers,
    is_number,
    moment,
    name_of,
    organisation,
    period,
    words,
)
from isthmus.originals.cda.tree import read_tree
from isthmus.originals.recognise import CDA_ROOT
from isthmus.wire.report.document import ReportIndex

DCM: Final = "1.2.840.10008.2.16.4"
STUDY, MODALITY = "113014", "121139"
GENDERS: Final = {"M": "male", "F": "female", "UN": "other"}
TITLE: Final = "Imaging report"
PS3_20: Final = "{urn:dicom-org:ps3-20}"


@dataclass(frozen=True, slots=True)
class CdaDocument:
    """A CDA document as the archive sees it. `patients` are all identifiers it gives the one person, the first one first."""

    patients: tuple[PatientIdentifier, ...]
    unique_id: Identifier  # of this version; the index has what all versions share
    order_numbers: tuple[Identifier, ...]  # which of them is the accession number, only their issuer tells
    index: ReportIndex

    def __repr__(self) -> str:
        return "CdaDocument(…)"


def read_cda(data: bytes) -> CdaDocument:
    """Read the header. Raises MalformedRequest when this is no CDA document or does not name its patient, and TooLarge."""
    root = read_tree(data)
    if root.tag != CDA_ROOT:
        raise MalformedRequest("no CDA document")
    return header_of(root)


def header_of(root: Element) -> CdaDocument:
    """The header of a document that has been parsed. Raises MalformedRequest when it does not name its patient."""
    role = at(root, "recordTarget", "patientRole")
    patients = tuple(
        PatientIdentifier(one.system, one.value) for one in identifiers(role) if one.system and is_number(one)
    )
    unique = next(identifiers(root), None)
    if not patients or unique is None:
        raise MalformedRequest("the document names no patient, or not itself", path="recordTarget")
    person, order = at(role, "patient"), at(root, "inFulfillmentOf", "order")
    gender = at(person, "administrativeGenderCode").get("code", "")
    event = at(root, "documentationOf", "serviceEvent")
    labelled = tuple(identifiers(order, "accessionNumber", PS3_20))
    index = ReportIndex(
        patient=patients[0],
        names=tuple(name for one in all_of(person, "name") if (name := name_of(one)).family),
        birth_date=moment(at(person, "birthTime").get("value", ""))[:10],
        gender=GENDERS.get(gender, "unknown"),
        unique_id=next(identifiers(root, "setId"), unique),
        title=words(at(root, "title")) or TITLE,
        study_instance_uids=tuple(dict.fromkeys(studies_of(root, event))),
        accession_numbers=labelled,
        status="final" if root.find(f"{V3}legalAuthenticator") is not None else "",
        version=at(root, "versionNumber").get("value"),
        language=at(root, "languageCode").get("code"),
        authors=tuple(dict.fromkeys(_authors(root))),
        custodian=organisation(at(root, "custodian", "assignedCustodian", "representedCustodianOrganization")),
        created=moment(at(root, "effectiveTime").get("value", "")),
        modalities=tuple(sorted(set(modalities_of(root)))),
        regions=(),
        period_start=period(at(event, "effectiveTime"))[0],
        sensitivity=beyond_normal(confidentiality_of(root)),
        replaces=related(root, "RPLC"),
    )
    return CdaDocument(patients, unique, tuple(identifiers(order)), index)


def related(root: Element, relation: str) -> Identifier | None:
    """The first document to which this one stands in a relation. Source: CDA R2 (relatedDocument)."""
    parents = [at(one, "parentDocument") for one in all_of(root, "relatedDocument") if one.get("typeCode") == relation]
    return next(identifiers(parents[0]), None) if parents else None


def confidentiality_of(root: Element) -> str | None:
    """The highest of what the document says of itself and of its sections."""
    return highest(label_of(one.get("code")) for one in root.iter(f"{V3}confidentialityCode"))


def presented_form(data: bytes) -> tuple[str, bytes] | None:
    """Media type and bytes of what a document of level 1 holds; None when it has a structured body. Raises MalformedRequest."""
    return form_of(read_tree(data))


def form_of(root: Element) -> tuple[str, bytes] | None:
    """The same of a document that has been parsed."""
    text = root.find(f"{V3}component/{V3}nonXMLBody/{V3}text")
    if text is None or text.get("representation") != "B64":
        return None
    try:
        return text.get("mediaType", "text/plain"), b64decode("".join((text.text or "").split()), validate=True)
    except ValueError:
        raise MalformedRequest("no base64", path="nonXMLBody.text") from None


def _authors(root: Element) -> Iterator[str]:
    for author in all_of(root, "author"):
        name = name_of(at(author, "assignedAuthor", "assignedPerson", "name"))
        shown = " ".join((*name.given, name.family)).strip()
        shown = shown or words(at(author, "assignedAuthor", "representedOrganization", "name"))
        if shown:
            yield shown


def _coded(root: Element, tag: str, code: str) -> Iterator[Element]:
    for one in root.iter(f"{V3}{tag}"):
        said = at(one, "code")
        if said.get("code") == code and said.get("codeSystem") == DCM:
            yield one


def studies_of(root: Element, event: Element) -> list[str]:
    """Of the object catalogue where there is one; else what the service event is named. Source: PS3.20 §9.1, §7.2."""
    listed = [one.get("root", "") for act in _coded(root, "act", STUDY) for one in all_of(act, "id")]
    named = [one.get("root", "") for one in all_of(event, "id") if not one.get("extension")]
    return [uid for uid in (listed or named) if is_uid(uid)]


def modalities_of(root: Element) -> Iterator[str]:
    for series in root.iter(f"{V3}qualifier"):
        if at(series, "name").get("code") == MODALITY and (code := at(series, "value").get("code")):
            yield code
