"""An instance on its way: read while it grows, room used again, nothing left on the disk."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from isthmus.dicom.part10 import file_meta
from isthmus.dicom.syntaxes import EXPLICIT_LE
from isthmus.errors import ContentMismatch
from isthmus.transport.dimse.arrivals import Arrival, Spool

CT = "1.2.840.10008.5.1.4.1.1.2"
HEAD = file_meta(CT, "2.25.1", EXPLICIT_LE)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def arrival(spool: Spool, limit: int = 1 << 20) -> Arrival:
    return Arrival(spool, CT, "2.25.1", EXPLICIT_LE, limit)


def test_it_is_a_part_10_file_in_the_syntax_as_received(spool: Spool) -> None:
    one = arrival(spool)
    one.add(b"abc")
    one.finish()

    assert one.read() == HEAD + b"abc"
    assert one.read() == b""


def test_it_is_read_while_it_grows(spool: Spool) -> None:
    one, seen = arrival(spool), []
    assert one.read() == HEAD
    reader = threading.Thread(target=lambda: seen.append(one.read()))
    reader.start()

    one.add(b"later")
    reader.join(5)

    assert seen == [b"later"]


def test_one_that_breaks_off_is_never_whole(spool: Spool) -> None:
    one = arrival(spool)
    one.add(b"half")
    one.break_off()

    assert one.read() == HEAD + b"half"
    with pytest.raises(ContentMismatch):
        one.read()


def test_the_room_is_used_again_when_nobody_needs_it(spool: Spool) -> None:
    for _ in range(50):
        one = arrival(spool)
        one.add(bytes(1000))
        one.finish()
        one.release()

    assert spool.size_bytes < 2000


def test_what_is_still_read_is_not_written_over(spool: Spool) -> None:
    first, second = arrival(spool), arrival(spool)
    first.finish()
    second.add(b"second")
    second.finish()
    first.release()
    third = arrival(spool)
    third.add(b"third")

    assert second.read().endswith(b"second")


def test_there_is_a_limit(spool: Spool) -> None:
    with pytest.raises(ValueError, match="larger"):
        arrival(spool, limit=400).add(bytes(500))


def test_nothing_has_a_name_on_the_disk(spool: Spool, tmp_path: Path) -> None:
    arrival(spool).add(b"of a patient")

    assert list((tmp_path / "spool").iterdir()) == []
