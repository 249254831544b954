"""The corpus over a real association, and associations that are none: each is told why or hung up on, and the next sender is served.

Source: trust.md §2.9, T63, T64, T69, T99; PS3.8 §9.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from struct import pack

import pytest
from tests.archive.conftest import NOW, SANDBOX, dicom, settings_in
from tests.hostile.corpus import CORPUS, DICOM, EXPLICIT, HELD, Hostile, whole
from tests.hostile.dimse import COMMAND, LAST, Peer, asking, data_set_of, fragments, pdu, pdv, said, storing
from tests.hostile.peak import peak_kib

from isthmus.archive.cstore import CStore
from isthmus.archive.doors.desk import Desk
from isthmus.archive.queries import find_instance, list_instances
from isthmus.archive.verdicts import REASONS
from isthmus.sections import Dimse, Intake, Sender
from isthmus.storage.database import Database, open_index
from isthmus.testing.engines.counterparts import free_ports
from isthmus.wire.packs.pack import load_pack

SILENCE_S = 1.0
SOON_S = 10.0  # on a busy machine
GROWN_MAX_KIB = 160 << 10
UNSENT = re.compile("a preamble of|a preamble alone|cut in the head|an unknown syntax|a megabyte of nothing|noise")
"""What is wrong with these is in the head of a file, which does not cross: here all of the file is sent as a data set."""


class Archive:
    def __init__(self, folder: Path, database: Database, port: int, door: CStore) -> None:
        self.folder, self.database, self.port, self.door = folder, database, port, door

    def keeps(self, sop_instance_uid: str) -> bool:
        row = self.database.read_now(lambda connection: find_instance(connection, sop_instance_uid))
        return row is not None and row.state == "served"

    def serves(self, number: int = 1) -> bool:
        """Whether an honest sender is told that what it sends is stored."""
        context, data = data_set_of(dicom(number))
        deadline = time.monotonic() + SOON_S
        while time.monotonic() < deadline:
            with Peer(self.port, asks=asking()) as peer:
                if peer.hears()[0] == 3:  # later: there are still too many
                    time.sleep(0.1)
                    continue
                peer.say(pdu(4, pdv(storing(f"2.25.1{number:05}\0".encode()), COMMAND | LAST, context)))
                peer.say(*fragments(data, context))
                return peer.told() == (0, "") and self.keeps(f"2.25.1{number:05}")
        return False


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    folder, port = tmp_path_factory.mktemp("archive"), free_ports(1)[0]
    sender = Sender(
        name="ct-1", source="archive", ae_title="CT1", address="127.0.0.1", parallel=16, requests_per_s=1_000_000
    )
    dimse = Dimse(port=port, ae_title="ARCHIVE", silence_s=SILENCE_S, associations=16)
    settings = replace(settings_in(folder), intake=Intake(dimse=dimse, senders=(sender,)))
    database = open_index(settings)
    desk = Desk(settings, database, lambda: NOW, load_pack(), SANDBOX)
    door = CStore(settings, desk)
    door.start()
    yield Archive(folder, database, port, door)
    door.stop()
    desk.close()
    database.close()


def test_the_sender_of_these_tests_is_heard_when_it_is_honest(archive: Archive) -> None:
    assert archive.serves()


@pytest.mark.threat("T63")
@pytest.mark.threat("T64")
@pytest.mark.parametrize("hostile", CORPUS, ids=str)
def test_a_sender_over_the_line_is_told_what_is_wrong(archive: Archive, hostile: Hostile) -> None:
    body = hostile.build()
    began = time.monotonic()

    with Peer(archive.port, asks=asking()) as peer:
        assert peer.hears()[0] == 2
        status, comment = peer.stores(body, as_it_is=UNSENT.match(hostile.name) is not None)

    assert time.monotonic() - began < SOON_S
    assert status in (0xB000, 0xA900, 0xC000)
    reason = comment.partition(":")[0]
    assert reason in REASONS or (hostile.name, comment) == ("nothing", "")
    if hostile in DICOM and not UNSENT.match(hostile.name):
        assert (status == 0xB000) == (hostile.outcome == HELD)
    assert not archive.keeps("2.25.661")


@pytest.mark.threat("T63")
def test_the_worst_of_the_corpus_over_the_line_takes_little_memory(archive: Archive) -> None:
    bodies = [hostile.build() for hostile in DICOM if hostile.outcome == HELD]
    before, told = peak_kib(anew=True), list[int]()

    for body in bodies:
        with Peer(archive.port, asks=asking()) as peer:
            peer.hears()
            told.append(peer.stores(body)[0])

    assert told == [0xB000] * len(bodies)
    assert peak_kib() - before < GROWN_MAX_KIB
    assert archive.serves()


# associations that are none

_CONTEXT, _DATA = data_set_of(whole())
_COMMAND = pdu(4, pdv(storing(), COMMAND | LAST))
_ANSWER = said(0, pack("<L", 20)) + said(0x100, pack("<H", 0x8001)) + said(0x800, pack("<H", 0x0101))
BROKEN: dict[str, tuple[bytes, ...]] = {
    "a PDU of 4 GB": (_COMMAND, pdu(4, pdv(_DATA, LAST), 0xFFFFFFF0)),
    "a PDU longer than what comes": (_COMMAND, pdu(4, pdv(_DATA, LAST), len(_DATA) + 1000)),
    "a PDU shorter than its fragment": (_COMMAND, pdu(4, pdv(_DATA, LAST), 10)),
    "a PDU of nothing": (_COMMAND, pdu(4, b"")),
    "a fragment longer than its PDU": (_COMMAND, pdu(4, pdv(_DATA, LAST, length=1 << 20))),
    "a fragment of length 0": (_COMMAND, pdu(4, pdv(_DATA, LAST, length=0))),
    "a fragment of length 4 GB": (_COMMAND, pdu(4, pdv(_DATA, LAST, length=0xFFFFFFFF))),
    "a data set before its command": (pdu(4, pdv(_DATA, LAST)), _COMMAND),
    "a command in the middle of a data set": (_COMMAND, pdu(4, pdv(_DATA[:50], 0)), _COMMAND, pdu(4, pdv(_DATA[50:], LAST))),
    "two data sets": (_COMMAND, pdu(4, pdv(_DATA[:80], LAST)), pdu(4, pdv(_DATA, LAST)), pdu(4, pdv(_DATA, LAST))),
    "a context that nobody agreed on": (pdu(4, pdv(storing(), COMMAND | LAST, 99)), pdu(4, pdv(_DATA, LAST, 99))),
    "a data set in another context than its command": (_COMMAND, pdu(4, pdv(_DATA[:-60], LAST, 5))),
    "a data set that ends early": (_COMMAND, pdu(4, pdv(_DATA[:100], LAST))),
    "a data set that never ends": (_COMMAND, pdu(4, pdv(_DATA, 0))),
    "a command that never ends": (pdu(4, pdv(storing(), COMMAND)),),
    "a command of megabytes": tuple(pdu(4, pdv(bytes(60_000), COMMAND)) for _ in range(50)),
    "a command whose group is longer than it": (pdu(4, pdv(storing(group=0xFFFFFFFF), COMMAND | LAST)), pdu(4, pdv(_DATA[:90], LAST))),
    "a command with an element of 4 GB": (pdu(4, pdv(storing(more=said(0x1001, b"", 0xFFFFFFF0)), COMMAND | LAST)), pdu(4, pdv(_DATA[:90], LAST))),
    "a command that is cut": (pdu(4, pdv(storing()[:-11], COMMAND | LAST)), pdu(4, pdv(_DATA[:90], LAST))),
    "a command of noise": (pdu(4, pdv(bytes(range(256)) * 4, COMMAND | LAST)),),
    "a command without an instance": (pdu(4, pdv(storing(b""), COMMAND | LAST)), pdu(4, pdv(_DATA[:90], LAST))),
    "an instance that is a path": (pdu(4, pdv(storing(b"../../../../etc/cron.d/x"), COMMAND | LAST)), pdu(4, pdv(_DATA[:90], LAST))),
    "an instance of bytes that are no text": (pdu(4, pdv(storing(b"\xff\xfe\x00\x80"), COMMAND | LAST)), pdu(4, pdv(_DATA[:90], LAST))),
    "an instance with a name of 60 000": (pdu(4, pdv(storing(b"1." * 30_000), COMMAND | LAST)), pdu(4, pdv(_DATA[:90], LAST))),
    "a C-STORE without a data set": (pdu(4, pdv(storing(data_set=0x0101), COMMAND | LAST)),),
    "a second request inside the first": (_COMMAND, asking(), pdu(4, pdv(_DATA[:90], LAST))),
    "a PDU of no kind": (_COMMAND, pdu(0x42, bytes(100))),
    "an abort in the middle": (_COMMAND, pdu(4, pdv(_DATA[:90], 0)), pdu(7, bytes(4))),
    "a release in the middle": (_COMMAND, pdu(4, pdv(_DATA[:90], 0)), pdu(5, bytes(4))),
    "an answer that nobody asked for": (pdu(4, pdv(_ANSWER, COMMAND | LAST)),),
}  # fmt: skip


@pytest.mark.threat("T64")
@pytest.mark.threat("T69")
@pytest.mark.parametrize("name", BROKEN)
def test_a_sentence_that_is_none_keeps_nothing_and_hinders_nobody(archive: Archive, name: str) -> None:
    with Peer(archive.port, asks=asking()) as peer:
        assert peer.hears()[0] == 2
        peer.say(*BROKEN[name])
        assert archive.serves(2)  # while the other still hangs there
        began, heard = time.monotonic(), set[int]()
        while (kind := peer.hears()[0]) and kind != 7:
            heard.add(kind)

    assert time.monotonic() - began < SOON_S
    assert heard <= {4, 6}
    assert not archive.keeps("2.25.661")
    assert list((archive.folder / "arriving").iterdir()) == []


@pytest.mark.threat("T64")
@pytest.mark.parametrize(
    "asks",
    [
        pytest.param(lambda: asking([(n % 256 | 1, EXPLICIT) for n in range(2000)]), id="two thousand contexts"),
        pytest.param(lambda: asking([(n, EXPLICIT) for n in range(0, 256, 2)]), id="contexts of even numbers"),
        pytest.param(lambda: asking([]), id="no context"),
        pytest.param(lambda: asking([(1, "1." * 20_000)]), id="a syntax of forty thousand"),
        pytest.param(lambda: asking([(1, "../../etc/passwd")]), id="a syntax that is a path"),
        pytest.param(lambda: asking(more=pack(">BxH", 0x54, 0xFFFF)), id="an item longer than the request"),
        pytest.param(lambda: pdu(1, asking()[6:200]), id="half a request"),
        pytest.param(lambda: pdu(1, b""), id="a request of nothing"),
        pytest.param(lambda: pdu(1, bytes(900_000)), id="a request of zeros"),
        pytest.param(lambda: pdu(4, pdv(_DATA, LAST)), id="data before a request"),
        pytest.param(lambda: pdu(2, asking()[6:]), id="an acceptance instead"),
        pytest.param(lambda: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", id="HTTP"),
    ],
)
def test_a_request_that_is_none_hinders_nobody(archive: Archive, asks: Callable[[], bytes]) -> None:
    with Peer(archive.port, asks=asks()) as peer:
        began = time.monotonic()
        while (kind := peer.hears()[0]) and kind not in (3, 7):
            assert kind == 2

    assert time.monotonic() - began < SOON_S
    assert archive.serves(3)


@pytest.mark.threat("T62")
def test_who_asks_as_slowly_as_may_be_is_left_and_others_are_served_meanwhile(archive: Archive) -> None:
    slow = [Peer(archive.port) for _ in range(4)]
    began, request = time.monotonic(), iter(asking())
    open_still = dict(enumerate(slow))
    while open_still and time.monotonic() - began < SOON_S:
        byte = bytes([next(request)])
        for peer in slow:
            peer.say(byte)
        time.sleep(0.2)
        if time.monotonic() - began < 0.5:
            assert archive.serves(4)
        open_still = {number: peer for number, peer in open_still.items() if not peer.left()}

    assert open_still == {}
    for peer in slow:
        peer.close()
    assert archive.serves(5)


def test_what_was_kept_of_all_this_is_what_was_honest(archive: Archive) -> None:
    assert archive.serves()
    rows = archive.database.read_now(lambda connection: list_instances(connection, None, 0, 1000))
    served = {row.sop_instance_uid for row in rows if row.state == "served"}

    assert served <= {f"2.25.1{number:05}" for number in range(6)}
