"""Rows out of the index, as values of the domain. Only what is `served` is ever given for a patient.

Source: performance.md §3; field-faults F10, F38.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Row, func, select

from isthmus.dicom.syntaxes import EXPLICIT_LE, SYNTAXES
from isthmus.model.codes import Code
from isthmus.model.documents import WITHDRAWN, Document, DocumentKind
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.model.people import Organisation
from isthmus.model.pieces import FileRange, StoredInstance
from isthmus.model.queries import ImagesQuery
from isthmus.storage.schema.archive import documents, instances, patients, studies, unmapped

_MANIFESTS = frozenset(kind.value for kind in DocumentKind if kind.is_manifest)
_TWIN = {
    DocumentKind.MANIFEST_FHIR: DocumentKind.MANIFEST_KOS,
    DocumentKind.MANIFEST_KOS: DocumentKind.MANIFEST_FHIR,
}


def find_instance(connection: Connection, sop_instance_uid: str) -> Row[Any] | None:
    """The instance of a UID that is kept and not in quarantine."""
    return connection.execute(
        select(instances).where(instances.c.sop_instance_uid == sop_instance_uid, instances.c.state != "quarantined")
    ).first()


def quarantined(connection: Connection, sha256: str) -> list[int]:
    """Rows of these very bytes that are in quarantine."""
    rows = select(instances.c.id).where(instances.c.sha256 == sha256, instances.c.state == "quarantined")
    return list(connection.execute(rows).scalars())


def is_named(connection: Connection, sha256: str, container: str, offset: int) -> bool:
    """Whether some row says that its bytes lie there."""
    i = instances.c
    named = select(i.id).where(i.sha256 == sha256, i.container == container, i.offset == offset)
    return connection.execute(named).first() is not None


def study_patient(connection: Connection, study_instance_uid: str) -> int | None:
    """The row of the patient to whom a study belongs."""
    row = select(studies.c.patient_id).where(studies.c.study_instance_uid == study_instance_uid)
    return connection.execute(row).scalar()


def studies_of_accession(connection: Connection, patient: int, number: Identifier) -> tuple[str, ...]:
    """The studies of a patient whose manifests carry this accession number of this issuer."""
    d = documents.c
    listed = d.kind.in_(_MANIFESTS), d.patient_id == patient, d.state == "served", d.status == "current"
    carried = (orjson.loads(facts) for facts in connection.execute(select(d.facts).where(*listed)).scalars())
    found = (
        facts["study_instance_uids"]
        for facts in carried
        if [number.system, number.value] in facts.get("accession_numbers", ())
    )
    return tuple(sorted({uid for uids in found for uid in uids}))


def corrections_of(connection: Connection, study_instance_uid: str) -> int:
    """How often something of a study was taken away."""
    counted = select(studies.c.corrections).where(studies.c.study_instance_uid == study_instance_uid)
    return int(connection.execute(counted).scalar() or 0)


def find_stored(
    connection: Connection, blobs: Path, patient: PatientIdentifier, query: ImagesQuery
) -> list[StoredInstance]:
    """What would cross of a study, series or instance of this patient: by series number, instance number, UIDs."""
    return [stored(row, blobs) for row in connection.execute(_of(patient, query).order_by(*_order()))]


def holds(connection: Connection, patient: PatientIdentifier, query: ImagesQuery) -> bool:
    """Whether anything would cross."""
    return connection.execute(_of(patient, query).limit(1)).first() is not None


def served(connection: Connection, study_instance_uid: str) -> list[Row[Any]]:
    """The rows of what is served of a study, in the order in which they cross."""
    i = instances.c
    statement = (
        select(instances)
        .join(studies, (studies.c.study_instance_uid == i.study_instance_uid) & (studies.c.patient_id == i.patient_id))
        .where(i.study_instance_uid == study_instance_uid, i.state == "served")
    )
    return list(connection.execute(statement.order_by(*_order())))


def _of(patient: PatientIdentifier, query: ImagesQuery) -> Any:
    i = instances.c
    statement = (
        select(instances)
        .join(patients, patients.c.id == i.patient_id)
        .join(studies, (studies.c.study_instance_uid == i.study_instance_uid) & (studies.c.patient_id == i.patient_id))
        .where(patients.c.system == patient.system, patients.c.value == patient.value, i.state == "served")
        .where(i.study_instance_uid == query.study_instance_uid)
    )
    if query.series_instance_uid is not None:
        statement = statement.where(i.series_instance_uid == query.series_instance_uid)
    if query.sop_instance_uid is not None:
        statement = statement.where(i.sop_instance_uid == query.sop_instance_uid)
    return statement


def _order() -> Iterable[Any]:
    i = instances.c
    return func.json_extract(i.series_facts, "$.series_number"), i.series_instance_uid, i.number, i.sop_instance_uid


def stored(row: Row[Any], blobs: Path) -> StoredInstance:
    """An instance in the form that crosses."""
    recoded = row.crossing_container is not None
    place = ("crossing_container", "crossing_offset", "crossing_size") if recoded else ("container", "offset", "size")
    container, offset, size = (getattr(row, name) for name in place)
    return StoredInstance(
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        sop_instance_uid=row.sop_instance_uid,
        transfer_syntax_uid=EXPLICIT_LE if recoded else row.transfer_syntax_uid,
        content=FileRange(str(blobs / container), offset, size),
        size_bytes=size,
        sha256=row.crossing_sha256 if recoded else row.sha256,
        recoded_from=row.transfer_syntax_uid if recoded else None,
        video=SYNTAXES[row.transfer_syntax_uid].video,
    )


def list_studies(connection: Connection, patient: int | None) -> list[Row[Any]]:
    """What is kept, a row for each study, patient and state, in the order it came; of one patient, or of all. For the operator."""
    i, named = instances.c, patients.alias("named")
    of = i.study_instance_uid, named.c.system, named.c.value, i.state
    first = func.min(i.id)
    facts = [
        func.json_extract(func.min(i.study_facts), f"$.{name}").label(name)
        for name in ("study_date", "study_description")
    ]
    counted = func.count().label("instances"), func.sum(i.size).label("bytes")
    statement = select(*of, *facts, *counted).join(named, named.c.id == i.patient_id, isouter=True)
    if patient is not None:
        statement = statement.where(i.patient_id == patient)
    return list(connection.execute(statement.group_by(*of).order_by(first)))


def list_instances(
    connection: Connection, study_instance_uid: str | None, after: int, limit: int, patient: int | None = None
) -> list[Row[Any]]:
    """A page of what is kept, in the order it came; for the operator, so quarantine is in it."""
    named = patients.alias("named")
    statement = (
        select(instances, named.c.system, named.c.value)
        .join(named, named.c.id == instances.c.patient_id, isouter=True)
        .where(instances.c.id > after)
    )
    if study_instance_uid is not None:
        statement = statement.where(instances.c.study_instance_uid == study_instance_uid)
    if patient is not None:
        statement = statement.where(instances.c.patient_id == patient)
    return list(connection.execute(statement.order_by(instances.c.id).limit(limit)))


def documents_of(connection: Connection, patient: int | None, pack: str, source: str = "") -> list[Document]:
    """Every document of a patient that a source offers, oldest first; earlier versions too. Manifests are those of one pack.

    What was withdrawn stands among them as `withdrawn`: a directive that names it still holds, and nobody is given it.
    """
    of = documents.c.patient_id == patient, documents.c.source == source, documents.c.state != "quarantined"
    rows = connection.execute(_documents().where(*of).order_by(documents.c.number))
    found = [document_of(row) for row in rows if row.kind not in _MANIFESTS or row.family.startswith(f"{pack}/")]
    twins = {(d.unique_id, d.kind): d.id for d in found if d.kind.is_manifest and d.status != WITHDRAWN}
    referred = _referred(connection, patient)
    return [
        replace(d, twin=twins.get((d.unique_id, _TWIN[d.kind])), refers_to=referred.get(d.study_instance_uids[0], ()))
        if d.kind in _TWIN
        else d
        for d in found
    ]


def _referred(connection: Connection, patient: int | None) -> dict[str, tuple[str, ...]]:
    """By study of a patient: the other studies that instances in it name, as reports, key images and presentation states do."""
    i = instances.c
    statement = (
        select(i.study_instance_uid, i.refers_to)
        .join(studies, studies.c.study_instance_uid == i.study_instance_uid)
        .where(studies.c.patient_id == patient, i.refers_to.is_not(None), i.state == "served")
    )
    found: dict[str, set[str]] = {}
    for uid, names in connection.execute(statement):
        found.setdefault(uid, set()).update(names.split("\n"))
    return {uid: tuple(sorted(names)) for uid, names in found.items()}


def list_unmapped(connection: Connection) -> list[dict[str, Any]]:
    """National codes that no table knows, with how many studies say each: the most said first."""
    u, count = unmapped.c, func.count().label("studies")
    by = (u.source, u.kind, u.system, u.code)
    rows = connection.execute(
        select(*by, func.max(u.display).label("display"), count).group_by(*by).order_by(count.desc(), *by)
    )
    return [dict(row) for row in rows.mappings()]


def find_document(connection: Connection, patient: PatientIdentifier, id: str, source: str = "") -> Row[Any] | None:
    """The row of one of this patient's documents that a source holds; never a stranger's. What is no number names none."""
    if not (id.isascii() and id.isdecimal() and len(id) < 19):
        return None
    of = patients.c.system == patient.system, patients.c.value == patient.value, documents.c.source == source
    served = documents.c.state == "served"
    return connection.execute(_documents().where(documents.c.number == int(id), served, *of)).first()


def _documents() -> Any:
    return select(documents, patients.c.system, patients.c.value).join(
        patients, patients.c.id == documents.c.patient_id
    )


def document_of(row: Row[Any]) -> Document:
    facts = orjson.loads(row.facts)
    custodian = facts.get("custodian")
    return Document(
        id=str(row.number),
        kind=DocumentKind(row.kind),
        patient=PatientIdentifier(row.system, row.value),
        unique_id=Identifier(row.unique_system, row.unique_value),
        title=row.title,
        indexed=row.indexed,
        created=row.created,
        media_type=row.media_type,
        study_instance_uids=tuple(facts.get("study_instance_uids", ())),
        accession_numbers=tuple(Identifier(*pair) for pair in facts.get("accession_numbers", ())),
        order_numbers=tuple(Identifier(*pair) for pair in facts.get("order_numbers", ())),
        status=row.status if row.state == "served" else WITHDRAWN,
        language=row.language,
        authors=tuple(facts.get("authors", ())),
        custodian=Organisation(*custodian) if custodian else None,
        modalities=tuple(facts.get("modalities", ())),
        regions=tuple(Code(*code) for code in facts.get("regions", ())),
        period_start=facts.get("period_start"),
        size_bytes=row.size,
        series_count=facts.get("series_count"),
        instance_count=facts.get("instance_count"),
        study_bytes=facts.get("study_bytes"),
        report_status=facts.get("report_status"),
        report_version=facts.get("report_version"),
        replaces=None if row.replaces is None else str(row.replaces),
        description=facts.get("description"),
        sensitivity=tuple(facts.get("sensitivity", ())),
        unmapped=facts.get("unmapped", 0),
        mapped_by=facts.get("mapped_by", ""),
    )
