"""The gate when a request is nobody's, or ends in a way that nobody wanted: refused or closed, and in the trail."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from isthmus.audit.account import Account
from isthmus.country_a.gate import Gate
from isthmus.country_a.handles import Handles
from isthmus.testing.border import PracticeBorder
from isthmus.testing.register import CT, SEEN

pytestmark = pytest.mark.anyio
STORED = {"accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
STUDY = f"/dicom-web/studies/{CT}"


def last_of(border: PracticeBorder) -> Any:
    return Account(border.state, border.master, border.folder / "aa").exchanges(1)[0]


@pytest.mark.threat("T02")
async def test_a_certificate_that_cannot_be_read_is_nobodys_and_its_refusal_is_recorded(border: PracticeBorder) -> None:
    reply = await border.ask(STUDY, headers=STORED, certificate=b"no certificate")

    assert (reply.status, reply.code) == (403, "peer-not-trusted")
    assert (last_of(border).peer, last_of(border).outcome) == ("unknown", "refused")


@pytest.mark.parametrize("said", ["", "Basic YTpi", "Bearer", "Bearer  "])
async def test_without_an_access_token_nobody_is_introduced(border: PracticeBorder, said: str) -> None:
    reply = await border.ask(STUDY, headers={**STORED, "authorization": said})

    assert (reply.status, reply.code) == (401, "token")
    assert (last_of(border).peer, last_of(border).outcome) == ("BB", "refused")


@pytest.mark.threat("T22")
async def test_a_token_whose_decision_is_gone_opens_nothing(
    border: PracticeBorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, _ = await border.care(SEEN)

    async def nobody(self: Handles, did: str) -> None:
        return None

    monkeypatch.setattr(Handles, "asker_of", nobody)

    assert (await border.ask(STUDY, headers=STORED, token=token)).status == 401


async def test_a_fault_of_our_own_is_recorded_as_ours_and_gives_nothing(
    border: PracticeBorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, _ = await border.care(SEEN)

    def broken(*_: Any) -> None:
        raise KeyError("SECRET-77")

    monkeypatch.setattr(Gate, "_permitted", broken)
    reply = await border.ask(STUDY, headers=STORED, token=token)

    assert (reply.status, b"SECRET-77" in reply.body) == (500, False)
    assert (last_of(border).outcome, last_of(border).reason) == ("failed", "internal")


async def test_who_hangs_up_inside_the_gate_leaves_a_closed_record(
    border: PracticeBorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, _ = await border.care(SEEN)

    async def for_ever(*_: Any) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(Gate, "_admitted", for_ever)
    with anyio.move_on_after(0.5):
        await border.ask(STUDY, headers=STORED, token=token)

    assert (last_of(border).outcome, last_of(border).reason) == ("incomplete", "hang-up")
