"""Codes: a system, a code, and the words that came with it."""

from __future__ import annotations

from dataclasses import dataclass

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
DCMUID = "http://dicom.nema.org/resources/ontology/DCMUID"
ISCO_08 = "urn:oid:2.16.840.1.113883.2.9.6.2.7"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"


@dataclass(frozen=True, slots=True)
class Code:
    """A coded value. Equal by system and code; the display is what the sender wrote.

    `original` is the code as it was written at home, when this one was mapped from it. A code of a country's own that nobody could map
    `is_original` itself: its system is a URI, or the name of a coding scheme, or nothing for a mere word.
    """

    system: str
    code: str
    display: str | None = None
    original: Code | None = None
    is_original: bool = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and (self.system, self.code) == (other.system, other.code)

    def __hash__(self) -> int:
        return hash((self.system, self.code))
