"""After the images: what arrived, signed and sent to the country that gave it; its signature over the same comes back.

What is owed lies in the database: portal, command line and visit service fetch, and whoever runs next signs. A country that says
otherwise is an incident on our trail.

Source: trust.md §2.6 (M9, M10), §4.5, T61.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import groupby

from sqlalchemy import Connection

from isthmus import telemetry
from isthmus.audit import delivery
from isthmus.audit.delivery import Sent
from isthmus.audit.events import Intent, Note
from isthmus.audit.page import MonthKeys
from isthmus.country_b.client import Call, Client
from isthmus.country_b.visit import Visit
from isthmus.errors import (
    CountryMisanswered,
    IsthmusError,
    MalformedRequest,
    ReceiptDisputed,
    TrustProblem,
    Unavailable,
)
from isthmus.storage.database import Database
from isthmus.storage.sealed import MasterKey
from isthmus.trust.jws import read_statement, sign
from isthmus.wire.receipts import (
    EXCHANGES_MAX,
    LIFE_S,
    RECEIPT_TYPE,
    VIEW_TYPE,
    Item,
    Receipt,
    View,
    read_body,
    read_receipt,
    write_body,
    write_items,
    write_receipt,
    write_view,
)

EVERY_S = 2.0
QUIET = timedelta(seconds=2)  # a study that comes image by image is signed for in one
AT_ONCE = 500
LOOKS_MAX = 1000
JSON = "application/json"


class Receipts:
    """What this node signs for."""

    def __init__(self, client: Client, state: Database, master: MasterKey) -> None:
        self._client, self._state, self._master = client, state, master
        self._resting: dict[str, float] = {}  # by country: not asked again before
        self._looks: deque[tuple[Visit, str, str]] = deque(maxlen=LOOKS_MAX)

    async def watch(self) -> None:
        """Sign for what arrives, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.settle(QUIET)
            while self._looks:
                await self.tell_of_look(*self._looks.popleft())

    def looked_again(self, visit: Visit, country: str, study: str) -> None:
        """Somebody looks at what was fetched before: the country is told within seconds."""
        self._looks.append((visit, country, study))

    async def settle(self, quiet: timedelta = timedelta(0)) -> int:
        """Sign for what was received up to then; gives how many studies were settled. What fails is said, and tried again later."""
        before, keys = self._client.clock() - quiet, MonthKeys(self._master)
        owed = await self._state.read(lambda c: delivery.owed(c, keys, before, AT_ONCE))
        now, settled = asyncio.get_running_loop().time(), 0
        for country, study, batch in _batches(owed):
            if self._resting.get(country, 0.0) > now:
                continue
            try:
                await self._settle(country, study, batch)
                settled += 1
            except (Unavailable, TrustProblem) as error:
                self._resting[country] = now + 30.0
                telemetry.log().warning("a receipt is still owed", country=country, reason=error.reason)
            except IsthmusError as error:
                await self._dispute(country, batch, error)
        return settled

    async def _settle(self, country: str, study: str, batch: list[Sent]) -> None:
        client = self._client
        participant, ours = client.directory.country(country), client.directory.ours
        items = sorted({item for one in batch for item in one.items})
        receipt = Receipt.of(study, [one.exchange_id for one in batch], items)
        claims = write_receipt(
            receipt, issuer=ours.ncp_id, audience=participant.ncp_id, jti=secrets.token_urlsafe(18), now=client.clock()
        )
        token = sign(claims, client.sig, RECEIPT_TYPE)
        intent = _intent("receipt", country, receipt.study_instance_uid, receipt.exchanges)
        intent = replace(intent, parts={"ours": token.encode(), "list": write_items(items)})
        call = Call("receipt", "ncp", "/receipts", "POST", write_body(token, items), accept=JSON, media_type=JSON)
        async with client.recorded(intent, country, call) as exchange:
            answer = self._checked(await exchange.read(1 << 16), participant.ncp_id, receipt)
            exchange.parts = {"theirs": answer.encode()}
        numbers, number = [one.number for one in batch], exchange.number
        await self._state.write(partial(_mark, numbers, "settled", number, receipt.digest))

    def _checked(self, body: bytes, country: str, receipt: Receipt) -> str:
        """Their statement: signed by them, over the same. Raises CountryMisanswered."""
        try:
            answer, _ = read_body(body)
            statement = read_statement(
                answer, typ=frozenset({RECEIPT_TYPE}), key_for=lambda iss, kid: self._client.directory.key(iss, kid, "receipt"),
                audience=frozenset({self._client.directory.ours.ncp_id}), max_life_s=LIFE_S, now=self._client.clock(), x5t=None,
            )  # fmt: skip
            same = statement.issuer == country and read_receipt(statement.claims) == receipt
        except (TrustProblem, MalformedRequest) as error:
            raise CountryMisanswered("the receipt came back without a signature that holds") from error
        if not same:
            raise CountryMisanswered("the receipt came back over something else")
        return answer

    async def _dispute(self, country: str, batch: list[Sent], error: IsthmusError) -> None:
        """What the country does not sign for is kept, and an incident where it says otherwise."""
        if isinstance(error, ReceiptDisputed | CountryMisanswered):
            exchanges = " ".join(one.exchange_id for one in batch)
            details = {"peer": country, "exchanges": exchanges, "reason": error.reason}
            await self._client.trail.note(Note(kind="receipt-mismatch", side="B", details=details))
            await self._state.write(partial(_mark, [one.number for one in batch], "disputed", None, None))
        else:  # a country without this yet
            telemetry.log().warning("a country takes no receipts", country=country, reason=error.reason)
            await self._state.write(partial(_mark, [one.number for one in batch], "late", None, None))

    async def tell_of_look(self, visit: Visit, country: str, study: str) -> bool:
        """Tell the country that somebody looks again at what was fetched before; whether there was something, and it heard."""
        client, keys = self._client, MonthKeys(self._master)
        tag = delivery.study_tag(self._master, study)
        last = await self._state.read(lambda c: delivery.of_study(c, keys, "B", country, tag))
        if last is None or not last.did:
            return False
        who = visit.professional
        at = int(client.clock().timestamp())
        view = View(last.did, last.exchange_id, study, who.sub, who.role, at)
        claims = write_view(
            view, issuer=client.directory.ours.ncp_id, audience=client.directory.country(country).ncp_id,
            jti=secrets.token_urlsafe(18), now=client.clock(),
        )  # fmt: skip
        token = sign(claims, client.sig, VIEW_TYPE)
        intent = _intent("view", country, study, (last.exchange_id,))
        intent = replace(
            intent, person=who.sub, role=who.role, organisation=visit.point_of_care.name, purpose=visit.purpose.value,
            patient=visit.patient_in(country).identifier, parts={"ours": token.encode()},
        )  # fmt: skip
        call = Call("view", "ncp", "/views", "POST", write_body(token), accept=JSON, media_type=JSON)
        try:
            async with client.recorded(intent, country, call) as exchange:
                await exchange.read(1 << 12)
        except IsthmusError as error:
            telemetry.log().warning("a view was not told", country=country, reason=error.reason)
            return False
        return True


