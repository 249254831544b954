"""Which documents of a patient stand where a new one comes: the same bytes, an earlier version, one that it replaces.

Source: interfaces.md §11; wire.md §1.4.4 (relations between entries), §2.4.
"""

from __future__ import annotations

import re
import uuid
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Connection, Row, select, update

from isthmus.archive import index
from isthmus.archive.formed import rows as formed
from isthmus.model.confidentiality import beyond_normal, highest
from isthmus.model.documents import DocumentKind
from isthmus.model.identifiers import Identifier
from isthmus.storage.schema.archive import documents
from isthmus.wire.report.document import ReportIndex

REPORTS: Final = tuple(kind.value for kind in DocumentKind if not kind.is_manifest)
VERSION_MAX: Final = 200  # characters that are compared; more digits than 4300 are no number to Python


def raise_label(connection: Connection, row: Row[Any], label: str | None) -> None:
    """Put a higher label on a document that is kept; a label is never lowered by bringing the document again."""
    facts = orjson.loads(row.facts)
    held = facts.get("sensitivity", [])
    now = list(beyond_normal(highest((*held, label))))
    if now != held:
        mine = documents.c.number == row.number
        connection.execute(update(documents).where(mine).values(facts=index.facts(facts | {"sensitivity": now})))
        formed.erase(connection, row.number)  # it is made anew, with the label in it


def issued_anew(before: Row[Any], refusal: str) -> bool:
    """Whether it is the same version of what was moved to this patient and named somebody else."""
    return bool(before.state == "corrected") and refusal == "other-document"


def replaced(connection: Connection, named: Identifier | int | None, patient: int | None) -> Row[Any] | str | None:
    """The document that a sender says it replaces, the current one of this patient; or why not."""
    if named is None:
        return None
    d = documents.c
    this = d.number == named if isinstance(named, int) else _of_identifier(named)
    rows = select(documents).where(this, d.patient_id == patient, d.state == "served", d.source == "")
    row = connection.execute(rows.where(d.kind.in_(REPORTS)).order_by(d.number.desc()).limit(1)).first()
    if row is None:
        return "unknown-replaced"
    return row if row.status == "current" else "older-version"


def same_bytes(connection: Connection, sha256: str, patient: int | None) -> Row[Any] | None:
    """The document of these very bytes, for this patient."""
    d = documents.c
    return connection.execute(
        select(documents).where(d.sha256 == sha256, d.patient_id == patient, d.state != "quarantined")
    ).first()


def in_quarantine(connection: Connection, sha256: str) -> bool:
    d = documents.c
    rows = select(d.number).where(d.sha256 == sha256, d.state == "quarantined")
    return connection.execute(rows).first() is not None


def never_used(connection: Connection, unique: Identifier, version: str | None) -> Identifier:
    """The document's own identifier; where its versions share one, each later one gets another that follows from it."""
    if not taken(connection, unique):
        return unique
    derived = uuid.uuid5(uuid.NAMESPACE_OID, f"{unique.system}|{unique.value}/{version}")
    return Identifier("urn:ietf:rfc:3986", f"urn:uuid:{derived}")


def taken(connection: Connection, unique: Identifier) -> bool:
    return connection.execute(select(documents.c.number).where(_of_identifier(unique))).first() is not None


def _of_identifier(unique: Identifier) -> ColumnElement[bool]:
    return (documents.c.unique_system == (unique.system or "")) & (documents.c.unique_value == unique.value)


def latest(connection: Connection, kind: str, patient: int, family: str) -> Row[Any] | None:
    d = documents.c
    kept = d.state.in_(("served", "corrected", "retracted", "deleted"))  # a version that was taken back counts too
    mine = select(documents).where(d.patient_id == patient, d.kind == kind, d.family == family, kept)
    return connection.execute(mine.order_by(d.number.desc()).limit(1)).first()


def not_newer(before: Row[Any], said: ReportIndex) -> str | None:
    """Why a document of a known identifier is not its next version; None when it is.

    Versions are numbers, or texts with numbers in them; without a version there is none to compare.
    """
    held = orjson.loads(before.facts).get("report_version")
    if said.version is None or _version(said.version) == _version(held or ""):
        return "other-document"
    return "older-version" if _version(said.version) < _version(held or "") else None


def _version(text: str) -> tuple[tuple[bool, int, str], ...]:
    """`10` comes after `9`, `1.2` after `1`. Of a text without end the beginning counts."""
    parts = re.findall(r"\d+|[^\d]+", text[:VERSION_MAX])
    return tuple((part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts)
