"""What arrived against what was sent: one list, two signatures; who says otherwise is refused, and both are kept."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from tests.audit.log.test_rounds import incidents

from isthmus.audit import delivery
from isthmus.audit.page import MonthKeys
from isthmus.storage.schema.audit import audit_trail
from isthmus.storage.schema.audit_delivery import audit_delivery
from isthmus.testing.border import PracticeBorder, Reply
from isthmus.testing.register import SEEN
from isthmus.trust.jws import sign
from isthmus.wire.receipts import (
    RECEIPT_TYPE,
    VIEW_TYPE,
    Item,
    Receipt,
    View,
    read_body,
    write_body,
    write_receipt,
    write_view,
)
from isthmus.wire.tokens import token_decision

pytestmark = pytest.mark.anyio


class Images:
    """A study that BB fetched, and the receipts for it."""

    def __init__(self, border: PracticeBorder, study: str, exchange: str, did: str) -> None:
        self.border, self.study, self.exchange, self.did = border, study, exchange, did
        keys = MonthKeys(border.master)
        sent = border.state.read_now(lambda c: delivery.of_exchanges(c, keys, "A", "BB", (exchange,)))
        self.items = list(sent[0].items) if sent else []

    async def sign_for(self, items: Sequence[Item] | None = None, **more: Any) -> Reply:
        told = list(self.items if items is None else items)
        receipt = more.pop("receipt", None) or Receipt.of(self.study, (self.exchange,), told)
        frame = {
            "issuer": self.border.bb.ncp_id,
            "audience": self.border.settings.ncp_id,
            "jti": secrets.token_urlsafe(18),
        }
        claims = write_receipt(receipt, **{**frame, "now": self.border.clock(), **more})
        body = write_body(sign(claims, self.border.bb.sig, RECEIPT_TYPE), told)
        reply = await self.border.ask("/ncp/receipts", method="POST", body=body, headers={"accept": "application/json"})
        self.border.conversation.clear()
        return reply

    @property
    def states(self) -> list[str]:
        return list(self.border.state.read_now(lambda c: c.execute(select(audit_delivery.c.state)).scalars().all()))


@pytest.fixture
async def images(border: PracticeBorder) -> Images:
    token, _ = await border.care(SEEN)
    study = border.register.instances[SEEN.identifier][0].study_instance_uid
    headers = {"accept": 'multipart/related; type="application/dicom"', "x-request-id": "images-1"}
    reply = await border.ask(f"/dicom-web/studies/{study}", token=token, headers=headers)
    assert reply.status == 200
    return Images(border, study, "images-1", token_decision(token))


async def test_every_instance_is_written_down_as_it_was_sent(images: Images) -> None:
    there = {
        i.sop_instance_uid: i.size_bytes
        for i in images.border.register.instances[SEEN.identifier]
        if i.study_instance_uid == images.study
    }

    assert {item.sop_instance_uid: item.size_bytes for item in images.items} == there
    assert images.states == ["owed"]


async def test_a_receipt_for_what_was_sent_is_answered_with_a_signature_over_the_same(images: Images) -> None:
    reply = await images.sign_for()

    statement, _ = read_body(reply.body)
    assert reply.status == 200
    assert len(statement.split(".")) == 3
    assert images.states == ["settled"]
    assert incidents(images.border.state, images.border.master) == []


async def test_the_same_receipt_again_gets_the_same_answer(images: Images) -> None:
    first, again = await images.sign_for(), await images.sign_for()

    assert (first.status, again.status) == (200, 200)
    assert first.body == again.body
    assert images.states == ["settled"]


async def test_a_part_of_what_was_sent_can_be_signed_for(images: Images) -> None:
    assert (await images.sign_for(images.items[:1])).status == 200


@pytest.mark.threat("T61")
@pytest.mark.threat("T68")
@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size_bytes": 3}, {"sop_instance_uid": "2.25.404"}])
async def test_a_receipt_for_other_bytes_is_refused_kept_and_an_incident(
    images: Images, change: dict[str, Any]
) -> None:
    other = [replace(images.items[0], **change), *images.items[1:]]

    reply = await images.sign_for(other)

    assert (reply.status, reply.code) == (409, "receipt")
    assert images.states == ["disputed"]
    assert incidents(images.border.state, images.border.master) == ["receipt-mismatch"]


@pytest.mark.threat("T61")
async def test_a_receipt_for_another_study_or_exchange_is_refused(images: Images) -> None:
    elsewhere = Receipt.of(images.study, ("images-9",), images.items)
    other = Receipt.of("2.25.404", (images.exchange,), images.items)

    replies = [await images.sign_for(receipt=each) for each in (elsewhere, other)]

    assert [reply.status for reply in replies] == [409, 409]


@pytest.mark.threat("T61")
async def test_a_list_that_is_not_the_signed_one_or_a_statement_for_another_is_no_receipt(images: Images) -> None:
    signed = Receipt.of(images.study, (images.exchange,), images.items)

    unlike = await images.sign_for(images.items[:1], receipt=signed)
    for_another = await images.sign_for(audience="urn:ehealth:cc:ncp-idp")
    old = await images.sign_for(now=images.border.clock() - timedelta(minutes=20))

    assert [unlike.status, for_another.status, old.status] == [400, 401, 401]
    assert images.states == ["owed"]


async def test_what_is_not_signed_for_within_ten_minutes_is_written_down_once(images: Images) -> None:
    for minutes in (9, 2, 20):
        images.border.clock.forward(minutes=minutes)
        now = images.border.clock()
        found = images.border.state.write_now(lambda c, now=now: delivery.missing(c, now))  # type: ignore[misc]  # bound
        assert found == ([("images-1", "BB")] if minutes == 2 else [])

    assert (await images.sign_for()).status == 200
    assert images.states == ["settled"]


async def looked(border: PracticeBorder, view: View) -> Reply:
    frame = {"issuer": border.bb.ncp_id, "audience": border.settings.ncp_id, "now": border.clock()}
    claims = write_view(view, **frame, jti=secrets.token_urlsafe(18))  # type: ignore[arg-type]  # kinds vary
    body = write_body(sign(claims, border.bb.sig, VIEW_TYPE))
    reply = await border.ask("/ncp/views", method="POST", body=body, headers={"accept": "application/json"})
    border.conversation.clear()
    return reply


def look_of(images: Images) -> View:
    at = int(images.border.clock().timestamp())
    return View(images.did, images.exchange, images.study, "doctor-1", "2212", at)


async def test_a_later_look_is_written_down_about_the_patient_it_is_of(images: Images) -> None:
    view = look_of(images)
    heard, unknown = await looked(images.border, view), await looked(images.border, replace(view, did="another"))

    assert (heard.status, unknown.status) == (202, 400)


@pytest.mark.threat("T81")
async def test_the_same_look_again_within_minutes_is_answered_and_not_written_again(images: Images) -> None:
    border, view = images.border, look_of(images)

    def written() -> int:
        return border.state.read_now(lambda c: len(c.execute(select(audit_trail.c.number)).all()))

    first = await looked(border, view)
    before = written()
    again = [await looked(border, view) for _ in range(30)]
    same = written()
    other = await looked(border, replace(view, person="doctor-2"))
    border.clock.forward(minutes=6)
    later = await looked(border, view)

    assert {reply.status for reply in (first, *again, other, later)} == {202}
    assert (same - before, written() - same) == (0, 4)
