"""What patients said, kept signed: each directive by the national consent service, each patient's set under a signed head.

A directive that cannot be verified, one that is missing and one that came back from an older copy all show, and all close:
NationalInfrastructureUnavailable, in the words of any source that does not answer. Where set and head are gone together the
trail still knows the head.

Source: trust.md §3.1; T36, T104.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, delete, insert, select, update

from isthmus.config import Settings
from isthmus.consent.decision import DirectiveSet
from isthmus.consent.records import Directive, checked_scope, read_record, write_record
from isthmus.errors import ContentMismatch, DocumentNotFound, NationalInfrastructureUnavailable, SettingsProblem
from isthmus.model.identifiers import PatientIdentifier
from isthmus.storage.database import Database
from isthmus.storage.schema.consent import CONSENT_DIRECTIVES, CONSENT_HEADS
from isthmus.storage.sealed import MasterKey, seal, unseal
from isthmus.trust.jws import BadSignature, sign_detached, verify_detached
from isthmus.trust.keys import SigningKey, StatementKey, load_public_key, load_signing_key

DIRECTIVE_TYPE = "ncp-consent+jws"
HEAD_TYPE = "ncp-consent-head+jws"
USE = "consent"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a patient's set, ready to be written with the record of it. `number` is the new head's."""

    patient: PatientIdentifier
    directive: Directive
    number: int
    digest: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """A patient's set as it was verified, and the number of its head (0: nothing was ever said)."""

    directives: DirectiveSet
    number: int


class Directives:
    """The directives of Country A's patients. Without a signing key it only reads."""

    def __init__(
        self,
        db: Database,
        master: MasterKey,
        keys: Mapping[str, StatementKey],
        signing: SigningKey | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._db, self._keys, self._signing, self._clock = db, keys, signing, clock
        self._seal_key = master.derive("consent/directives")
        self._tag_key = master.derive("consent/patients")

    @classmethod
    def of_settings(cls, settings: Settings, db: Database, clock: Callable[[], datetime]) -> Directives:
        """As the node's settings say: the consent service's public keys, and its private one where we are it."""
        pinned = [
            load_public_key(settings.path(file), settings.env, frozenset({USE})) for file in settings.consent.keys
        ]
        signing = (
            load_signing_key(settings.path(settings.keys.consent), settings.env) if settings.keys.consent else None
        )
        master = MasterKey.load(settings.path(settings.keys.env))
        return cls(db, master, {key.kid: key for key in pinned}, signing, clock)

    async def of(self, patient: PatientIdentifier) -> DirectiveSet:
        """Everything the patient said. Raises NationalInfrastructureUnavailable when any of it is in doubt."""
        return (await self._db.read(lambda connection: self._read(connection, patient))).directives

    def of_now(self, patient: PatientIdentifier) -> DirectiveSet:
        return self._db.read_now(lambda connection: self._read(connection, patient)).directives

    def is_head_now(self, patient: PatientIdentifier, number: str, digest: str) -> bool:
        """Whether the patient's head is the one that the trail knows. Source: trust.md §3.1."""
        head = CONSENT_HEADS.c
        mine = select(head.number, head.digest).where(head.patient_tag == self._tag(patient))
        row = self._db.read_now(lambda connection: connection.execute(mine).one_or_none())
        return row is not None and (str(row.number), row.digest) == (number, digest)

    def change_now(self, patient: PatientIdentifier, kind: str, scope: str, *, withdraw: bool = False) -> Change | None:
        """Prepare a change; None when it is so already. Raises DocumentNotFound when there is nothing to withdraw."""
        scope, now = checked_scope(kind, scope), self._clock()
        kept = self._db.read_now(lambda connection: self._read(connection, patient))
        said = [d for d in kept.directives.directives if (d.kind, d.scope) == (kind, scope) and d.holds(now)]
        if withdraw and not said:
            raise DocumentNotFound("no such directive of this patient is in force")
        if said and not withdraw:
            return None
        new = Directive(secrets.token_hex(16), kind, scope, patient, now)
        directive = replace(said[0], active=False, until=now) if withdraw else new
        others = [d for d in kept.directives.directives if d.id != directive.id]
        return Change(patient, directive, kept.number + 1, DirectiveSet((*others, directive)).digest)

    def write(self, connection: Connection, change: Change) -> None:
        """Write a change in the caller's transaction: beside the record in the trail, or not at all."""
        if self._signing is None:
            raise SettingsProblem("this node holds no key of the consent service: set keys.consent", key="keys.consent")
        if self._read(connection, change.patient).number != change.number - 1:
            raise NationalInfrastructureUnavailable("the patient's directives were changed by someone else; try again")
        tag, body = self._tag(change.patient), write_record(change.directive)
        connection.execute(delete(CONSENT_DIRECTIVES).where(CONSENT_DIRECTIVES.c.id == change.directive.id))
        connection.execute(
            insert(CONSENT_DIRECTIVES).values(
                id=change.directive.id,
                patient_tag=tag,
                sealed=seal(self._seal_key, body, change.directive.id.encode()),
                signature=sign_detached(body, self._signing, DIRECTIVE_TYPE),
            )
        )
        head: dict[str, Any] = {"number": change.number, "digest": change.digest}
        head["signature"] = sign_detached(_head(tag, change.number, change.digest), self._signing, HEAD_TYPE)
        if change.number == 1:
            connection.execute(insert(CONSENT_HEADS).values(patient_tag=tag, **head))
        else:
            connection.execute(update(CONSENT_HEADS).where(CONSENT_HEADS.c.patient_tag == tag).values(**head))

    def _read(self, connection: Connection, patient: PatientIdentifier) -> _Kept:
        tag = self._tag(patient)
        rows = connection.execute(select(CONSENT_DIRECTIVES).where(CONSENT_DIRECTIVES.c.patient_tag == tag)).all()
        head = connection.execute(select(CONSENT_HEADS).where(CONSENT_HEADS.c.patient_tag == tag)).one_or_none()
        if head is None:
            if rows:
                raise NationalInfrastructureUnavailable("directives without a head")
            return _Kept(DirectiveSet(), 0)
        try:
            verify_detached(_head(tag, head.number, head.digest), head.signature, self._keys.get, HEAD_TYPE)
            found = DirectiveSet(tuple(self._verified(row, patient) for row in rows))
        except (BadSignature, ContentMismatch) as error:
            raise NationalInfrastructureUnavailable("a directive cannot be verified") from error
        if found.digest != head.digest:
            raise NationalInfrastructureUnavailable("directives and their head do not agree")
        return _Kept(found, head.number)

    def _verified(self, row: Row[Any], patient: PatientIdentifier) -> Directive:
        body = unseal(self._seal_key, row.sealed, row.id.encode())
        verify_detached(body, row.signature, self._keys.get, DIRECTIVE_TYPE)
        directive = read_record(body)
        if directive.id != row.id or directive.patient != patient:
            raise NationalInfrastructureUnavailable("a directive of someone else")
        return directive

    def _tag(self, patient: PatientIdentifier) -> bytes:
        return hmac.digest(self._tag_key, orjson.dumps([patient.system, patient.value]), hashlib.sha256)


def _head(tag: bytes, number: int, digest: str) -> bytes:
    return orjson.dumps({"digest": digest, "number": number, "patient": tag.hex()})