def _intent(transaction: str, country: str, study: str, exchanges: Iterable[str]) -> Intent:
    return Intent(
        side="B", transaction=transaction, exchange_id=secrets.token_hex(16), peer=country, origins=(country,),
        categories=("imaging-study",), details={"study": study, "exchanges": " ".join(exchanges)},
    )  # fmt: skip


def _mark(numbers: list[int], state: str, receipt: int | None, digest: str | None, connection: Connection) -> None:
    delivery.mark(connection, numbers, state, receipt, digest)


def _batches(owed: Iterable[Sent]) -> Iterator[tuple[str, str, list[Sent]]]:
    """What one receipt can be about: a study of one country, each instance in one form, so many exchanges."""
    ordered = sorted(owed, key=lambda one: (one.peer, one.study_instance_uid, one.number))
    for (country, study), together in groupby(ordered, key=lambda one: (one.peer, one.study_instance_uid)):
        batch, known = list[Sent](), dict[str, Item]()
        for one in together:
            same = all(known.get(item.sop_instance_uid, item) == item for item in one.items)
            if batch and (not same or len(batch) >= EXCHANGES_MAX):
                yield country, study, batch
                batch, known = [], {}
            batch.append(one)
            known |= {item.sop_instance_uid: item for item in one.items}
        if batch:
            yield country, study, batch
