"""What a PACS tells of studies, series and instances, as DICOM JSON objects, read into the archive's own words.

A C-FIND answer and a QIDO-RS answer say the same: pydicom gives a data set as DICOM JSON, so both are read here. Nothing is trusted:
an attribute of a wrong shape is absent, a UID that is none leaves its row out.

Source: PS3.18 §10.6.3, Annex F; PS3.4 §C.6.2; field-faults F01, F05, F13, F14, F22.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from isthmus.archive import index, register
from isthmus.archive.studies import Told
from isthmus.dicom.names import read_person_name
from isthmus.dicom.uids import is_uid
from isthmus.dicom.values import iso_date, iso_offset, iso_time, whole_number
from isthmus.errors import NationalInfrastructureUnavailable
from isthmus.model.amounts import amount
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.people import HumanName, Patient
from isthmus.sources import Source

DicomJson = Mapping[str, Any]

STUDY_UID, SERIES_UID, SOP_UID, SOP_CLASS = "0020000D", "0020000E", "00080018", "00080016"
PATIENT_ID, ISSUER, ISSUER_QUALIFIERS, UNIVERSAL_ID = "00100020", "00100021", "00100024", "00400032"
PATIENT_NAME, BIRTH_DATE, SEX = "00100010", "00100030", "00100040"
MODALITY, AVAILABILITY = "00080060", "00080056"
SERIES_COUNT, STUDY_INSTANCES, SERIES_INSTANCES = "00201206", "00201208", "00201209"
INSTANCE_NUMBER, FRAMES = "00200013", "00280008"
NOT_AT_HAND = frozenset({"NEARLINE", "OFFLINE", "UNAVAILABLE"})

# What is asked for beside the UIDs, by level.
STUDY_KEYS = (
    PATIENT_ID, ISSUER, ISSUER_QUALIFIERS, PATIENT_NAME, BIRTH_DATE, SEX, STUDY_UID, "00080020", "00080030", "00080201", "00081030",
    "00080050", "00080051", "00080061", "00080080", "00081032", AVAILABILITY, SERIES_COUNT, STUDY_INSTANCES,
)  # fmt: skip
SERIES_KEYS = (
    SERIES_UID, MODALITY, "00200011", "0008103E", "00180015", "00200060", "00080021", "00080031", "00080080", "00082218", "00080201",
    "00402016", "00081032", AVAILABILITY, SERIES_INSTANCES,
)  # fmt: skip
INSTANCE_KEYS = (SOP_UID, SOP_CLASS, INSTANCE_NUMBER, FRAMES, AVAILABILITY)


@dataclass(frozen=True, slots=True)
class HeldSeries:
    """A series as a PACS tells it, without its instances."""

    series_instance_uid: str
    facts: str
    instance_count: int | None

    @property
    def modality(self) -> str | None:
        found: str | None = orjson.loads(self.facts).get("modality")
        return found


@dataclass(frozen=True, slots=True)
class Held:
    """A study as a PACS tells it now: down to its series. Its instances are asked for when they are needed."""

    study_instance_uid: str
    patient: Patient
    facts: str
    series: tuple[HeldSeries, ...]
    at_hand: bool = True  # False: near-line, to be fetched first
    counts: tuple[int | None, int | None] = (None, None)  # of series and instances, as told of the study

    @property
    def counted(self) -> bool:
        """Whether the PACS says how many instances there are: only then `content` tells when there are more."""
        return self.counts[1] is not None or all(one.instance_count is not None for one in self.series)

    @property
    def content(self) -> str:
        """A fingerprint: the same while the PACS tells the same of patient, series, counts, descriptions. Source: interfaces.md §10."""
        whose = self.patient
        told = [self.study_instance_uid, self.facts, repr(self.counts), whose.identifier.system, whose.identifier.value]
        told += [whose.birth_date, whose.gender, *(repr((n.family, n.given, n.language)) for n in whose.names)]
        told += sorted(f"{s.series_instance_uid} {s.instance_count} {s.facts}" for s in self.series)
        return sha256("\n".join(told).encode()).hexdigest()


def value(row: DicomJson, tag: str) -> Any:
    """The first value of an attribute, None where it is absent, empty or of another shape."""
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return values[0] if isinstance(values, Sequence) and not isinstance(values, str) and values else None


def text(row: DicomJson, tag: str) -> str | None:
    """A value as text without padding; numbers as they are written."""
    found = value(row, tag)
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return None
    return str(found).strip(" \0") or None


def number(row: DicomJson, tag: str) -> int | None:
    """A whole number, whether it came as number or as text."""
    found = text(row, tag)
    return whole_number(found) if found is not None else None


def uid(row: DicomJson, tag: str) -> str | None:
    found = text(row, tag)
    return found if found is not None and is_uid(found) else None


def patient_of(row: DicomJson, source: Source) -> Patient | None:
    """Whom a row is about: the number with the issuer it names, else the source's own. None without a number."""
    identifier = text(row, PATIENT_ID)
    qualifiers = value(row, ISSUER_QUALIFIERS)
    universal = text(qualifiers, UNIVERSAL_ID) if isinstance(qualifiers, Mapping) else None
    issuer = register.system_of(source.issuer(universal, text(row, ISSUER)) or source.patient_issuer)
    if identifier is None or len(identifier) > 128 or len(issuer) > 256:
        return None
    spelled = value(row, PATIENT_NAME)
    groups = spelled if isinstance(spelled, Mapping) else {"Alphabetic": spelled if isinstance(spelled, str) else ""}
    written = "=".join(str(groups.get(name) or "") for name in ("Alphabetic", "Ideographic", "Phonetic"))
    names = tuple(
        HumanName(name.family, tuple(part for part in (name.given, name.middle) if part), register.language(name.group))
        for name in read_person_name(written)
    )
    birth_date = iso_date(text(row, BIRTH_DATE) or "") or ""
    gender = register.GENDERS.get(text(row, SEX) or "", "unknown")
    return Patient(PatientIdentifier(issuer, identifier), names or (HumanName(""),), birth_date, gender)


