"""Elements of a CDA document: found by path, read as identifiers, names, moments and codes. What is not there is empty.

An identifier that names no issuer is none; a value that is told to be unknown (`nullFlavor`) is not told.

Source: CDA R2; HL7 V3 (data types).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element

from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier, is_uid
from isthmus.model.people import Address, HumanName, Organisation, Telecom
from isthmus.originals.coded import system_of
from isthmus.wire.kos_values import Moment

V3: Final = "{urn:hl7-org:v3}"
TYPE: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"
_MOMENT: Final = re.compile(r"(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)(\d\d)?(?:\.\d+)?)?([+-]\d{4})?", re.ASCII)
_LINES: Final = ("streetAddressLine", "streetName", "houseNumber", "additionalLocator")
_USES: Final = {
    "H": "home",
    "HP": "home",
    "HV": "home",
    "WP": "work",
    "DIR": "work",
    "PUB": "work",
    "TMP": "temp",
    "MC": "mobile",
}
_SCHEMES: Final = {"tel": "phone", "fax": "fax", "mailto": "email", "http": "url", "https": "url", "sms": "sms"}


def moment(text: str) -> str:
    """A point in time as FHIR dateTime: with a time of day only where the offset is said; empty for what is none."""
    match = _MOMENT.fullmatch(text.strip())
    if match is None:
        return ""
    year, month, day, hour, minute, second, offset = match.groups("")
    return Moment.of_dicom(year + month + day, hour + minute + (second or "00") if hour else "", offset).fhir() or ""


NOTHING: Final = Element("nothing")


def at(node: Element, *path: str) -> Element:
    """The first element of a path; one that is not there is empty."""
    found = node.find("/".join(f"{V3}{name}" for name in path))
    return NOTHING if found is None else found


def all_of(node: Element, name: str) -> list[Element]:
    return node.findall(f"{V3}{name}")


def words(node: Element) -> str:
    return " ".join("".join(node.itertext()).split())


def identifiers(node: Element, name: str = "id", namespace: str = V3) -> Iterator[Identifier]:
    """Instance identifiers: root and extension, or a root alone, which then is the value."""
    for one in node.findall(f"{namespace}{name}"):
        root, extension = (one.get("root") or "").strip(), (one.get("extension") or "").strip()
        if not root:
            continue
        urn = f"urn:oid:{root}" if is_uid(root) else f"urn:uuid:{root.lower()}"
        yield Identifier(urn, extension) if extension else Identifier("urn:ietf:rfc:3986", urn)


def is_number(identifier: Identifier) -> bool:
    return (identifier.system or "").startswith("urn:oid:") and len(identifier.value) <= 128


def name_of(node: Element) -> HumanName:
    family = " ".join(filter(None, map(words, all_of(node, "family"))))
    given, prefix, suffix = (
        tuple(filter(None, map(words, all_of(node, part)))) for part in ("given", "prefix", "suffix")
    )
    if not family and not given:
        return HumanName(words(node))
    return HumanName(family, given, prefix=prefix, suffix=suffix)


def period(node: Element) -> tuple[str | None, str | None]:
    """From when, until when: of a point in time, or an interval of which maybe one end is told."""
    low, high = (moment(at(node, end).get("value", "")) for end in ("low", "high"))
    return moment(node.get("value", "")) or low or high or None, (high or None) if low else None


def code_of(node: Element) -> Code | None:
    """A code with the words that were chosen for it; one without system or value is none."""
    value = (node.get("code") or "").strip()
    if not value or node.get("nullFlavor"):
        return None
    shown = node.get("displayName") or words(at(node, "originalText"))
    return Code(system_of((node.get("codeSystem") or "").strip()), value, shown or None)


def addresses(node: Element) -> tuple[Address, ...]:
    """Postal addresses. Source: HL7 V3 (AD)."""
    found = []
    for one in all_of(node, "addr"):
        parts = {name: words(at(one, name)) or None for name in ("city", "postalCode", "state", "country")}
        lines = tuple(filter(None, (words(line) for name in _LINES for line in all_of(one, name))))
        whole = None if lines or any(parts.values()) else words(one) or None
        if lines or any(parts.values()) or whole:
            found.append(
                Address(lines, parts["city"], parts["postalCode"], parts["state"], parts["country"], whole, _use(one))
            )
    return tuple(found)


def telecoms(node: Element) -> tuple[Telecom, ...]:
    """Telephone, mail and the like. Source: HL7 V3 (TEL)."""
    found = []
    for one in all_of(node, "telecom"):
        scheme, colon, rest = (one.get("value") or "").strip().partition(":")
        kind = _SCHEMES.get(scheme.lower()) if colon else None
        value = rest if kind in ("phone", "fax", "email", "sms") else f"{scheme}{colon}{rest}"
        if value:
            found.append(Telecom(value, kind, _use(one)))
    return tuple(found)


def _use(node: Element) -> str | None:
    return next((_USES[use] for use in (node.get("use") or "").split() if use in _USES), None)


def organisation(node: Element) -> Organisation | None:
    """An organisation; one without a name is none."""
    name = words(at(node, "name"))
    known = next((one for one in identifiers(node) if one.system != "urn:ietf:rfc:3986"), None)
    if not name:
        return None
    return Organisation(
        name, known.value if known else None, known.system if known else None, addresses(node), telecoms(node)
    )
