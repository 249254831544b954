"""Rows into the index. Each function works inside a writing transaction of its caller.

Source: performance.md §3; field-faults F11, F12.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or

from isthmus.dicom.header import Code, Header
from isthmus.model.documents import Document
from isthmus.storage.schema.archive import (
    described,
    documents,
    formed,
    instances,
    learnt,
    looked,
    prepared,
    studies,
    unmapped,
)
from isthmus.terminology.mapping import Unmapped
from isthmus.wire.report.document import ReportIndex

_STUDY_FACTS = (
    "study_date", "study_time", "timezone_offset", "study_description", "accession_number", "accession_issuer",
    "placer_order_number", "procedure_code", "institution_name",
)  # fmt: skip
_SERIES_FACTS = (
    "modality", "series_number", "series_description", "body_part_examined", "anatomic_region", "laterality", "series_date",
    "series_time", "timezone_offset",
)  # fmt: skip


def facts(values: Mapping[str, Any]) -> str:
    """Facts as text: the same facts are the same text."""
    return orjson.dumps(
        {k: v for k, v in values.items() if v not in (None, "", [], ())}, option=orjson.OPT_SORT_KEYS
    ).decode()


def document_facts(said: Document | ReportIndex, status: str | None, version: str | None, **more: Any) -> str:
    """What a list shows of a document beside its columns, whether it tells itself or its source tells it."""
    custodian = said.custodian
    return facts(
        {
            "study_instance_uids": list(said.study_instance_uids),
            "accession_numbers": [[number.system, number.value] for number in said.accession_numbers],
            "order_numbers": [[number.system, number.value] for number in said.order_numbers],
            "authors": list(said.authors),
            "custodian": [custodian.name, custodian.identifier, custodian.system] if custodian else None,
            "modalities": list(said.modalities),
            "regions": [[region.system, region.code, region.display] for region in said.regions],
            "period_start": said.period_start,
            "report_status": status,
            "report_version": version,
            "sensitivity": list(said.sensitivity),
            **more,
        }
    )


def _facts_of(header: Header, names: tuple[str, ...]) -> str:
    return facts({name: _plain(getattr(header, name)) for name in names})


def _plain(value: object) -> object:
    return list(value) if isinstance(value, Code) else value


def header_columns(header: Header) -> dict[str, Any]:
    """What the index keeps of an instance's header."""
    title = facts({"code": _plain(header.document_title)}) if header.document_title else None
    return {
        "sop_instance_uid": header.sop_instance_uid,
        "series_instance_uid": header.series_instance_uid,
        "study_instance_uid": header.study_instance_uid,
        "sop_class_uid": header.sop_class_uid,
        "number": _bounded(header.instance_number),
        "frames": _bounded(header.number_of_frames),
        "title": title,
        "description": header.key_object_description,
        "refers_to": "\n".join(header.refers_to) or None,
        "study_facts": _facts_of(header, _STUDY_FACTS),
        "series_facts": _facts_of(header, _SERIES_FACTS),
        "transfer_syntax_uid": header.transfer_syntax_uid,
    }


def _bounded(number: int | None) -> int | None:
    """A number of 20 digits is none the database can hold. Source: field-faults F22."""
    return number if number is not None and abs(number) < 1 << 62 else None


def insert_instance(connection: Connection, columns: Mapping[str, Any]) -> None:
    connection.execute(insert(instances).values(**columns))


def assign_instance(
    connection: Connection, number: int, patient: int, state: str = "served", reason: str | None = None
) -> None:
    values = {"state": state, "reason": reason, "patient_id": patient}
    connection.execute(update(instances).where(instances.c.id == number).values(values))


def put_aside(connection: Connection, number: int, reason: str) -> None:
    """Put what is kept into quarantine: its UID is free again."""
    values = {"state": "quarantined", "reason": reason, "patient_id": None}
    connection.execute(update(instances).where(instances.c.id == number).values(values))