def held_study(row: DicomJson, series: Iterable[DicomJson], source: Source) -> Held | None:
    """A study row with its series rows; None where it names no study or nobody."""
    study, patient = uid(row, STUDY_UID), patient_of(row, source)
    if study is None or patient is None:
        return None
    rows = [one for one in series if uid(one, SERIES_UID) is not None]
    rows.sort(key=lambda one: (number(one, "00200011") or 0, uid(one, SERIES_UID) or ""))  # in whatever order they came
    told = tuple(
        HeldSeries(uid(one, SERIES_UID) or "", series_facts(one), number(one, SERIES_INSTANCES)) for one in rows
    )
    away = {text(one, AVAILABILITY) for one in (row, *rows)} & NOT_AT_HAND
    counts = number(row, SERIES_COUNT), number(row, STUDY_INSTANCES)
    return Held(study, patient, study_facts(row, rows), told, at_hand=not away, counts=counts)


def told_instance(row: DicomJson, held: Held, series: HeldSeries) -> Told | None:
    """An instance row of a series; None where it names no instance or none that can be listed."""
    sop, sop_class = uid(row, SOP_UID), uid(row, SOP_CLASS)
    if sop is None or sop_class is None:
        return None
    return Told(
        series_instance_uid=series.series_instance_uid,
        sop_instance_uid=sop,
        sop_class_uid=sop_class,
        number=number(row, INSTANCE_NUMBER),
        frames=number(row, FRAMES),
        study_facts=held.facts,
        series_facts=series.facts,
    )


def told_instances(rows: Iterable[DicomJson], held: Held, series: HeldSeries) -> list[Told]:
    """The instances of a series in order. Raises NationalInfrastructureUnavailable for fewer than are counted, or named."""
    named = {sop: row for row in rows if (sop := uid(row, SOP_UID)) is not None}
    found = [one for row in named.values() if (one := told_instance(row, held, series)) is not None]
    if len(found) < len(named):
        raise NationalInfrastructureUnavailable("the PACS does not tell the SOP class of every instance")
    unique = {one.sop_instance_uid: one for one in found}
    if len(unique) < (series.instance_count or 0):
        listed, counted = len(unique), series.instance_count
        raise NationalInfrastructureUnavailable(
            f"the PACS lists {amount(listed, 'instance')} and counts {counted}", listed=listed, counted=counted
        )
    return sorted(unique.values(), key=lambda one: (one.number is None, one.number or 0, one.sop_instance_uid))


def study_facts(row: DicomJson, series: Sequence[DicomJson] = ()) -> str:
    """What a study row says, in the words of the index; what it leaves out its series may say."""
    issuer = value(row, "00080051")
    institution = text(row, "00080080") or next((t for one in series if (t := text(one, "00080080"))), None)
    order = next((t for one in (row, *series) if (t := text(one, "00402016"))), None)
    offset = next((t for one in (row, *series) if (t := text(one, "00080201"))), None)
    return index.facts(
        {
            "study_date": iso_date(text(row, "00080020") or ""),
            "study_time": iso_time(text(row, "00080030") or ""),
            "timezone_offset": iso_offset(offset or ""),
            "study_description": text(row, "00081030"),
            "accession_number": text(row, "00080050"),
            "accession_issuer": text(issuer, UNIVERSAL_ID) if isinstance(issuer, Mapping) else None,
            "placer_order_number": order,
            "procedure_code": next((c for one in (row, *series) if (c := code(one, "00081032"))), None),
            "institution_name": institution,
        }
    )


def series_facts(row: DicomJson) -> str:
    """What a series row says, in the words of the index."""
    return index.facts(
        {
            "modality": text(row, MODALITY),
            "series_number": number(row, "00200011"),
            "series_description": text(row, "0008103E"),
            "body_part_examined": text(row, "00180015"),
            "anatomic_region": code(row, "00082218"),
            "laterality": text(row, "00200060"),
            "series_date": iso_date(text(row, "00080021") or ""),
            "series_time": iso_time(text(row, "00080031") or ""),
            "timezone_offset": iso_offset(text(row, "00080201") or ""),
        }
    )


def code(row: DicomJson, tag: str) -> list[str] | None:
    """The first item of a code sequence: code, scheme, meaning."""
    item = value(row, tag)
    if not isinstance(item, Mapping):
        return None
    named = text(item, "00080100") or text(item, "00080119") or text(item, "00080120")
    return [named, text(item, "00080102") or "", text(item, "00080104") or ""] if named else None


def mine(held: Iterable[Held], patient: PatientIdentifier) -> list[Held]:
    """Those of this very patient: what else a PACS answers with is nobody's business. Source: trust.md T52, T100."""
    return [one for one in held if one.patient.identifier == patient]
