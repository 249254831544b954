"""Handles, ids, cursors: what they open, and for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.country_a.floods import EVERY_S, FIRST, Floods
from isthmus.country_a.handles import ID_CHARACTERS, Handles
from isthmus.country_a.passes import Asker, Known
from isthmus.errors import MalformedRequest
from isthmus.model.identifiers import PatientIdentifier
from isthmus.storage.database import Database
from isthmus.storage.schema import country_a as _tables  # noqa: F401
from isthmus.storage.schema.metadata import STATE
from isthmus.storage.sealed import MasterKey
from isthmus.testing.border import Clock

PATIENT = PatientIdentifier("urn:oid:2.999.2.1", "0042")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def handles(tmp_path: Path, clock: Clock) -> Iterator[Handles]:
    db = Database(tmp_path / "state.sqlite", STATE)
    db.create()
    yield Handles(db, MasterKey(b"k" * 32), clock)
    db.close()


@pytest.mark.threat("T41")
def test_a_handle_opens_for_the_one_it_was_given_to(handles: Handles, clock: Clock) -> None:
    async def opened(handle: str, peer: str = "bb", sub: str = "doctor") -> PatientIdentifier | None:
        return await handles.patient_of(handle, peer, sub)

    handle = asyncio.run(handles.give("bb", "doctor", PATIENT))

    assert asyncio.run(opened(handle)) == PATIENT
    assert asyncio.run(opened(handle, peer="cc")) is None
    assert asyncio.run(opened(handle, sub="colleague")) is None
    assert asyncio.run(opened("0" * 32)) is None
    clock.forward(hours=24)
    assert asyncio.run(opened(handle)) is None


def test_a_document_id_is_stable_and_means_nothing_elsewhere(handles: Handles) -> None:
    id_ = handles.document_id("bb", "Bundle", "77")

    assert len(id_) == ID_CHARACTERS
    assert id_ == handles.document_id("bb", "Bundle", "77") != handles.document_id("cc", "Bundle", "77")
    assert handles.row_of("bb", "Bundle", id_) == "77"
    assert handles.row_of("cc", "Bundle", id_) is None
    assert handles.row_of("bb", "Binary", id_) is None


@pytest.mark.parametrize("id_", ["", "x", "77", "a" * 40, "1" * 40, "A" * 40, "é" * 40])
def test_an_invented_id_names_nothing(handles: Handles, id_: str) -> None:
    assert handles.row_of("bb", "Bundle", id_) is None


def test_a_cursor_is_for_one_query_and_ten_minutes(handles: Handles, clock: Clock) -> None:
    cursor = handles.write_cursor(("2024", "1.2", "k"), b"query")

    assert handles.read_cursor(cursor, b"query") == ("2024", "1.2", "k")
    for wrong, binding in ((cursor, b"other"), (cursor[:-2], b"query"), ("", b"query"), ("é", b"query")):
        with pytest.raises(MalformedRequest):
            handles.read_cursor(wrong, binding)
    clock.forward(minutes=11)
    with pytest.raises(MalformedRequest):
        handles.read_cursor(cursor, b"query")


def test_an_unknown_decision_has_no_asker(handles: Handles) -> None:
    assert asyncio.run(handles.asker_of("never")) is None


def test_only_the_gate_makes_passes() -> None:
    with pytest.raises(RuntimeError):
        Known(seal=object(), peer=None, x5t="", der=b"", exchange_id="", now=None, pack=None)  # type: ignore[arg-type]  # refused first


def test_names_do_not_show_in_a_repr() -> None:
    asker = Asker(
        peer="bb", sub="s", name="Dr Secret", role="2212", organisation="o", point_of_care="p", purpose="TREAT",
        handle="h" * 32, patient=PATIENT,
    )  # fmt: skip

    assert not {"Secret", "0042", "hhhh"} & {word for word in ("Secret", "0042", "hhhh") if word in repr(asker)}


@pytest.mark.threat("T81")
def test_a_flood_of_refusals_is_counted_not_written() -> None:
    floods = Floods()

    written = [floods.count("cc", i / 100) for i in range(FIRST + 100)]
    later = floods.count("cc", EVERY_S + 1)

    assert written == [1] * FIRST + [None] * 100
    assert later == 101
    assert floods.count("bb", 0.5) == 1
