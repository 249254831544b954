"""A study as the archive describes it, from its rows; the written rules by which one text is chosen of several.

Of each attribute the value that most instances say counts, of equals the first in order: never the one that came first. That others
say otherwise is a warning. What files do not hold is the operator's statement, from the source's settings.

Source: field-faults F05, F08, F09, F13, F14; interfaces.md §8; wire.md §1.6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Row, select

from isthmus.archive import queries, register
from isthmus.dicom.names import fold
from isthmus.model.codes import Code
from isthmus.model.identifiers import Identifier, is_uid
from isthmus.model.imaging import Instance, Series, Study
from isthmus.model.people import Organisation, Patient
from isthmus.model.queries import REGIONS
from isthmus.sources import Source
from isthmus.storage.schema.archive import instances
from isthmus.terminology.mapping import NO_CODES, SCHEMES, NationalCodes, Transcoder, Unmapped
from isthmus.terminology.regions import ENTIRE_BODY, NO_TABLE, find_regions
from isthmus.terminology.rows import PROCEDURE, REGION
from isthmus.terminology.valuesets import load_valueset

LATERALITY = {c.facts["letter"]: c.code for c in load_valueset("laterality").concepts.values()}
NO_MODALITY = "OT"


@dataclass(frozen=True, slots=True)
class Described:
    """A study, and what had to be chosen or assumed to describe it."""

    study: Study
    warnings: tuple[str, ...]
    unmapped: tuple[Unmapped, ...] = ()  # national codes that no table knows
    corrections: int = 0  # how often something was taken away: what is left is not what was before

    @property
    def correction(self) -> str:
        """What tells its manifest from all that were before a correction; empty when there was none."""
        return f"correction {self.corrections}" if self.corrections else ""


class Told(NamedTuple):
    """An instance in the words of the index, as a source behind us tells it: where it lies is that source's business."""

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    study_facts: str
    series_facts: str
    number: int | None = None
    frames: int | None = None
    title: str | None = None
    description: str | None = None
    size: int | None = None
    crossing_size: int | None = None


_COLUMNS = tuple(instances.c[name] for name in Told._fields)
"""What is read of an instance to describe it, in the order of `Told`: half of its row, and half of the time."""


def describe(
    connection: Connection, study_instance_uid: str, source: Source, codes: NationalCodes = NO_CODES
) -> Described | None:
    """Describe what the archive serves of a study; None when that is nothing."""
    i = instances.c
    served = i.study_instance_uid == study_instance_uid, i.state == "served"
    ordered = select(*_COLUMNS).where(*served).order_by(i.series_instance_uid, i.number, i.sop_instance_uid)
    rows = connection.execute(ordered).all()
    if not rows:
        return None
    whose = connection.execute(select(i.patient_id).where(*served).limit(1)).scalar_one()
    patient = register.patient_of(connection, whose)
    told = describe_rows(study_instance_uid, patient, rows, source, codes)
    return replace(told, corrections=queries.corrections_of(connection, study_instance_uid))


def describe_rows(
    study_instance_uid: str,
    patient: Patient,
    rows: Sequence[Row[*tuple[Any, ...]] | Told],
    source: Source,
    codes: NationalCodes = NO_CODES,
) -> Described:
    """Describe a study from what is said of its instances, whoever keeps them: rows of `Told`."""
    warnings: list[str] = []
    facts, by_series, sizes = _sorted(rows)
    said = _Said(facts, warnings)
    mapping = Transcoder(codes, source.coding_schemes)
    described = [_series(uid, held, source, warnings, mapping) for uid, held in by_series.items()]
    series = sorted(
        (one for one, _ in described), key=lambda s: (s.number is None, s.number or 0, s.series_instance_uid)
    )
    procedure = said.one("procedure_code")
    study = Study(
        study_instance_uid=study_instance_uid,
        patient=patient,
        series=tuple(series),
        started=started(said.one("study_date"), said.one("study_time"), said.one("timezone_offset"), source),
        description=said.one("study_description"),
        accession_numbers=said.identifiers(
            "accession_number", "accession_issuer", source.accession_issuer, source.issuers
        ),
        placer_order_numbers=said.identifiers("placer_order_number", None, source.placer_issuer),
        regions=_regions([*(mapping.regions(procedure) or (r for _, found in described for r in found))], warnings),
        procedure=procedure[2] or None if procedure else None,
        procedure_code=mapping.code(PROCEDURE, procedure),
        custodian=custodian(said.one("institution_name"), source),
        size_bytes=sum(sizes) if len(sizes) == len(rows) else None,
    )
    return Described(study, tuple(dict.fromkeys(warnings)), tuple(dict.fromkeys(mapping.unmapped)))


@dataclass(slots=True)
class _Held:
    """What rows say of a series."""

    facts: Counter[str] = field(default_factory=Counter)
    instances: list[Instance] = field(default_factory=list)


