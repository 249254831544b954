"""Coding schemes: what system a code is of, as DICOM and as HL7 V3 name it. A scheme that nobody knows leaves a code without system.

Source: PS3.16 §8 (coding schemes); HL7 V3 (registry); requirements.md §5.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from isthmus.dicom import tags
from isthmus.dicom.content import Item
from isthmus.dicom.header import Code as Coded
from isthmus.model.codes import DCM, DCMUID, LOINC, SNOMED, Code
from isthmus.model.identifiers import is_uid

UCUM: Final = "http://unitsofmeasure.org"
SYSTEMS: Final[Mapping[str, str]] = {
    "2.16.840.1.113883.6.1": LOINC,
    "2.16.840.1.113883.6.96": SNOMED,
    "1.2.840.10008.2.16.4": DCM,
    "1.2.840.10008.2.6.1": DCMUID,
    "2.16.840.1.113883.6.8": UCUM,
    "2.16.840.1.113883.6.256": "http://radlex.org",
    "2.16.840.1.113883.6.3": "http://hl7.org/fhir/sid/icd-10",
    "2.16.840.1.113883.6.90": "http://hl7.org/fhir/sid/icd-10-cm",
    "2.16.840.1.113883.6.43.1": "http://terminology.hl7.org/CodeSystem/icd-o-3",
    "2.16.840.1.113883.6.73": "http://www.whocc.no/atc",
    "2.16.840.1.113883.6.12": "http://www.ama-assn.org/go/cpt",
    "2.16.840.1.113883.5.4": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "2.16.840.1.113883.5.83": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation",
}
"""Systems as FHIR names them, by their OID."""
DESIGNATORS: Final[Mapping[str, str]] = {
    "SCT": SNOMED,
    "SNOMED-CT": SNOMED,
    "DCM": DCM,
    "DCMUID": DCMUID,
    "LN": LOINC,
    "UCUM": UCUM,
    "RADLEX": "http://radlex.org",
    "I10": "http://hl7.org/fhir/sid/icd-10",
}


_LANGUAGES: Final[Mapping[str, str]] = {
    "bul": "bg", "ces": "cs", "cze": "cs", "dan": "da", "deu": "de", "ger": "de", "ell": "el", "gre": "el", "eng": "en",
    "spa": "es", "est": "et", "fin": "fi", "fra": "fr", "fre": "fr", "gle": "ga", "hrv": "hr", "hun": "hu", "ita": "it",
    "lit": "lt", "lav": "lv", "mlt": "mt", "dut": "nl", "nld": "nl", "nor": "no", "pol": "pl", "por": "pt", "ron": "ro",
    "rum": "ro", "slk": "sk", "slo": "sk", "slv": "sl", "swe": "sv", "isl": "is", "ice": "is", "ukr": "uk",
}  # fmt: skip
_TAG: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")


def language_of(code: str) -> str | None:
    """A language as BCP 47 writes it, also of the three letters of ISO 639-2; None for what is none."""
    code = _LANGUAGES.get(code.lower(), code)
    return code if _TAG.fullmatch(code) else None


def system_of(oid: str) -> str:
    """The system of an OID; one that we do not know keeps its own name."""
    return SYSTEMS.get(oid) or (f"urn:oid:{oid}" if is_uid(oid) else "")


class Coding:
    """The schemes of one DICOM document: those we know, and those that it explains itself."""

    def __init__(self, explained: Mapping[str, str]) -> None:
        self._explained = explained

    @classmethod
    def of(cls, root: Item) -> Coding:
        """Those of a document, by its root."""
        told = root.items(tags.CODING_SCHEME_IDENTIFICATION_SEQUENCE)
        return cls({one.text(tags.CODING_SCHEME_DESIGNATOR): one.text(tags.CODING_SCHEME_UID) for one in told})

    def read(self, coded: Coded | None) -> Code | None:
        if coded is None:
            return None
        system = DESIGNATORS.get(coded.scheme) or system_of(self._explained.get(coded.scheme, ""))
        return Code(system, coded.code, coded.meaning or None)
