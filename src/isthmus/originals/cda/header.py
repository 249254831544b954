"""What a list and a register need to know of a CDA document, and the PDF inside one of level 1.

The text of the document is not read here: it is kept and given as it was issued. An identifier that names no issuer is none.

Source: CDA R2; PS3.20; OrCD; wire.md §1.4.4.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from isthmus.errors import MalformedRequest
from isthmus.model.identifiers import Identifier, PatientIdentifier, is_uid
from isthmus.model.people import HumanName, Organisation
from isthmus.originals.cda.tree import read_tree
from isthmus.originals.recognise import CDA_ROOT
from isthmus.wire.report.document import ReportIndex

DCM: Final = "1.2.840.10008.2.16.4"
STUDY, MODALITY = "113014", "121139"
GENDERS: Final = {"M": "male", "F": "female", "UN": "other"}
TITLE: Final = "Imaging report"
_V3, _PS3_20 = "{urn:hl7-org:v3}", "{urn:dicom-org:ps3-20}"
_MOMENT: Final = re.compile(r"(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)(\d\d)?(?:\.\d+)?)?([+-]\d{4})?", re.ASCII)


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
    role = _at(root, "recordTarget", "patientRole")
    patients = tuple(
        PatientIdentifier(one.system, one.value) for one in _identifiers(role) if one.system and _is_number(one)
    )
    unique = next(_identifiers(root), None)
    if not patients or unique is None:
        raise MalformedRequest("the document names no patient, or not itself", path="recordTarget")
    person, order = _at(role, "patient"), _at(root, "inFulfillmentOf", "order")
    gender = _at(person, "administrativeGenderCode").get("code", "")
    event = _at(root, "documentationOf", "serviceEvent")
    labelled = tuple(_identifiers(order, "accessionNumber", _PS3_20))
    index = ReportIndex(
        patient=patients[0],
        names=tuple(name for one in _all(person, "name") if (name := _name(one)).family),
        birth_date=moment(_at(person, "birthTime").get("value", ""))[:10],
        gender=GENDERS.get(gender, "unknown"),
        unique_id=next(_identifiers(root, "setId"), unique),
        title=_words(_at(root, "title")) or TITLE,
        study_instance_uids=tuple(dict.fromkeys(_studies(root, event))),
        accession_numbers=labelled,
        status="final" if root.find(f"{_V3}legalAuthenticator") is not None else "",
        version=_at(root, "versionNumber").get("value"),
        language=_at(root, "languageCode").get("code"),
        authors=tuple(dict.fromkeys(_authors(root))),
        custodian=_organisation(_at(root, "custodian", "assignedCustodian", "representedCustodianOrganization")),
        created=moment(_at(root, "effectiveTime").get("value", "")),
        modalities=tuple(sorted(set(_modalities(root)))),
        regions=(),
        period_start=_started(event),
    )
    return CdaDocument(patients, unique, tuple(_identifiers(order)), index)


def presented_form(data: bytes) -> tuple[str, bytes] | None:
    """Media type and bytes of what a document of level 1 holds; None when it has a structured body. Raises MalformedRequest."""
    text = read_tree(data).find(f"{_V3}component/{_V3}nonXMLBody/{_V3}text")
    if text is None or text.get("representation") != "B64":
        return None
    try:
        return text.get("mediaType", "text/plain"), b64decode("".join((text.text or "").split()), validate=True)
    except ValueError:
        raise MalformedRequest("no base64", path="nonXMLBody.text") from None


def moment(text: str) -> str:
    """A point in time as FHIR dateTime: with a time of day only where the offset is said; empty for what is none."""
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        return ""
    year, month, day, hour, minute, second, offset = match.groups()
    date = "-".join(part for part in (year, month, day) if part)
    if hour is None or offset is None or day is None:
        return date
    return f"{date}T{hour}:{minute}:{second or '00'}{offset[:3]}:{offset[3:]}"


_NOTHING: Final = Element("nothing")


def _at(node: Element, *path: str) -> Element:
    """The first element of a path; one that is not there is empty."""
    found = node.find("/".join(f"{_V3}{name}" for name in path))
    return _NOTHING if found is None else found


def _all(node: Element, name: str) -> list[Element]:
    return node.findall(f"{_V3}{name}")


def _words(node: Element) -> str:
    return " ".join("".join(node.itertext()).split())


def _identifiers(node: Element, name: str = "id", namespace: str = _V3) -> Iterator[Identifier]:
    """Instance identifiers: root and extension, or a root alone, which then is the value."""
    for one in node.findall(f"{namespace}{name}"):
        root, extension = (one.get("root") or "").strip(), (one.get("extension") or "").strip()
        if not root:
            continue
        urn = f"urn:oid:{root}" if is_uid(root) else f"urn:uuid:{root.lower()}"
        yield Identifier(urn, extension) if extension else Identifier("urn:ietf:rfc:3986", urn)


def _is_number(identifier: Identifier) -> bool:
    return (identifier.system or "").startswith("urn:oid:") and len(identifier.value) <= 128


def _name(node: Element) -> HumanName:
    family = " ".join(filter(None, map(_words, _all(node, "family"))))
    given = tuple(filter(None, map(_words, _all(node, "given"))))
    return HumanName(family, given) if family or given else HumanName(_words(node))


def _authors(root: Element) -> Iterator[str]:
    for author in _all(root, "author"):
        name = _name(_at(author, "assignedAuthor", "assignedPerson", "name"))
        shown = " ".join((*name.given, name.family)).strip()
        shown = shown or _words(_at(author, "assignedAuthor", "representedOrganization", "name"))
        if shown:
            yield shown


def _organisation(node: Element) -> Organisation | None:
    name = _words(_at(node, "name"))
    known = next((one for one in _identifiers(node) if one.system != "urn:ietf:rfc:3986"), None)
    if not name:
        return None
    return Organisation(name, known.value, known.system) if known else Organisation(name)


def _coded(root: Element, tag: str, code: str) -> Iterator[Element]:
    for one in root.iter(f"{_V3}{tag}"):
        said = _at(one, "code")
        if said.get("code") == code and said.get("codeSystem") == DCM:
            yield one


def _studies(root: Element, event: Element) -> list[str]:
    """Of the object catalogue where there is one; else what the service event is named. Source: PS3.20 §9.1, §7.2."""
    listed = [one.get("root", "") for act in _coded(root, "act", STUDY) for one in _all(act, "id")]
    named = [one.get("root", "") for one in _all(event, "id") if not one.get("extension")]
    return [uid for uid in (listed or named) if is_uid(uid)]


def _modalities(root: Element) -> Iterator[str]:
    for series in root.iter(f"{_V3}qualifier"):
        if _at(series, "name").get("code") == MODALITY and (code := _at(series, "value").get("code")):
            yield code


def _started(event: Element) -> str | None:
    when = _at(event, "effectiveTime")
    said = (when.get("value"), _at(when, "low").get("value"), _at(when, "high").get("value"))
    return next((found for one in said if one and (found := moment(one))), None)
