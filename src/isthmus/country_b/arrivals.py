"""Arrivals: nothing foreign is shown or kept unchecked. Bounds, digest, UIDs, and whose it is.

An instance is looked at as its bytes pass; the traits in it, and in documents, are compared with the person confirmed and graded:
*same*, *explainable* (shown with a note), *contradictory* (not shown). A PDF alone names nobody that could be read: whose it is says the
list that it stands on.

Source: trust.md §2.9.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from isthmus.dicom.faults import DicomFault
from isthmus.dicom.header import Header
from isthmus.dicom.names import fold
from isthmus.dicom.scan import Scanner
from isthmus.dicom.uids import is_uid
from isthmus.dicom.windows import AT_THE_BORDER
from isthmus.errors import ArrivalRefused, ContentMismatch, CountryMisanswered, MalformedRequest
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.model.queries import ImagesQuery
from isthmus.originals.cda.child import told_header
from isthmus.sandbox import Sandbox

UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "å": "aa", "ø": "oe", "æ": "ae"})
SIZE_MAX_BYTES = AT_THE_BORDER.max_image_bytes + AT_THE_BORDER.max_non_pixel_bytes  # whatever the header declares
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/=]{44}):")


class Likeness(StrEnum):
    """How the traits in an object compare with the person confirmed."""

    SAME = "same"
    EXPLAINABLE = "explainable"
    CONTRADICTORY = "contradictory"


@dataclass(frozen=True, slots=True)
class Traits:
    """What an object says of whose it is; None where it says nothing."""

    identifier: PatientIdentifier | None
    names: tuple[HumanName, ...]
    birth_date: str | None
    gender: str | None

    def __repr__(self) -> str:
        return "Traits(…)"


def _spellings(names: Iterable[HumanName], part: str) -> set[frozenset[str]]:
    """Every way a name part is written here: folded, and with umlauts spelt out; the order of words does not count."""
    found: set[frozenset[str]] = set()
    for name in names:
        text = name.family if part == "family" else " ".join(name.given)
        for spelling in (fold(text), fold(text.casefold().translate(UMLAUTS))):
            words = frozenset(re.split(r"[\s\-]+", spelling)) - {""}
            if words:
                found.add(words)
    return found


def _swapped(names: Iterable[HumanName]) -> tuple[HumanName, ...]:
    return tuple(HumanName(" ".join(n.given), (n.family,)) for n in names if n.given)


def compare(patient: Patient, traits: Traits) -> Likeness:
    """Grade what an object says against the person confirmed. Doubt about one part is explainable; two parts, or another
    number of the same issuer, are not."""
    if traits.identifier in patient.former:  # issued before the country merged it into the one confirmed
        identified = True
    elif traits.identifier is not None and traits.identifier.system == patient.identifier.system:
        if traits.identifier.value != patient.identifier.value:
            return Likeness.CONTRADICTORY
        identified = True
    else:
        identified = False
    names = (*traits.names, *_swapped(traits.names))
    family = _agrees(_spellings(patient.names, "family"), _spellings(names, "family"))
    given = _agrees(_spellings(patient.names, "given"), _spellings(names, "given"))
    born = None if not traits.birth_date else traits.birth_date == patient.birth_date
    gender = None if traits.gender in (None, "unknown", "other") else traits.gender == patient.gender
    if born is False and family is False:
        return Likeness.CONTRADICTORY
    if identified and family and given is not False and born and gender is not False:
        return Likeness.SAME
    return Likeness.EXPLAINABLE


def _agrees(ours: set[frozenset[str]], theirs: set[frozenset[str]]) -> bool | None:
    return None if not theirs else bool(ours & theirs) or any(a <= b or b <= a for a in ours for b in theirs)


def traits_of(header: Header) -> Traits:
    """What a DICOM header says of whose it is; an identifier counts only with the issuer it names."""
    identifier = None
    if header.patient_id and header.issuer_universal_id:
        identifier = PatientIdentifier(f"urn:oid:{header.issuer_universal_id}", header.patient_id)
    names = tuple(HumanName(n.family, tuple(n.given.split())) for n in header.patient_names if n.family or n.given)
    gender = {"M": "male", "F": "female", "O": "other"}.get(header.sex or "")
    return Traits(identifier, names, header.birth_date, gender)


@dataclass(frozen=True, slots=True)
class Arrived:
    """An instance that came whole and may be kept."""

    header: Header
    size_bytes: int
    sha256: str
    recoded_from: str | None
    likeness: Likeness


class Arrival:
    """One instance on its way in: fed the views as they pass, judged at its end.

    `close()` raises ArrivalRefused (hostile, another's, or not what was asked for) or ContentMismatch (digest).
    """

    def __init__(self, patient: Patient, asked: ImagesQuery, part_headers: Mapping[str, str], country: str) -> None:
        self._patient, self._asked, self._country = patient, asked, country
        self._scanner = Scanner(AT_THE_BORDER)
        self._hash, self._size = hashlib.sha256(), 0
        self._promised = part_headers.get("content-digest")
        told = part_headers.get("ncp-recoded-from", "")
        self._recoded_from = told if is_uid(told) else None

    def feed(self, view: bytes | memoryview) -> None:
        """Look at the next bytes. Raises ArrivalRefused as soon as they cannot be right."""
        self._hash.update(view)
        self._size += len(view)
        if self._size > SIZE_MAX_BYTES:
            raise ArrivalRefused(f"an instance from {self._country} has no end", why="too-large")
        try:
            self._scanner.feed(view)
        except DicomFault as fault:
            raise ArrivalRefused(
                f"an instance from {self._country} was refused: {fault.reason}", why=fault.reason
            ) from fault

    def close(self) -> Arrived:
        digest = self._hash.digest()
        if self._promised is not None:
            match = _DIGEST.search(self._promised)
            if match is None or match[1] != base64.b64encode(digest).decode():
                raise ContentMismatch(
                    "an instance differs from the digest announced with it", reason="digest", country=self._country
                )
        try:
            header = self._scanner.close().header
        except DicomFault as fault:
            raise ArrivalRefused(
                f"an instance from {self._country} was refused: {fault.reason}", why=fault.reason
            ) from fault
        self._as_asked(header)
        likeness = compare(self._patient, traits_of(header))
        if likeness is Likeness.CONTRADICTORY:
            raise ArrivalRefused(
                f"an instance from {self._country} is of another person", reason="wrong-patient", country=self._country
            )
        return Arrived(header, self._size, digest.hex(), self._recoded_from, likeness)

    def _as_asked(self, header: Header) -> None:
        """Nothing but what was asked for is taken."""
        pairs = (
            (self._asked.study_instance_uid, header.study_instance_uid),
            (self._asked.series_instance_uid, header.series_instance_uid),
            (self._asked.sop_instance_uid, header.sop_instance_uid),
        )
        if any(asked is not None and asked != came for asked, came in pairs):
            raise CountryMisanswered("an instance came that was not asked for", country=self._country)


def check_subject(patient: Patient, subject: Patient | None, country: str) -> Likeness:
    """A document must be about the person confirmed. Raises ArrivalRefused (reason wrong-patient).

    Source: RET-10.
    """
    if subject is None:
        return Likeness.EXPLAINABLE
    likeness = compare(patient, Traits(subject.identifier, subject.names, subject.birth_date, subject.gender))
    if likeness is Likeness.CONTRADICTORY:
        raise ArrivalRefused(
            f"a document from {country} is about another person", reason="wrong-patient", country=country
        )
    return likeness


async def check_cda(sandbox: Sandbox, patient: Patient, body: bytes, country: str) -> Likeness:
    """A CDA document must be about the person confirmed; it is parsed in a child.

    Of several identifiers the one of the person's own issuer counts. Raises ArrivalRefused (wrong-patient), CountryMisanswered
    for what is no CDA document, or names no patient.

    Source: RET-10; trust.md §2.9.
    """
    try:
        cda = told_header(await sandbox.run("cda-header", body, error=CountryMisanswered))
    except MalformedRequest as error:
        raise CountryMisanswered("a CDA document that cannot be read, or names no patient", country=country) from error
    if cda is None:
        raise CountryMisanswered("what was listed as CDA is none", country=country)
    issuer = patient.identifier.system
    own = [one for one in cda.patients if one.system == issuer] or [cda.index.patient]
    named = next((one for one in cda.patients if one in (patient.identifier, *patient.former)), own[0])
    said = cda.index
    return check_subject(patient, Patient(named, said.names, said.birth_date, said.gender), country)