def raise_generation(connection: Connection, study_instance_uid: str, patient: int | None) -> None:
    """Say that what is offered of a study changed; the study comes to be with its first instance."""
    values = {"study_instance_uid": study_instance_uid, "patient_id": patient, "generation": 1}
    change: dict[str, Any] = {"generation": studies.c.generation + 1}
    if patient is not None:
        change["patient_id"] = patient
    connection.execute(
        insert_or(studies).values(**values).on_conflict_do_update(index_elements=["study_instance_uid"], set_=change)
    )


def withdraw(connection: Connection, study_instance_uid: str) -> None:
    """Say that something of a study was taken away: its manifests and what describes it go, at once.

    Directives that name an earlier manifest still find it; nobody else does. Decision 0012.
    """
    same = studies.c.study_instance_uid == study_instance_uid
    counted = {"generation": studies.c.generation + 1, "corrections": studies.c.corrections + 1}
    connection.execute(update(studies).where(same).values(counted))
    made = select(prepared.c.document).where(prepared.c.study_instance_uid == study_instance_uid)
    numbers = list(connection.execute(made).scalars())
    connection.execute(update(documents).where(documents.c.number.in_(numbers)).values(state="withdrawn"))
    connection.execute(delete(prepared).where(prepared.c.study_instance_uid == study_instance_uid))
    _withdraw_reports(connection, study_instance_uid)
    for table in (described, unmapped):
        connection.execute(delete(table).where(table.c.study_instance_uid == study_instance_uid))


def _withdraw_reports(connection: Connection, study_instance_uid: str) -> None:
    """Offer no report that was made of an instance of a study, until the study is looked at again."""
    born = select(formed.c.document).where(formed.c.study_instance_uid == study_instance_uid)
    reports = documents.c.number.in_(born), documents.c.state == "served"
    connection.execute(update(documents).where(*reports).values(state="withdrawn"))
    connection.execute(delete(looked).where(looked.c.study_instance_uid == study_instance_uid))


def note_study(
    connection: Connection,
    study_instance_uid: str,
    patient: int,
    source: str,
    content: str,
    before: Collection[str] = (),
) -> bool:
    """Keep what a source behind us tells of a study; a change raises its generation. False when another holds the study.

    The archive itself ("", where it is among `before`) holds what it has, a source that comes before this one what it tells. Any other
    one gives the study up, with its manifests: it comes later in the settings, has left them, or does not tell of the study any more.
    """
    row = connection.execute(select(studies).where(studies.c.study_instance_uid == study_instance_uid)).first()
    told = {"patient_id": patient, "content": content}
    if row is None:
        values = {"study_instance_uid": study_instance_uid, "generation": 1, "source": source}
        connection.execute(insert(studies).values(**values, **told))
    elif _is_others(row, source, before):
        return False
    elif row.source != source:
        same = studies.c.study_instance_uid == study_instance_uid
        connection.execute(update(studies).where(same).values(generation=row.generation + 1, source=source, **told))
        made = select(prepared.c.document).where(prepared.c.study_instance_uid == study_instance_uid)
        connection.execute(update(documents).where(documents.c.number.in_(made)).values(source=source))
    elif (row.patient_id, row.content) != (patient, content):
        same = studies.c.study_instance_uid == study_instance_uid
        connection.execute(update(studies).where(same).values(generation=row.generation + 1, **told))
    if row is not None and row.patient_id != patient:
        _withdraw_reports(connection, study_instance_uid)
    return True


def held_elsewhere(connection: Connection, study_instance_uid: str, source: str, before: Collection[str]) -> bool:
    """Whether a study is another one's to give, the archive's or that of a source before this one."""
    row = connection.execute(select(studies).where(studies.c.study_instance_uid == study_instance_uid)).first()
    return row is not None and _is_others(row, source, before)


def _is_others(row: Row[Any], source: str, before: Collection[str]) -> bool:
    return row.source != source and row.source in before and (row.source == "" or row.content is not None)


def noted_of(connection: Connection, patient: int | None, source: str) -> set[str]:
    """The studies of a patient that a source behind us told of, and has not given up."""
    s = studies.c
    of = s.patient_id == patient, s.source == source, s.content.is_not(None)
    return set(connection.execute(select(s.study_instance_uid).where(*of)).scalars())


