"""What is kept of formed reports. Each function works inside a transaction of its caller.

Decision 0016.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson
from sqlalchemy import Connection, Row, and_, delete, or_, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or

from isthmus.archive import index
from isthmus.archive.formed.maker import Made
from isthmus.fhir.elements import MEDIA_TYPE
from isthmus.model.confidentiality import beyond_normal, highest
from isthmus.model.documents import WITHDRAWN, Document, DocumentKind
from isthmus.originals.instances import ENCAPSULATED, STRUCTURED
from isthmus.storage.schema.archive import documents, formed, instances, looked, studies

ISSUED = (DocumentKind.REPORT_PDF.value, DocumentKind.REPORT_CDA.value)
CLASSES = (*sorted(STRUCTURED), *ENCAPSULATED)


def unformed(connection: Connection, patient: int, made_for: str) -> list[int]:
    """The reports of a patient of which nothing was made yet, or for another state of the register."""
    d, f = documents.c, formed.c
    statement = (
        select(d.number)
        .outerjoin(formed, f.document == d.number)
        .where(d.patient_id == patient, d.source == "", d.state == "served")
        .where(or_(d.kind.in_(ISSUED), d.foreign_id.is_not(None)))
        .where(or_(f.document.is_(None), f.made_for != made_for))
    )
    return list(connection.execute(statement.order_by(d.number)).scalars())


def unlooked(connection: Connection, patient: int, made_for: str) -> list[str]:
    """The studies of a patient that have changed since they were looked at for reports, or have one of which nothing could be made
    for another state of the register."""
    same = and_(
        looked.c.study_instance_uid == studies.c.study_instance_uid, looked.c.generation == studies.c.generation
    )
    statement = (
        select(studies.c.study_instance_uid)
        .outerjoin(looked, same)
        .where(studies.c.patient_id == patient, studies.c.source == "")
        .where(or_(looked.c.generation.is_(None), studies.c.study_instance_uid.in_(_failed(patient, made_for))))
    )
    return list(connection.execute(statement.order_by(studies.c.study_instance_uid)).scalars())


def _failed(patient: int, made_for: str) -> Any:
    """The studies of a patient with an instance of which nothing could be made for another state of the register."""
    f, d, i = formed.c, documents.c, instances.c
    served = (i.sop_instance_uid == d.foreign_id) & (i.patient_id == d.patient_id) & (i.state == "served")
    failed = select(f.study_instance_uid).join(documents, d.number == f.document).join(instances, served)
    return failed.where(d.patient_id == patient, d.source == "", f.size == 0, f.made_for != made_for)


def is_settled(connection: Connection, held: Row[Any] | None, instance: Row[Any], made_for: str) -> bool:
    """Whether a report was made of these very bytes for this patient, or none can be as the register stands."""
    if held is None or (held.sha256, held.patient_id) != (instance.sha256, instance.patient_id):
        return False
    f = formed.c
    failed = select(f.document).where(f.document == held.number, f.size == 0, f.made_for != made_for)
    return connection.execute(failed).first() is None


def generation_of(connection: Connection, study_instance_uid: str) -> int:
    held = select(studies.c.generation).where(studies.c.study_instance_uid == study_instance_uid)
    return int(connection.execute(held).scalar() or 0)


def report_instances(connection: Connection, study_instance_uid: str) -> list[Row[Any]]:
    """What is served of a study and is a report."""
    i = instances.c
    of = i.study_instance_uid == study_instance_uid, i.state == "served", i.sop_class_uid.in_(CLASSES)
    return list(connection.execute(select(instances).where(*of).order_by(i.sop_instance_uid)))


def instance_of(connection: Connection, document: Row[Any]) -> Row[Any] | None:
    """The instance that a report was made of, while it is served to the same patient."""
    i = instances.c
    of = i.sop_instance_uid == document.foreign_id, i.state == "served", i.patient_id == document.patient_id
    return connection.execute(select(instances).where(*of)).first()


def born_of(connection: Connection, sop_instance_uid: str) -> Row[Any] | None:
    """The report that was made of an instance."""
    d = documents.c
    return connection.execute(select(documents).where(d.source == "", d.foreign_id == sop_instance_uid)).first()


def give_up(connection: Connection, number: int) -> None:
    """Let the report of an instance go that is another now, with what was made of it. A directive that names it still finds it."""
    erase(connection, number)
    mine = documents.c.number == number
    connection.execute(update(documents).where(mine).values(foreign_id=None, state=WITHDRAWN))


def stand(connection: Connection, study_instance_uid: str, served: Iterable[str]) -> None:
    """Offer what was made of the instances that are served, and nothing that was made of others. What was retracted stays so."""
    d, here = documents.c, list(served)
    of = select(formed.c.document).where(formed.c.study_instance_uid == study_instance_uid)
    born = d.number.in_(of) & d.foreign_id.is_not(None)
    gone = update(documents).where(born, d.state == "served", d.foreign_id.not_in(here))
    connection.execute(gone.values(state=WITHDRAWN))
    whole = select(formed.c.document).where(formed.c.study_instance_uid == study_instance_uid, formed.c.size > 0)
    back = update(documents).where(d.number.in_(whole), d.state == WITHDRAWN, d.foreign_id.in_(here))
    connection.execute(back.values(state="served"))


def tie(connection: Connection, study_instance_uid: str) -> None:
    """Say of each report of a study that was issued anew which it replaces. One that is final gives way only to a final one.

    What was replaced stays so when the later one goes: nobody has said that it holds. Decision 0012.
    """
    d, f = documents.c, formed.c
    columns = select(d.number, d.foreign_id, d.patient_id, d.facts).join(formed, f.document == d.number)
    served = f.study_instance_uid == study_instance_uid, d.foreign_id.is_not(None), d.source == "", d.state == "served"
    found = {row.foreign_id: (row, orjson.loads(row.facts)) for row in connection.execute(columns.where(*served))}
    for row, facts in found.values():
        before, its = found.get(facts.get("replaced"), (row, facts))
        unfinished = its.get("report_status") == "final" and facts.get("report_status") != "final"
        if before.number == row.number or before.patient_id != row.patient_id or unfinished:
            continue
        connection.execute(update(documents).where(d.number == row.number).values(replaces=before.number))
        connection.execute(update(documents).where(d.number == before.number).values(status="superseded"))


def note_look(connection: Connection, study_instance_uid: str, generation: int) -> None:
    values = {"study_instance_uid": study_instance_uid, "generation": generation}
    statement = insert_or(looked).values(**values)
    connection.execute(statement.on_conflict_do_update(index_elements=["study_instance_uid"], set_=values))


def keep(
    connection: Connection,
    number: int,
    made: Made,
    made_for: str,
    study_instance_uid: str | None = None,
    *,
    bytes_too: bool = True,
) -> None:
    """Keep what was made of a report, in place of what was made before; of a report that lies elsewhere without its bytes."""
    values: dict[str, Any] = {
        "document": number,
        "study_instance_uid": study_instance_uid,
        "made_for": made_for,
        "profile": made.profile,
        "size": len(made.body),
        "sha256": hashlib.sha256(made.body).hexdigest(),
        "body": zlib.compress(made.body) if bytes_too else b"",
    }
    statement = insert_or(formed).values(**values)
    connection.execute(statement.on_conflict_do_update(index_elements=["document"], set_=values))
    if made.body:
        mine = documents.c.number == number
        facts = orjson.loads(connection.execute(select(documents.c.facts).where(mine)).scalar_one())
        label = highest((*facts.get("sensitivity", ()), *(made.said.sensitivity if made.said else ())))
        told = {"unmapped": len(made.unmapped), "mapped_by": made.mapped_by, "sensitivity": beyond_normal(label)}
        connection.execute(update(documents).where(mine).values(facts=index.facts(facts | told)))
        index.note_unmapped(connection, f"report {number}", made.source, made.unmapped)


def patients_of(connection: Connection, study_instance_uids: Iterable[str]) -> list[int]:
    """Whose these studies are."""
    wanted = select(studies.c.patient_id).where(studies.c.study_instance_uid.in_(list(study_instance_uids)))
    return list(connection.execute(wanted.where(studies.c.patient_id.is_not(None)).distinct()).scalars())


def erase(connection: Connection, number: int) -> None:
    """What was made of a report goes with its bytes."""
    connection.execute(delete(formed).where(formed.c.document == number))
    index.note_unmapped(connection, f"report {number}", "", ())


def erase_of(connection: Connection, sop_instance_uids: Iterable[str]) -> None:
    """What was made of instances goes with their bytes; come again, they are new reports."""
    d = documents.c
    born = select(d.number).where(d.source == "", d.foreign_id.in_(list(sop_instance_uids)))
    for number in list(connection.execute(born).scalars()):
        give_up(connection, number)


def as_formed(connection: Connection, patient: int, found: Iterable[Document]) -> list[Document]:
    """Documents of a patient as they are offered: what was made of a report in the place of what was issued.

    A study of which a report is an instance is as confidential as that report, for who is given the study is given the instance.
    """
    found = _with_labels(connection, patient, found)
    f, d = formed.c, documents.c
    columns = select(f.document, f.profile, f.size, d.source, d.foreign_id)
    rows = connection.execute(
        columns.join(documents, d.number == f.document).where(d.patient_id == patient, f.size > 0)
    )
    made = {str(row.document): row for row in rows}
    unmade = d.patient_id == patient, d.foreign_id.is_not(None), d.source == ""
    born = {str(number) for number in connection.execute(select(d.number).where(*unmade)).scalars()} - made.keys()
    return [
        _formed(document, made[document.id])
        if document.id in made
        else replace(document, status=WITHDRAWN)  # an instance of which nothing can be made now stays an instance
        if document.id in born
        else document
        for document in found
    ]


def _with_labels(connection: Connection, patient: int, found: Iterable[Document]) -> list[Document]:
    found, d, f = list(found), documents.c, formed.c
    born = select(d.number, f.study_instance_uid).join(formed, f.document == d.number)
    of = {
        str(row.number): row.study_instance_uid
        for row in connection.execute(born.where(d.patient_id == patient, d.source == "", d.foreign_id.is_not(None)))
    }
    labels: dict[str, set[str]] = {}
    for one in found:
        if one.id in of and one.status != WITHDRAWN:
            labels.setdefault(of[one.id], set()).update(one.sensitivity)
    return [
        replace(
            one, sensitivity=tuple(sorted({label for uid in one.study_instance_uids for label in labels.get(uid, ())}))
        )
        if one.kind.is_manifest
        else one
        for one in found
    ]


def _formed(document: Document, row: Any) -> Document:
    return replace(
        document,
        kind=DocumentKind.REPORT_FHIR,
        media_type=MEDIA_TYPE,
        size_bytes=row.size,
        profile=row.profile,
        issued=None if row.foreign_id and not row.source else document.media_type,  # an instance is had as one
    )


def read_formed(connection: Connection, number: int) -> bytes | None:
    """What was made of a report; None where nothing was, or could be."""
    row = connection.execute(select(formed.c.body, formed.c.size).where(formed.c.document == number)).first()
    return zlib.decompress(row.body) if row is not None and row.size else None
