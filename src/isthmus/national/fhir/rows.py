"""The numbers of documents that lie in a FHIR repository: one for each document of each patient, kept for as long as its bytes stay the same.

A row is held by its source and the source's name of it with its version. When a version brings other bytes it is another document, with
a number of its own, that replaces the one before, which is withdrawn: its bytes are nowhere any more.

Source: trust.md §2.5; interfaces.md §10.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from isthmus.archive import index, queries, register
from isthmus.archive.formed import rows as forms
from isthmus.model.documents import Document
from isthmus.model.identifiers import Identifier, PatientIdentifier
from isthmus.national.fhir.contents import MEDIA_TYPES, Said
from isthmus.national.fhir.told import Told
from isthmus.storage.schema.archive import documents, formed

WITHDRAWN = "withdrawn"


def held_by(connection: Connection, source: str, patient: PatientIdentifier) -> Mapping[str, Row[Any]]:
    """The rows of a patient's documents as they stand, by the source's name of each without version."""
    anchor = register.anchor_row(connection, patient)
    rows = _rows().where(documents.c.patient_id == anchor, documents.c.source == source, documents.c.state == "served")
    return {row.family: row for row in connection.execute(rows.order_by(documents.c.number))}


def row_of(connection: Connection, number: int) -> Row[Any]:
    """A document's row, with what was noted of what is made of it: `made_for`, the digest `made`, and `made_size`."""
    return connection.execute(_rows().where(documents.c.number == number)).one()


def _rows() -> Any:
    f = formed.c
    noted = f.made_for, f.sha256.label("made"), f.size.label("made_size")
    return select(documents, *noted).outerjoin(formed, f.document == documents.c.number)


def is_as_told(row: Row[Any] | None, told: Told) -> bool:
    """Whether a row is of this very version."""
    return row is not None and row.foreign_id == _foreign_id(row.patient_id, told)


def listed(connection: Connection, source: str, patient: PatientIdentifier, pack: str) -> list[Document]:
    """Every document of a patient that is noted of a source, as it is offered."""
    anchor = register.anchor_row(connection, patient)
    return (
        []
        if anchor is None
        else forms.as_formed(connection, anchor, queries.documents_of(connection, anchor, pack, source))
    )


def families(connection: Connection, source: str, patient: PatientIdentifier) -> Mapping[str, str]:
    """The source's name of every document a patient ever had, without version, by our number: the oldest first."""
    anchor = register.anchor_row(connection, patient)
    d = documents.c
    every = select(d.number, d.family).where(d.patient_id == anchor, d.source == source).order_by(d.number)
    return {str(row.number): row.family or "" for row in connection.execute(every)}


def keep(connection: Connection, source: str, patient: PatientIdentifier, told: Told, said: Said, now: datetime) -> int:
    """Have a row for a document as it is now; gives its number. The same bytes keep theirs, whatever else is told of them."""
    anchor = register.anchor(connection, patient)
    columns = _columns(said.document) | {"foreign_id": _foreign_id(anchor, told)}
    before = held_by(connection, source, patient).get(told.reference)
    if before is not None and before.sha256 == said.sha256 and before.kind == said.document.kind.value:
        connection.execute(update(documents).where(documents.c.number == before.number).values(**columns))
        return int(before.number)
    if before is not None:
        gone = {"state": WITHDRAWN, "status": "superseded", "foreign_id": None}
        connection.execute(update(documents).where(documents.c.number == before.number).values(**gone))
        forms.erase(connection, before.number)
    unique = _never_used(connection, said, anchor, source)
    document = said.document
    made = now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    columns |= {
        "kind": document.kind.value, "state": "served", "source": source, "patient_id": anchor,
        "unique_system": unique.system or "", "unique_value": unique.value, "family": told.reference,
        "replaces": before.number if before is not None else None,
        "created": document.created or made, "indexed": _instant(document.indexed) or made,
        "media_type": MEDIA_TYPES[document.kind], "size": len(said.body), "sha256": said.sha256,
    }  # fmt: skip
    return index.insert_document(connection, columns)


def doubt(connection: Connection, number: int) -> None:
    """Let a document be read again before it is listed: what it was listed for could not be had."""
    connection.execute(update(documents).where(documents.c.number == number).values(foreign_id=None))


def _columns(document: Document) -> dict[str, Any]:
    """What may be told otherwise of the same bytes."""
    return {
        "title": document.title,
        "language": document.language,
        "status": document.status,
        "facts": index.document_facts(document, document.report_status, document.report_version),
    }


def _foreign_id(anchor: int, told: Told) -> str:
    """As the source names it, with its version, and of which patient: one may be known by two numbers."""
    return f"{told.reference}/_history/{told.version} of {anchor}"


def _never_used(connection: Connection, said: Said, anchor: int, source: str) -> Identifier:
    """The document's own identifier; where it has none, or another has the same, one that follows from its bytes.

    The same bytes of the same patient in two sources, or in one under a new name, are no other: what a directive names is both.
    """
    d, unique = documents.c, said.document.unique_id
    copy = (d.patient_id == anchor) & (d.sha256 == said.sha256) & (d.source != source)
    taken = select(d.number).where(d.unique_system == (unique.system or ""), d.unique_value == unique.value, ~copy)
    if unique.system and unique.value and connection.execute(taken).first() is None:
        return unique
    derived = uuid.uuid5(uuid.NAMESPACE_OID, f"{unique.system}|{unique.value}/{anchor}/{said.sha256}")
    return Identifier("urn:ietf:rfc:3986", f"urn:uuid:{derived}")


def _instant(text: str) -> str | None:
    """A moment as the border writes it; None for what is no instant."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    if when.tzinfo is None or "T" not in text:
        return None
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
