"""A study on its way: what cuts it, and what the trail says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import anyio
import pytest

from isthmus.audit.account import Account, Exchange
from isthmus.dicom.part10 import file_meta
from isthmus.model.pieces import Arriving, StoredInstance
from isthmus.testing.border import PracticeBorder
from isthmus.testing.register import CT, SEEN
from isthmus.testing.studies import CT_IMAGE

pytestmark = pytest.mark.anyio
STORED = {"accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}


def slowed(instance: StoredInstance, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> StoredInstance:
    """Takes its time; `meanwhile` happens when it is asked for, however fast the machine is."""

    async def bytes_() -> AsyncIterator[bytes | memoryview]:
        meanwhile()
        await anyio.sleep(seconds)
        yield head + b"D" * 1000

    head = file_meta(CT_IMAGE, instance.sop_instance_uid, instance.transfer_syntax_uid)
    return replace(instance, content=Arriving(bytes_), size_bytes=len(head) + 1000, sha256=None)


def slow(border: PracticeBorder, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> None:
    """A slow line; `meanwhile` happens while the first instance is on its way."""
    first, *others = border.register.instances[SEEN.identifier]
    others = [slowed(instance, seconds) for instance in others]
    border.register.instances[SEEN.identifier] = [slowed(first, seconds, meanwhile), *others]


def last_of(border: PracticeBorder) -> Exchange:
    return Account(border.state, border.master, border.settings.folder).exchanges(1)[0]


@pytest.mark.threat("T23")
@pytest.mark.parametrize(
    ("said", "scope"),
    [
        ("restrict-study", CT),
        ("opt-out", ""),
        ("restrict-imaging", ""),
        ("restrict-country", "BB"),
        ("restrict-role", "2212"),
    ],
)
async def test_a_restriction_cuts_a_study_before_its_next_instance(
    border: PracticeBorder, said: str, scope: str
) -> None:
    token, _ = await border.care(SEEN)
    slow(border, 0.6, lambda: border.say(SEEN, said, scope))

    reply = await border.ask(f"/dicom-web/studies/{CT}", token=token, headers=STORED)

    assert (reply.status, reply.whole) == (200, False)
    assert reply.body.count(b"D" * 1000) < 3


@pytest.mark.threat("T23")
async def test_another_restriction_leaves_a_study_alone(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)
    slow(border, 0.6, lambda: border.say(SEEN, "restrict-study", "2.25.1002"))

    reply = await border.ask(f"/dicom-web/studies/{CT}", token=token, headers=STORED)

    assert (reply.status, reply.whole, reply.body.count(b"D" * 1000)) == (200, True, 3)


@pytest.mark.threat("T03")
async def test_a_suspension_cuts_a_study_before_its_next_instance(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)
    slow(border, 0.2, lambda: border.suspend("BB"))

    reply = await border.ask(f"/dicom-web/studies/{CT}", token=token, headers=STORED)

    assert (reply.status, reply.whole, reply.body.count(b"D" * 1000)) == (200, False, 1)


async def test_a_study_ends_inside_its_own_record(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)

    reply = await border.ask(f"/dicom-web/studies/{CT}", token=token, headers=STORED)

    event = last_of(border)
    assert (event.transaction, event.outcome, event.instances) == ("RAD-107", "complete", 3)
    assert event.bytes == len(reply.body)
    assert event.exchange_id == reply.headers["x-request-id"]


@pytest.mark.requirement("SEC-07", "AUD-06")
async def test_a_refusal_is_recorded_with_who_asked(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)

    await border.ask("/dicom-web/studies/2.25.7777", token=token, headers=STORED)

    event = last_of(border)
    assert (event.transaction, event.outcome, event.purpose) == ("RAD-107", "refused", "TREAT")
    assert event.peer == "BB"


async def test_too_many_transfers_at_a_time_are_told_to_wait(border: PracticeBorder) -> None:
    token, _ = await border.care(SEEN)
    slow(border, 0.3)
    statuses: list[int] = []

    async def fetch() -> None:
        statuses.append((await border.ask(f"/dicom-web/studies/{CT}", token=token, headers=STORED)).status)

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(fetch)

    assert sorted(statuses) == [200] * 8 + [429] * 2