def _sorted(rows: Iterable[Row[*tuple[Any, ...]] | Told]) -> tuple[Counter[str], dict[str, _Held], list[int]]:
    """What rows say of the study, of its series in their order, and how much would cross of each instance whose size is told.

    The one place that sees every row: each is unpacked once, no value is asked for by name.
    """
    of_study: Counter[str] = Counter()
    by_series: dict[str, _Held] = {}
    sizes: list[int] = []
    for series, sop, sop_class, study_facts, series_facts, number, frames, title, description, size, crossing in rows:
        of_study[study_facts] += 1
        held = by_series.get(series)
        if held is None:
            held = by_series[series] = _Held()
        held.facts[series_facts] += 1
        many = frames if frames and frames > 1 else None
        code = _code(orjson.loads(title)["code"]) if title else None
        held.instances.append(Instance(sop, sop_class, number, many, code, description))
        if (crosses := crossing or size) is not None:
            sizes.append(crosses)
    return of_study, by_series, sizes


class _Said:
    """What the instances of a study, or of a series, say of it: each distinct set of facts with how many say it."""

    def __init__(self, facts: Counter[str], warnings: list[str]) -> None:
        self._facts: list[tuple[Mapping[str, Any], int]] = [(orjson.loads(text), n) for text, n in facts.items()]
        self._warnings = warnings

    def _values(self, name: str, other: str | None = None) -> list[Any]:
        """Distinct values, those most said first, of equals in order."""
        count: Counter[bytes] = Counter()
        for facts, n in self._facts:
            if facts.get(name) is not None:
                count[orjson.dumps([facts[name], facts.get(other) if other else None])] += n
        ordered = sorted(count, key=lambda value: (-count[value], value))
        if len(ordered) > 1:
            self._warnings.append(f"not all instances agree on {name}")
        return [orjson.loads(value) for value in ordered]

    def one(self, name: str) -> Any:
        values = self._values(name)
        return values[0][0] if values else None

    def identifiers(
        self, name: str, issuer_name: str | None, default_issuer: str, issuers: Mapping[str, str] = NO_TABLE
    ) -> tuple[Identifier, ...]:
        """Numbers with who issued them; without issuer the source's own, without that none. A name that stands for an OID is one."""
        pairs = (
            (value, issuers.get(issuer, issuer) if issuer else default_issuer)
            for value, issuer in self._values(name, issuer_name)
        )
        return tuple(Identifier(_system(issuer), value) for value, issuer in pairs)


def _system(issuer: str) -> str | None:
    return f"urn:oid:{issuer}" if is_uid(issuer) else issuer or None


def _series(
    uid: str, held: _Held, source: Source, warnings: list[str], mapping: Transcoder
) -> tuple[Series, tuple[Code, ...]]:
    said = _Said(held.facts, warnings)
    modality, body_part = said.one("modality") or NO_MODALITY, said.one("body_part_examined")
    anatomic = said.one("anatomic_region")
    body_site = mapping.body_part(anatomic, body_part)
    regions = mapping.regions(anatomic, body_part) or find_regions(body_part, modality, source.regions, body_site)
    if not regions and body_part:
        mapping.leave(REGION, body_part)
    series = Series(
        series_instance_uid=uid,
        modality=modality,
        instances=tuple(held.instances),
        number=said.one("series_number"),
        description=said.one("series_description"),
        body_site=body_site,
        laterality=LATERALITY.get(said.one("laterality") or ""),
        started=started(said.one("series_date"), said.one("series_time"), said.one("timezone_offset"), source),
    )
    return series, regions


def _code(parts: Any) -> Code | None:
    """A code whose system we know by its DICOM name; any other would be a code of nobody."""
    if not parts or parts[1] not in SCHEMES:
        return None
    return Code(SCHEMES[parts[1]], parts[0], parts[2] or None)


def _regions(found: Iterable[Code], warnings: list[str]) -> tuple[Code, ...]:
    regions = sorted(set(found), key=lambda region: region.code)
    if regions:
        return tuple(regions)
    warnings.append("no body part that a region is known for: the entire body is said")
    return (REGIONS[ENTIRE_BODY],)


def custodian(institution: str | None, source: Source) -> Organisation | None:
    """The institution in the files; the source's own name, and its identifier, where files say none or the same."""
    name = institution or source.institution
    if not name:
        return None
    system, _, value = source.institution_id.partition("|")
    is_ours = not institution or fold(institution) == fold(source.institution)
    return Organisation(name, value, system) if is_ours and value else Organisation(name)


def started(date: str | None, time: str | None, offset: str | None, source: Source) -> str | None:
    """A date and a time of day as FHIR dateTime: with the file's offset, else that of the source's zone; else the date alone.

    Source: field-faults F13; R4 dateTime.
    """
    if not date or not time or len(date) < 10 or len(time) < 5:
        return date
    full = time if len(time) >= 8 else f"{time}:00"
    if offset:
        return f"{date}T{full}{offset}"
    if not source.time_zone:
        return date
    try:
        there = datetime.fromisoformat(f"{date}T{full[:5]}").replace(tzinfo=source.zone)
    except ValueError:
        return date
    return f"{date}T{full}{there.isoformat()[16:].removeprefix(':00')}"
