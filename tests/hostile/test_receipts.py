"""Receipts for what never crossed: refused, and nearly nothing of them is kept."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus.testing.border import PracticeBorder
from isthmus.trust.jws import sign
from isthmus.wire.receipts import RECEIPT_TYPE, Item, Receipt, write_body, write_receipt

pytestmark = pytest.mark.anyio

MANY = [Item(f"1.2.{number}", number, f"{number:064x}") for number in range(5000)]


@pytest.fixture
async def border(tmp_path: Path) -> AsyncIterator[PracticeBorder]:
    async with PracticeBorder(tmp_path) as opened:
        yield opened


async def test_a_forged_receipt_with_a_long_list_does_not_fill_the_trail(border: PracticeBorder) -> None:
    frame = {"issuer": border.bb.ncp_id, "audience": border.settings.ncp_id, "now": border.clock()}
    claims = write_receipt(Receipt.of("2.25.1", ("never-was",), MANY), **frame, jti=secrets.token_urlsafe(18))  # type: ignore[arg-type]  # kinds vary
    body = write_body(sign(claims, border.bb.sig, RECEIPT_TYPE), MANY)

    reply = await border.ask("/ncp/receipts", method="POST", body=body, headers={"accept": "application/json"})

    kept = border.state.read_now(lambda c: c.exec_driver_sql("SELECT sum(length(sealed)) FROM audit_part").scalar_one())
    assert reply.status == 409
    assert kept < 16_384