def give_up(connection: Connection, study_instance_uids: Collection[str], patient: int, source: str) -> None:
    """Say that a source does not tell of these studies of a patient any more: another one may."""
    s = studies.c
    theirs = s.study_instance_uid.in_(study_instance_uids), s.patient_id == patient, s.source == source
    connection.execute(update(studies).where(*theirs).values(content=None))


def unclaimed(connection: Connection, patient: int, before: Collection[str]) -> list[str]:
    """Studies of which the archive serves instances, and that a source behind us holds which comes after it, has left, or gave them up."""
    s, i = studies.c, instances.c
    here = (i.study_instance_uid == s.study_instance_uid) & (i.patient_id == s.patient_id) & (i.state == "served")
    free = s.source.not_in(before) | s.content.is_(None)
    found = select(s.study_instance_uid).join(instances, here).where(s.patient_id == patient, s.source != "", free)
    return list(connection.execute(found.distinct()).scalars())


def claim(connection: Connection, study_instance_uids: Collection[str], patient: int) -> None:
    """Let the archive itself hold studies from now on, with what was made of them for this patient."""
    theirs = studies.c.study_instance_uid.in_(study_instance_uids)
    now = {"source": "", "content": None, "generation": studies.c.generation + 1}
    connection.execute(update(studies).where(theirs).values(now))
    made = select(prepared.c.document).where(prepared.c.study_instance_uid.in_(study_instance_uids))
    mine = documents.c.number.in_(made), documents.c.patient_id == patient
    connection.execute(update(documents).where(*mine).values(source=""))


def is_noted(connection: Connection, study_instance_uid: str, patient: int | None, source: str, content: str) -> bool:
    """Whether a study stands here as its source tells it now."""
    s = studies.c
    same = select(s.generation).where(
        s.study_instance_uid == study_instance_uid, s.patient_id == patient, s.source == source, s.content == content
    )
    return connection.execute(same).first() is not None


def learnt_classes(connection: Connection, source: str, study_instance_uid: str) -> dict[str, str]:
    """The SOP classes of instances of a study that were learnt, since their source does not tell them."""
    of = learnt.c.source == source, learnt.c.study_instance_uid == study_instance_uid
    return {
        row[0]: row[1]
        for row in connection.execute(select(learnt.c.sop_instance_uid, learnt.c.sop_class_uid).where(*of))
    }


def learn_classes(connection: Connection, source: str, study_instance_uid: str, classes: Mapping[str, str]) -> None:
    """Keep SOP classes by SOP Instance UID: what an instance is never changes."""
    of = {"source": source, "study_instance_uid": study_instance_uid}
    rows = [{**of, "sop_instance_uid": uid, "sop_class_uid": sop_class} for uid, sop_class in classes.items()]
    if rows:
        connection.execute(insert_or(learnt).on_conflict_do_nothing(), rows)


def note_unmapped(connection: Connection, study_instance_uid: str, source: str, codes: Iterable[Unmapped]) -> None:
    """Keep which national codes of a study no table knows, in place of what was kept before."""
    connection.execute(delete(unmapped).where(unmapped.c.study_instance_uid == study_instance_uid))
    for one in codes:
        said = {"kind": one.kind, "system": one.system, "code": one.code, "display": one.display, "source": source}
        connection.execute(
            insert_or(unmapped).values(study_instance_uid=study_instance_uid, **said).on_conflict_do_nothing()
        )


def insert_document(connection: Connection, columns: Mapping[str, Any]) -> int:
    """Add a document; gives its number."""
    number = connection.execute(insert(documents).values(**columns)).inserted_primary_key
    return int(number[0]) if number else 0


def change_document(connection: Connection, number: int, columns: Mapping[str, Any]) -> int:
    """Say otherwise what a document is; it keeps its number."""
    connection.execute(update(documents).where(documents.c.number == number).values(**columns))
    return number


def supersede(connection: Connection, kind: str, family: str, but: int) -> None:
    """Say of every other version of a document that it is no longer the current one."""
    others = (documents.c.kind == kind) & (documents.c.family == family) & (documents.c.number != but)
    connection.execute(update(documents).where(others, documents.c.state == "served").values(status="superseded"))
