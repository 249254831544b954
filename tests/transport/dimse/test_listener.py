"""Our DIMSE port under strange peers: announced lengths, half sentences, strangers; and nobody's name in a log."""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import build_context

from isthmus.testing.engines.counterparts import HOST
from isthmus.transport.dimse.arrivals import SUCCESS, Arrival
from isthmus.transport.dimse.inbound import Listener, Sender
from isthmus.transport.dimse.outbound import Peer, echo

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
SILENCE_S = 1.0


class Kept:
    def __init__(self) -> None:
        self.whole: list[str] = []
        self.broken_off: list[str] = []
        self.comment = ""

    def begun(self, arrival: Arrival) -> None: ...

    def stored(self, arrival: Arrival) -> tuple[int, str]:
        self.whole.append(arrival.sop_instance_uid)
        arrival.release()
        return (0xA700, self.comment) if self.comment else (SUCCESS, "")

    def broken(self, arrival: Arrival) -> None:
        self.broken_off.append(arrival.sop_instance_uid)
        arrival.release()


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def port(kept: Kept, tmp_path: Path) -> Iterator[int]:
    senders = [Sender("MODALITY", HOST.__eq__)]
    listener = Listener(HOST, 0, "ISTHMUS", senders, lambda _: kept, tmp_path, silence_s=SILENCE_S, associations=2)
    yield listener.start()
    listener.stop()


def instance(uid: str = "2.25.1") -> Dataset:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.PatientName = CT, uid, "Testova^Eva"
    made.set_original_encoding(False, True)
    made.ensure_file_meta()
    made.file_meta.TransferSyntaxUID = UID(EXPLICIT_LE)
    return made


def modality() -> ApplicationEntity:
    made = ApplicationEntity("MODALITY")
    made.acse_timeout = made.dimse_timeout = 5
    return made


def test_it_answers_an_echo(port: int, tmp_path: Path) -> None:
    echo(Peer(HOST, port, "ISTHMUS", "MODALITY"), tmp_path)


def test_a_private_class_is_taken(port: int, kept: Kept) -> None:
    made = instance()
    made.SOPClassUID = "1.3.12.2.1107.5.9.1"
    association = modality().associate(
        HOST, port, contexts=[build_context(made.SOPClassUID, EXPLICIT_LE)], ae_title="ISTHMUS"
    )

    status = association.send_c_store(made)
    association.release()

    assert (status.Status, kept.whole) == (SUCCESS, ["2.25.1"])


def test_a_refusal_is_told_with_its_comment(port: int, kept: Kept) -> None:
    kept.comment = "of a fixed list"
    association = modality().associate(HOST, port, contexts=[build_context(CT, EXPLICIT_LE)], ae_title="ISTHMUS")

    status = association.send_c_store(instance())
    association.release()

    assert (status.Status, status.ErrorComment) == (0xA700, "of a fixed list")


def test_more_associations_than_are_taken_are_told_to_come_back(port: int) -> None:
    held = [
        modality().associate(HOST, port, contexts=[build_context(CT, EXPLICIT_LE)], ae_title="ISTHMUS")
        for _ in range(3)
    ]

    assert [one.is_established for one in held] == [True, True, False]
    for one in held[:2]:
        one.release()


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"\x01\x00" + struct.pack(">L", 0xFFFFFFF0) + bytes(100), id="a length of 4 GB"),
        pytest.param(b"\x01\x00" + struct.pack(">L", 5000) + bytes(10), id="half a request"),
        pytest.param(b"\x99" * 200, id="no PDU at all"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_who_says_half_a_sentence_is_hung_up_on(port: int, said: bytes) -> None:
    with socket.create_connection((HOST, port)) as peer:
        peer.settimeout(30)
        peer.sendall(said)
        started = time.monotonic()
        while peer.recv(1000):
            pass

    assert time.monotonic() - started < 15


def test_a_stranger_is_hung_up_on_before_a_word(port: int) -> None:
    with socket.create_connection((HOST, port), source_address=("127.0.0.77", 0)) as peer:
        peer.settimeout(5)

        assert peer.recv(10) == b""


def test_who_is_refused_is_told_to_the_operator_and_the_log_is_not_flooded(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "isthmus"):
        for _ in range(20):
            with socket.create_connection((HOST, port), source_address=("127.0.0.77", 0)) as peer:
                peer.settimeout(5)
                peer.recv(10)

    said = [record.getMessage() for record in caplog.records]
    assert said
    assert len(said) < 5
    assert all("127.0.0.77" in one and str(port) in one for one in said)


def test_another_ae_title_than_ours_is_rejected_and_told(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "isthmus"):
        made = modality().associate(HOST, port, contexts=[build_context(CT, EXPLICIT_LE)], ae_title="ISTHMOS")

    said = made.acceptor.primitive
    assert said is not None
    assert (made.is_rejected, said.result_source, said.diagnostic) == (True, 1, 7)
    assert ["ISTHMOS" in record.getMessage() and "MODALITY" in record.getMessage() for record in caplog.records] == [
        True
    ]


def test_an_instance_that_breaks_off_is_never_whole(port: int, kept: Kept) -> None:
    association = modality().associate(HOST, port, contexts=[build_context(CT, EXPLICIT_LE)], ae_title="ISTHMUS")
    connection = association.dul.socket
    assert connection is not None
    made = instance()
    made.PixelData = bytes(4_000_000)
    made["PixelData"].VR = "OW"
    whole, sent = connection.send, 0

    def send(data: bytes) -> None:
        nonlocal sent
        sent += len(data)
        if sent > 1_000_000:
            connection.close()
        else:
            whole(data)

    vars(connection)["send"] = send
    association.send_c_store(made)

    deadline = time.monotonic() + 5
    while not kept.broken_off and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (kept.whole, kept.broken_off) == ([], ["2.25.1"])


def test_the_library_says_nothing(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        association = modality().associate(HOST, port, contexts=[build_context(CT, EXPLICIT_LE)], ae_title="ISTHMUS")
        association.send_c_store(instance())
        association.release()

    assert [record for record in caplog.records if record.name.startswith(("pynetdicom", "pydicom"))] == []
