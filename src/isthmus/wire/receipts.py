"""What arrived, said by who received it and confirmed by who sent it: one digest over the same list, signed by both.

Source: trust.md §2.6 (M9, M10), D6; RFC 7515.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from isthmus.errors import MalformedRequest
from isthmus.fhir import elements as el
from isthmus.model.identifiers import checked_uid, is_exchange_id

RECEIPT_TYPE = "ncp-receipt+jwt"
VIEW_TYPE = "ncp-view+jwt"
LIFE_S = 600  # to be handed in; what it says stays true
BODY_MAX_BYTES = 8 << 20
EXCHANGES_MAX = 64
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """One instance as it crossed."""

    sop_instance_uid: str
    size_bytes: int
    sha256: str  # hex

    def line(self) -> str:
        return f"{self.sop_instance_uid} {self.size_bytes} {self.sha256}\n"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a statement says: of which study, over which exchanges, so many instances and bytes, and the digest of the list."""

    study_instance_uid: str
    exchanges: tuple[str, ...]
    count: int
    size_bytes: int
    digest: str

    @classmethod
    def of(cls, study: str, exchanges: Sequence[str], items: Sequence[Item]) -> Receipt:
        told = tuple(sorted(exchanges))
        return cls(study, told, len(items), sum(item.size_bytes for item in items), digest_of(items))


@dataclass(frozen=True, slots=True)
class View:
    """That somebody looked again at what was fetched: under which decision, by which exchange, of which study."""

    did: str
    exchange: str
    study_instance_uid: str
    person: str
    role: str
    at: int


def digest_of(items: Iterable[Item]) -> str:
    """Of the list in the order of its UIDs, a line each: the same for who sent and who received."""
    return sha256("".join(item.line() for item in sorted(items)).encode()).hexdigest()


def write_items(items: Iterable[Item]) -> bytes:
    """A list as both sides keep it, in the order in which it crossed."""
    return "".join(item.line() for item in items).encode()


def read_items(content: bytes) -> list[Item]:
    """Raises ValueError."""
    rows = (line.split(" ") for line in content.decode("ascii").splitlines())
    return [Item(uid, int(size), digest) for uid, size, digest in rows]


def write_receipt(receipt: Receipt, *, issuer: str, audience: str, jti: str, now: datetime) -> dict[str, Any]:
    """Claims of the statement; both sides sign the same."""
    told = {
        "study": receipt.study_instance_uid,
        "exchanges": list(receipt.exchanges),
        "count": receipt.count,
        "bytes": receipt.size_bytes,
        "sha256": receipt.digest,
    }
    return _frame(issuer, audience, jti, now) | {"receipt": told}


def read_receipt(claims: dict[str, Any]) -> Receipt:
    """Raises MalformedRequest."""
    told = el.child(claims, "receipt")
    exchanges = el.texts(told, "exchanges")
    count, size, digest = el.number(told, "count"), el.number(told, "bytes"), el.text(told, "sha256") or ""
    if not 1 <= len(exchanges) <= EXCHANGES_MAX or not all(is_exchange_id(one) for one in exchanges):
        raise MalformedRequest("a receipt names its exchanges", reason="value", path="receipt.exchanges")
    if count is None or size is None or _DIGEST.fullmatch(digest) is None:
        raise MalformedRequest("a receipt says how much came, and its digest", reason="value", path="receipt")
    study = checked_uid(el.text(told, "study") or "")
    return Receipt(study, tuple(exchanges), count, size, digest)


def write_view(view: View, *, issuer: str, audience: str, jti: str, now: datetime) -> dict[str, Any]:
    told = {
        "did": view.did, "exchange": view.exchange, "study": view.study_instance_uid, "person": view.person,
        "role": view.role, "at": view.at,
    }  # fmt: skip
    return _frame(issuer, audience, jti, now) | {"view": told}


def read_view(claims: dict[str, Any]) -> View:
    """Raises MalformedRequest."""
    told = el.child(claims, "view")
    did, exchange, at = el.text(told, "did"), el.text(told, "exchange"), el.number(told, "at")
    if did is None or exchange is None or not is_exchange_id(exchange) or at is None:
        raise MalformedRequest("a view says of what it is", reason="value", path="view")
    study = checked_uid(el.text(told, "study") or "")
    return View(did, exchange, study, el.text(told, "person") or "", el.text(told, "role") or "", at)


def write_body(statement: str, items: Sequence[Item] = ()) -> bytes:
    """What is sent: the statement, and the list that its digest is of."""
    told: dict[str, Any] = {"statement": statement}
    if items:
        told["instances"] = [[item.sop_instance_uid, item.size_bytes, item.sha256] for item in items]
    return el.write_object(told)


def read_body(body: bytes) -> tuple[str, tuple[Item, ...]]:
    """Raises MalformedRequest, CountryMisanswered."""
    node = el.read_object(body)
    statement, rows = el.text(node, "statement"), node.get("instances", [])
    if statement is None or not isinstance(rows, list):
        raise MalformedRequest("no statement", reason="value", path="statement")
    return statement, tuple(_item(row) for row in rows)


def _item(row: object) -> Item:
    if isinstance(row, list) and len(row) == 3:
        uid, size, digest = row
        fits = isinstance(uid, str) and type(size) is int and isinstance(digest, str)
        if fits and size >= 0 and _DIGEST.fullmatch(digest) is not None:
            return Item(checked_uid(uid), size, digest)
    raise MalformedRequest("a line is UID, bytes and SHA-256", reason="value", path="instances")


def _frame(issuer: str, audience: str, jti: str, now: datetime) -> dict[str, Any]:
    issued = int(now.timestamp())
    return {"iss": issuer, "sub": issuer, "aud": audience, "jti": jti, "iat": issued, "exp": issued + LIFE_S}
