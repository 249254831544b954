"""After the images: what arrived, as Country B signs it, against what was written down as sent; and who looked at it again.

A list that says otherwise is refused with 409, kept, and an incident. The same receipt again gets the same answer.

Source: trust.md §2.6 (M9, M10), T61, T68.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection

from isthmus.audit import delivery
from isthmus.audit.events import Intent, Note
from isthmus.audit.page import MonthKeys, outcome_number, parts_of, record_of
from isthmus.audit.trail import Trail
from isthmus.country_a.passes import Known
from isthmus.errors import (
    CountryMisanswered,
    InvalidAssertion,
    MalformedRequest,
    NationalInfrastructureUnavailable,
    ReceiptDisputed,
)
from isthmus.model.identifiers import PatientIdentifier
from isthmus.storage.database import Database
from isthmus.storage.sealed import MasterKey
from isthmus.transport.inbound import Request
from isthmus.trust.directory import Directory
from isthmus.trust.jws import MAX_BYTES, Statement, read_statement, sign
from isthmus.trust.keys import SigningKey
from isthmus.wire.receipts import (
    LIFE_S,
    RECEIPT_TYPE,
    VIEW_TYPE,
    Item,
    Receipt,
    View,
    read_body,
    read_receipt,
    read_view,
    write_items,
    write_receipt,
)

Said = TypeVar("Said")
Read = TypeVar("Read")
PATIENCE_S, LOOK_S = 3.0, 0.1  # for a record that closes while its receipt is on the way
SAME_LOOK = timedelta(minutes=5)  # looks of one person at the same within it are one
LOOKS_MAX = 10_000  # remembered in this process


@dataclass(frozen=True, slots=True)
class Asked:
    """A receipt that came: the statement, what it says, and the list it is about."""

    token: str
    receipt: Receipt
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Receipts:
    """The desk where receipts are handed in. `signing` gives the key that signs ours now."""

    state: Database
    master: MasterKey
    trail: Trail
    directory: Directory
    signing: Callable[[], SigningKey]
    clock: Callable[[], datetime]
    _looks: dict[tuple[str, ...], datetime] = field(default_factory=dict, init=False, repr=False)

    def read(self, known: Known, request: Request) -> Asked:
        """Raises InvalidAssertion, MalformedRequest: not signed by this peer, for us, now; or not about this list."""
        token, items = _read(read_body, request.body)
        receipt = _read(read_receipt, self._statement(known, token, RECEIPT_TYPE).claims)
        if Receipt.of(receipt.study_instance_uid, receipt.exchanges, items) != receipt:
            raise MalformedRequest("the list is not the one that was signed", reason="value", path="instances")
        return Asked(token, receipt, items)

    def intent(self, known: Known, asked: Asked, sent: Sequence[delivery.Sent]) -> Intent:
        """The record of a receipt. A list longer than what was sent is told by its statement alone: else a peer fills our disk."""
        fits = len(asked.items) <= sum(len(one.items) for one in sent)
        details = {"study": asked.receipt.study_instance_uid, "exchanges": " ".join(asked.receipt.exchanges)}
        return Intent(
            side="A", transaction="receipt", exchange_id=known.exchange_id, peer=known.peer.country,
            categories=("imaging-study",), details=details,
            parts={"theirs": asked.token.encode()} | ({"list": write_items(sorted(asked.items))} if fits else {}),
        )  # fmt: skip

    async def settle(self, known: Known, asked: Asked, sent: Sequence[delivery.Sent], number: int) -> str:
        """Our signature over the same, when every line is as it was written down as `sent`. `number` is the record's of this exchange.

        Raises ReceiptDisputed.
        """
        receipt, keys = asked.receipt, MonthKeys(self.master)
        ours = {item for one in sent for item in one.items}
        studies = {one.study_instance_uid for one in sent}
        numbers = [one.number for one in sent]
        if not set(asked.items) <= ours or studies != {receipt.study_instance_uid}:
            await self.trail.note(_incident(known, receipt))
            await self._marked(numbers, "disputed", number, receipt.digest)
            raise ReceiptDisputed("the receipt says otherwise than what was sent", country=known.peer.country)
        if {(one.state, one.digest) for one in sent} == {("settled", receipt.digest)} and sent[0].receipt is not None:
            before = await self.state.read(lambda c: _answered(c, sent[0].receipt or 0, keys))
            if before:
                return before
        claims = write_receipt(
            receipt, issuer=self.directory.ours.ncp_id, audience=known.peer.ncp_id, jti=secrets.token_urlsafe(18), now=known.now
        )  # fmt: skip
        answer = sign(claims, self.signing(), RECEIPT_TYPE)
        await self._marked(numbers, "settled", number, receipt.digest)
        return answer

    async def sent(self, known: Known, receipt: Receipt) -> list[delivery.Sent]:
        """What was sent in these exchanges, once all have ended. Raises NationalInfrastructureUnavailable while one has not."""
        keys, patience = MonthKeys(self.master), PATIENCE_S

        def looking(connection: Connection) -> tuple[list[delivery.Sent], bool]:
            sent = delivery.of_exchanges(connection, keys, "A", known.peer.country, receipt.exchanges)
            return sent, delivery.is_open(connection, set(receipt.exchanges) - {one.exchange_id for one in sent})

        while True:
            sent, is_open = await self.state.read(looking)
            if not is_open:
                return sent
            if patience <= 0:
                raise NationalInfrastructureUnavailable("a transfer that the receipt is about has not ended")
            patience -= LOOK_S
            await asyncio.sleep(LOOK_S)

    async def _marked(self, numbers: list[int], state: str, receipt: int, digest: str) -> None:
        await self.state.write(lambda connection: delivery.mark(connection, numbers, state, receipt, digest))

    async def view(self, known: Known, request: Request) -> Intent:
        """What is to be written down of a later look: about whom is known from the exchange that brought the images.

        Raises InvalidAssertion, and MalformedRequest when nothing was given to this country under that decision.
        """
        token, _ = _read(read_body, request.body)
        view = _read(read_view, self._statement(known, token, VIEW_TYPE).claims)
        patient = await self.state.read(lambda connection: self._about(connection, known, view))
        return Intent(
            side="A", transaction="view", exchange_id=known.exchange_id, peer=known.peer.country, person=view.person,
            role=view.role, patient=patient, categories=("imaging-study",), decision_id=view.did,
            details={"of": view.study_instance_uid, "exchange": view.exchange}, parts={"theirs": token.encode()},
        )  # fmt: skip

    def is_again(self, look: Intent) -> bool:
        """Whether the same person's look at the same was written down some minutes ago."""
        last = self._looks.get(_named(look))
        return last is not None and self.clock() - last < SAME_LOOK

    def remember(self, look: Intent) -> None:
        """Said once it is written down, and not before: what failed to be written is no look that was told."""
        if len(self._looks) >= LOOKS_MAX:
            self._looks.clear()
        self._looks[_named(look)] = self.clock()

    def _about(self, connection: Connection, known: Known, view: View) -> PatientIdentifier:
        keys = MonthKeys(self.master)
        for one in delivery.of_exchanges(connection, keys, "A", known.peer.country, (view.exchange,)):
            record = record_of(connection, one.opened, keys)
            fits = record is not None and record["decision"]["id"] == view.did and record["patient"] is not None
            if fits and record is not None and one.study_instance_uid == view.study_instance_uid:
                return PatientIdentifier(**record["patient"])
        raise MalformedRequest("nothing was given to this country under that decision", reason="value", path="view.did")

    def _statement(self, known: Known, token: str, typ: str) -> Statement:
        statement = read_statement(
            token, typ=frozenset({typ}), key_for=lambda iss, kid: self.directory.key(iss, kid, "receipt"),
            audience=frozenset({self.directory.ours.ncp_id}), max_life_s=LIFE_S, now=known.now, x5t=None, max_bytes=MAX_BYTES,
        )  # fmt: skip
        if statement.issuer != known.peer.ncp_id:
            raise InvalidAssertion("a statement of another country than the one on the line")
        return statement


def _read(reader: Callable[[Said], Read], said: Said) -> Read:
    """What a peer hands in, read; what has not its form is its request's fault. Raises MalformedRequest."""
    try:
        return reader(said)
    except CountryMisanswered as error:
        raise MalformedRequest("a receipt has not the form of one", reason="malformed", path="body") from error


def _named(look: Intent) -> tuple[str, ...]:
    told = look.details
    return look.peer, told["exchange"], told["of"], look.person, look.role, look.decision_id


def _incident(known: Known, receipt: Receipt) -> Note:
    what = {"peer": known.peer.country, "exchanges": " ".join(receipt.exchanges), "sha256": receipt.digest}
    return Note(kind="receipt-mismatch", side="A", exchange_id=known.exchange_id, details=what)


def _answered(connection: Connection, number: int, keys: MonthKeys) -> str:
    """The statement that was answered with before."""
    closing = outcome_number(connection, number)
    return "" if closing is None else parts_of(connection, closing, keys).get("ours", b"").decode()
