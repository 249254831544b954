"""What crosses instead of what is meant: handles for patients, pairwise ids for documents, cursors for pages, ids for decisions.

A handle opens nothing for another country or another professional; a document id means nothing to another country; neither
table holds a patient's identifier in clear.

Source: trust.md §2.5, §2.6.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from sqlalchemy import Connection, delete, insert, select

from isthmus.country_a.passes import Asker
from isthmus.errors import ContentMismatch, MalformedRequest, NationalInfrastructureUnavailable
from isthmus.model.identifiers import PatientIdentifier
from isthmus.storage.database import Database
from isthmus.storage.schema.country_a import BORDER_DECISIONS, BORDER_HANDLES
from isthmus.storage.sealed import MasterKey, seal, unseal

HANDLE_LIFE = timedelta(hours=24)
CURSOR_LIFE = timedelta(minutes=10)
ID_CHARACTERS = 40
_ID_VERSION = b"\x01"


class Handles:
    """The node's handles. Keys are derived from K-env, one for each use."""

    def __init__(self, db: Database, master: MasterKey, clock: Callable[[], datetime]) -> None:
        self._db, self._clock = db, clock
        self._sealing = master.derive("country_a/handles")
        self._deciding = master.derive("country_a/decisions")
        self._paging = master.derive("country_a/cursors")
        self._naming = AESSIV(master.derive("country_a/document-ids", 64))
        self._describing = master.derive("country_a/study-ids")
        self._tagging = master.derive("country_a/etags")

    # patients

    async def give(self, peer: str, sub: str, patient: PatientIdentifier) -> str:
        """A new handle of a patient, for one professional of one country, for a day."""
        handle, now = secrets.token_hex(16), self._clock()
        digest = _digest(handle)
        sealed = seal(self._sealing, orjson.dumps([patient.system, patient.value]), digest)

        def write(connection: Connection) -> None:
            _purge(connection, now)
            connection.execute(
                insert(BORDER_HANDLES).values(
                    digest=digest, peer=peer, sub=sub, patient=sealed, expires_at=int((now + HANDLE_LIFE).timestamp())
                )
            )

        await self._db.write(write)
        return handle

    async def patient_of(self, handle: str, peer: str, sub: str) -> PatientIdentifier | None:
        """Whose handle it is, if it was given to this professional of this country within a day."""
        digest, table = _digest(handle), BORDER_HANDLES.c
        mine = select(table.patient).where(
            table.digest == digest,
            table.peer == peer,
            table.sub == sub,
            table.expires_at > int(self._clock().timestamp()),
        )
        sealed = await self._db.read(lambda connection: connection.execute(mine).scalar_one_or_none())
        return None if sealed is None else PatientIdentifier(*self._opened(self._sealing, sealed, digest))

    # decisions

    def keep(self, connection: Connection, did: str, asker: Asker, expires_at: int) -> None:
        """Keep what a token was given for; in the transaction of its record."""
        digest = _digest(did)
        sealed = seal(self._deciding, orjson.dumps(asdict(asker)), digest)
        connection.execute(insert(BORDER_DECISIONS).values(did=digest, context=sealed, expires_at=expires_at))

    async def asker_of(self, did: str) -> Asker | None:
        """What a token was given for, while it lives."""
        digest, table = _digest(did), BORDER_DECISIONS.c
        mine = select(table.context).where(table.did == digest)
        sealed = await self._db.read(lambda connection: connection.execute(mine).scalar_one_or_none())
        if sealed is None:
            return None
        kept = self._opened(self._deciding, sealed, digest)
        patient = kept.pop("patient")
        return Asker(**kept, patient=PatientIdentifier(**patient) if patient else None)

    # documents

    def document_id(self, peer: str, kind: str, row: str) -> str:
        """The id of a document for this country: the same for as long as the document exists."""
        try:
            plain = _ID_VERSION + int(row).to_bytes(8)
        except (ValueError, OverflowError) as error:
            raise NationalInfrastructureUnavailable("a document without a row number") from error
        return base64.b32encode(self._naming.encrypt(plain, [peer.encode(), kind.encode()])).decode().lower()

    def row_of(self, peer: str, kind: str, id_: str) -> str | None:
        """The document that an id of this country names; None for anything else."""
        try:
            if len(id_) != ID_CHARACTERS or id_ != id_.lower():
                return None
            plain = self._naming.decrypt(base64.b32decode(id_.upper()), [peer.encode(), kind.encode()])
        except (InvalidTag, binascii.Error, ValueError):
            return None
        return str(int.from_bytes(plain[1:]))

    def study_id(self, peer: str, study_instance_uid: str) -> str:
        """The id of a study for this country: it stays when the content changes. Found again among the patient's alone."""
        parts = b"".join(len(part).to_bytes(8) + part for part in (peer.encode(), study_instance_uid.encode()))
        digest = hashlib.blake2b(parts, key=self._describing, digest_size=20)
        return base64.b32encode(digest.digest()).decode().lower()

    def etag(self, *parts: str | bytes) -> str:
        """A keyed hash: it tells a reader that nothing changed, and nobody anything else."""
        digest = hashlib.blake2b(key=self._tagging, digest_size=16)
        for part in parts:
            data = part.encode() if isinstance(part, str) else part
            digest.update(len(data).to_bytes(8) + data)
        return f'"{digest.hexdigest()}"'

    # pages

    def write_cursor(self, position: tuple[str, ...], binding: bytes) -> str:
        """Where a page ends, for the one who asked, for ten minutes."""
        until = int((self._clock() + CURSOR_LIFE).timestamp())
        sealed = seal(self._paging, orjson.dumps([*position, until]), binding)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def read_cursor(self, cursor: str, binding: bytes) -> tuple[str, ...]:
        """Raises MalformedRequest when it is not one of ours for this query, or too old."""
        try:
            sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            *position, until = orjson.loads(unseal(self._paging, sealed, binding))
        except (ContentMismatch, ValueError, binascii.Error):
            raise MalformedRequest("not a page of this search", reason="value", path="_cursor") from None
        if until < self._clock().timestamp():
            raise MalformedRequest("the page is too old; search again", reason="value", path="_cursor")
        return tuple(position)

    def _opened(self, key: bytes, sealed: bytes, digest: bytes) -> Any:
        try:
            return orjson.loads(unseal(key, sealed, digest))
        except ContentMismatch as error:
            raise NationalInfrastructureUnavailable("a handle or decision does not open") from error


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _purge(connection: Connection, now: datetime) -> None:
    """What has expired goes, a minute later, so that clocks may differ."""
    for table in (BORDER_HANDLES, BORDER_DECISIONS):
        connection.execute(delete(table).where(table.c.expires_at < int(now.timestamp()) - 60))
