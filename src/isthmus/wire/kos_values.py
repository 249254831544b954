"""Values of a key object selection, both directions: moments, codes, issuers, organisations and names, as FHIR and as DICOM say them.

Source: PS3.5 §6.2; PS3.3 Table 10-17, §C.12.1.1.8; HL7 V2 XON; wire.md §1.7.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import Final
from uuid import UUID

from isthmus.dicom import tags
from isthmus.dicom.content import Item, element, item, sequence
from isthmus.dicom.header import Code as Coded
from isthmus.dicom.names import read_person_name
from isthmus.dicom.values import iso_date, iso_offset, iso_time
from isthmus.errors import MalformedRequest
from isthmus.model.codes import DCM, LOINC, SNOMED, Code
from isthmus.model.identifiers import is_uid, plain_uid
from isthmus.model.people import HumanName, Organisation

SCHEMES: Final = {"SCT": SNOMED, "DCM": DCM, "LN": LOINC}
DESIGNATORS: Final = {system: scheme for scheme, system in SCHEMES.items()}
SEXES: Final = {"male": "M", "female": "F", "other": "O"}
LO_CHARS: Final = 64
SH_CHARS: Final = 16
_ID_TYPES: Final = {"ISO", ""}

_LINE_CONTROLS = re.compile(r"[\x00-\x1f\x7f\\]+")
_TEXT_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]+")
_NAME_PARTS = re.compile(r"[\^=]+")
_XON_PARTS = re.compile(r"[\^&~|]+")
_MOMENT = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d{1,6})?\d*)?(Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)
_DT = re.compile(r"(\d{4,8})(\d{4,6}(?:\.\d{1,6})?)?([+-]\d{4})?", re.ASCII)


HOLDS: Final = {
    "B.1.1": "StudyInstanceUID",
    "B.1.2": "StudyDescription",
    "B.1.3.1": "InstitutionName",
    "B.1.4.1": "TEXT Series Description",
    "B.1.4.2": "SeriesInstanceUID; UIDREF Series Instance UID",
    "B.1.4.3": "CODE Modality",
    "B.1.4.5": "TEXT Series Number; DATE, TIME; CODE Target Region, Image Laterality; NUM instances",
    "B.1.4.6": "RetrieveLocationUID, RetrieveURL",
    "B.1.4.7.1": "ReferencedSOPInstanceUID",
    "B.1.4.7.2": "ReferencedSOPClassUID",
    "B.1.4.7.3": "TEXT Instance Number",
}  # fmt: skip
"""Where a manifest as key object selection holds each element of the data set."""


def line(text: str) -> str:
    """A text as LO can hold it: one line, one value, cut where it would be too long."""
    return _LINE_CONTROLS.sub(" ", text).strip()[:LO_CHARS].rstrip()


def paragraphs(text: str) -> str:
    """A text as UT can hold it."""
    return _TEXT_CONTROLS.sub(" ", text).strip()


def number(text: str) -> str:
    """An identifier, never changed and never cut. Raises MalformedRequest when DICOM cannot say it."""
    if len(text) > LO_CHARS or _LINE_CONTROLS.search(text):
        raise MalformedRequest("an identifier is longer than 64 characters or has a control character or backslash")
    return text


@dataclass(frozen=True, slots=True)
class Moment:
    """A date, perhaps with a time and its offset, in the forms of DICOM; what is not said is empty."""

    date: str = ""  # YYYY, YYYYMM or YYYYMMDD
    time: str = ""  # HHMMSS[.ffffff]; only with an offset
    offset: str = ""  # &ZZXX

    @classmethod
    def of_fhir(cls, text: str | None) -> Moment:
        match = _MOMENT.fullmatch(text or "")
        if match is None:
            return cls()
        year, month, day, hour, minute, second, fraction, offset = match.groups("")
        return cls._checked(year + month + day, hour + minute + (hour and (second or "00")) + fraction, offset)

    @classmethod
    def of_date_time(cls, text: str) -> Moment:
        """Read a DT."""
        match = _DT.fullmatch(text)
        return cls() if match is None else cls._checked(*match.groups(""))

    @classmethod
    def of_dicom(cls, date: str, time: str, offset: str) -> Moment:
        """Read a DA, a TM and the offset that holds for the document; a time without minutes or offset is not there."""
        return cls._checked(date, time, offset)

    @classmethod
    def _checked(cls, date: str, time: str, offset: str) -> Moment:
        offset = "+00:00" if offset == "Z" else offset
        day, hour, away = iso_date(date), iso_time(time), iso_offset(offset.replace(":", ""))
        if day is None:
            return cls()
        date = day.replace("-", "")
        if len(date) < 8 or hour is None or len(hour) < 5 or away is None:
            return cls(date)
        return cls(date, (hour if len(hour) > 5 else f"{hour}:00").replace(":", ""), away.replace(":", ""))

    def at(self, offset: str) -> Moment:
        """The same instant as clocks of another offset show it; a date alone stays as it is."""
        if not self.time or self.offset == offset:
            return self
        whole = datetime.strptime(self.date + self.time[:6] + self.offset, "%Y%m%d%H%M%S%z")
        minutes = int(offset[1:3]) * 60 + int(offset[3:])
        try:
            there = whole.astimezone(timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes)))
        except OverflowError:
            return Moment(self.date)
        date, _, time = there.replace(tzinfo=None).isoformat(timespec="seconds").partition("T")
        return Moment(date.replace("-", ""), time.replace(":", "") + self.time[6:], offset)

    @property
    def day(self) -> str:
        """The date, when it is a whole one."""
        return self.date if len(self.date) == 8 else ""

    @property
    def date_time(self) -> str:
        """As DT."""
        return self.date + self.time + self.offset

    def fhir(self, *, zulu: bool = False) -> str | None:
        """As FHIR dateTime; with `zulu` an offset of nothing is written Z."""
        parts = (self.date[:4], self.date[4:6], self.date[6:])
        date = "-".join(part for part in parts if part)
        if not self.time:
            return date or None
        offset = "Z" if zulu and self.offset == "+0000" else f"{self.offset[:3]}:{self.offset[3:]}"
        return f"{date}T{self.time[:2]}:{self.time[2:4]}:{self.time[4:]}{offset}"


def write_code(code: Code | None) -> Coded | None:
    """A code as DICOM says it, one of the country's own under the scheme of its files; None when its system has no name there."""
    if code is None or not code.code:
        return None
    own = code.system if code.is_original and ":" not in code.system and len(code.system) <= SH_CHARS else ""
    scheme = DESIGNATORS.get(code.system, own)
    return Coded(code.code, scheme, line(code.display or code.code)) if scheme else None


def write_original(code: Code | None) -> Coded | None:
    """The code at home, of which this one was made, where DICOM has a name for its scheme."""
    return write_code(code.original) if code is not None else None


def read_concept(item: Item, tag: int) -> Code | None:
    """A code with the one at home beside it, where it says one. Source: PS3.3 §8.9."""
    code = read_code(item.code(tag))
    same = read_code(item.first(tag).code(tags.EQUIVALENT_CODE_SEQUENCE))
    return replace(code, original=same) if code is not None and code.system and same is not None else code


def read_code(coded: Coded | None) -> Code | None:
    """A code of whatever scheme; one that we do not know has no system. Source: TOL-11."""
    if coded is None:
        return None
    system = SCHEMES.get(coded.scheme, "")
    return Code(system, coded.code, coded.meaning or None, is_original=not system)


def first_known(codes: Iterable[Code | None]) -> Code | None:
    """The first code of a scheme that we know, else the first."""
    held = [code for code in codes if code is not None]
    return next((code for code in held if code.system), held[0] if held else None)


def unknown_issuer(study_instance_uid: str) -> str:
    """What stands for the issuer of a patient identifier that names none: of this study alone, so that nobody is taken for another.

    Source: field-faults F04.
    """
    return UUID(bytes=sha256(f"isthmus:no-issuer {study_instance_uid}".encode()).digest()[:16], version=5).urn


def issuer(tag: int, system: str | None) -> Iterator[bytes]:
    """Write who issued a number: an OID, another URI, or a name that is known locally. Source: HL7 V2 HD."""
    if not system:
        return
    uid = plain_uid(system)
    if is_uid(uid):
        yield sequence(tag, item(*_universal(uid, "ISO")))
    elif ":" in system:
        yield sequence(tag, item(*_universal(system, "URI")))
    else:
        yield sequence(tag, item(element(tags.LOCAL_NAMESPACE_ENTITY_ID, "UT", paragraphs(system))))


def _universal(id: str, kind: str) -> tuple[bytes, bytes]:
    return element(tags.UNIVERSAL_ENTITY_ID, "UT", paragraphs(id)), element(tags.UNIVERSAL_ENTITY_ID_TYPE, "CS", kind)


def patient_issuer(system: str) -> Iterator[bytes]:
    """Write who issued a patient identifier; a local name has an attribute of its own."""
    if ":" in system or is_uid(system):
        yield from issuer(tags.ISSUER_OF_PATIENT_ID_QUALIFIERS_SEQUENCE, system)
    else:
        yield element(tags.ISSUER_OF_PATIENT_ID, "LO", number(system))


def read_issuer(found: Item) -> str | None:
    """Read who issued a number from an item of the macro; None when it does not say."""
    universal = found.text(tags.UNIVERSAL_ENTITY_ID)
    return system_of(universal or found.text(tags.LOCAL_NAMESPACE_ENTITY_ID))


def system_of(text: str) -> str | None:
    """An issuer as FHIR names it."""
    uid = plain_uid(text)
    return f"urn:oid:{uid}" if is_uid(uid) else text or None


def organisation_name(organisation: Organisation) -> str:
    """An organisation as XON, where that fits and its identifier can be said; else its name. Source: wire.md §1.7, XON recommended."""
    name = line(_XON_PARTS.sub(" ", organisation.name))
    id, system = organisation.identifier, organisation.system or ""
    if not id or _XON_PARTS.search(id + system) or _LINE_CONTROLS.search(id + system):
        return name
    uid = plain_uid(system)
    authority = f"&{uid}&ISO" if is_uid(uid) else f"&{system}&URI" if system else ""
    named = f"{name}^^^^^{authority}^^^^{id}"
    return named if len(named) <= LO_CHARS else name


def read_organisation_name(text: str) -> Organisation | None:
    """Read an organisation from XON or a name."""
    parts = text.split("^")
    name, *_ = parts
    authority = (parts[5] if len(parts) > 5 else "").split("&")
    id = (parts[9] if len(parts) > 9 else "") or (parts[2] if len(parts) > 2 else "")
    if not name.strip() and not id:
        return None
    system = authority[1] if len(authority) > 1 else authority[0]
    return Organisation(name.strip(), id or None, system_of(system) if id else None)


def person(name: HumanName) -> str:
    """A name as PN: family, first given name, the others."""
    first, *others = name.given or ("",)
    parts = (name.family, first, " ".join(others))
    return "^".join(line(_NAME_PARTS.sub(" ", part)) for part in parts).rstrip("^")


def read_persons(text: str) -> Iterator[HumanName]:
    """Read the names of a PN, one for each writing in it."""
    for name in read_person_name(text):
        given = tuple(part for part in (name.given, *name.middle.split()) if part)
        if name.family or given:
            yield HumanName(name.family, given)
