"""Foreign senders in front of our listener: dcmtk's storescu, and a PACS that is told by movescu or asked by getscu."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isthmus.dicom.syntaxes import EXPLICIT_LE, IMPLICIT_LE
from isthmus.testing.engines.counterparts import HOST, need
from isthmus.testing.engines.orthanc import Orthanc, orthanc
from isthmus.testing.studies import SyntheticStudy
from isthmus.transport.dimse.arrivals import SUCCESS, Arrival
from isthmus.transport.dimse.inbound import Listener, Sender


class Kept:
    """A receiver that keeps what came as bytes."""

    def __init__(self, status: int = SUCCESS) -> None:
        self.status, self.files, self.syntaxes = status, list[bytes](), list[str]()

    def begun(self, arrival: Arrival) -> None: ...

    def stored(self, arrival: Arrival) -> tuple[int, str]:
        self.files.append(b"".join(iter(arrival.read, b"")))
        self.syntaxes.append(arrival.transfer_syntax_uid)
        arrival.release()
        return self.status, "a reason" if self.status else ""

    def broken(self, arrival: Arrival) -> None:
        arrival.release()


Listening = Callable[..., int]


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Listening]:
    running: list[Listener] = []

    def listen(receiver: Kept, sender: Sender | None = None, associations: int = 4) -> int:
        senders = [sender or Sender("MODALITY", HOST.__eq__)]
        listener = Listener(
            HOST, 0, "ISTHMUS", senders, lambda _: receiver, tmp_path / "spool", associations=associations
        )
        running.append(listener)
        return listener.start()

    yield listen
    for listener in running:
        listener.stop()


def send(
    port: int, *files: Path, calling: str = "MODALITY", called: str = "ISTHMUS", more: str = "-v"
) -> subprocess.CompletedProcess[str]:
    storescu = need("storescu", "dcmtk")
    command = [storescu, "-v", more, "-aet", calling, "-aec", called, HOST, str(port), *files]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)


def data_set(file: bytes) -> bytes:
    """What follows group 2 of a Part 10 file."""
    length = int.from_bytes(file[140:144], "little")
    return file[144 + length :]


@pytest.mark.parametrize(("syntax", "proposed"), [(EXPLICIT_LE, "-xe"), (IMPLICIT_LE, "-xi")])
def test_what_is_sent_arrives_as_it_lies(listening: Listening, tmp_path: Path, syntax: str, proposed: str) -> None:
    files = SyntheticStudy(instances=3, rows=64, columns=64, transfer_syntax_uid=syntax).write(tmp_path / "made")
    kept = Kept()

    ended = send(listening(kept), *files, more=proposed)

    assert ended.returncode == 0, ended.stderr
    assert kept.syntaxes == [syntax] * 3
    assert [data_set(one) for one in kept.files] == [data_set(file.read_bytes()) for file in files]


def test_a_refusal_reaches_the_sender(listening: Listening, tmp_path: Path) -> None:
    files = SyntheticStudy(instances=1, rows=16, columns=16).write(tmp_path / "made")

    ended = send(listening(Kept(0xA900)), *files)

    assert "DataSetDoesNotMatchSOPClass" in ended.stdout + ended.stderr


@pytest.mark.threat("T99")
@pytest.mark.parametrize(
    ("calling", "called", "addresses"),
    [("STRANGER", "ISTHMUS", (HOST,)), ("MODALITY", "ANOTHER", (HOST,)), ("MODALITY", "ISTHMUS", ("127.0.0.9",))],
)
def test_who_is_not_known_sends_nothing(
    listening: Listening, tmp_path: Path, calling: str, called: str, addresses: tuple[str, ...]
) -> None:
    files, kept = SyntheticStudy(instances=1, rows=16, columns=16).write(tmp_path / "made"), Kept()

    ended = send(listening(kept, Sender("MODALITY", addresses.__contains__)), *files, calling=calling, called=called)

    assert ended.returncode != 0
    assert kept.files == []


def test_an_instance_far_larger_than_a_pdu_comes_whole(listening: Listening, tmp_path: Path) -> None:
    files, kept = SyntheticStudy(instances=1, rows=512, columns=512, frames=40).write(tmp_path / "made"), Kept()

    send(listening(kept), *files)

    assert [data_set(one) for one in kept.files] == [data_set(files[0].read_bytes())]


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Orthanc]:
    with orthanc(tmp_path) as running:
        running.ask("PUT", "/modalities/clerk", b'{"AET": "CLERK", "Host": "127.0.0.1", "Port": 1}')
        yield running


def ask(pacs: Orthanc, program: str, study: str, *more: str) -> None:
    """Have dcmtk's programme ask the PACS for a study."""
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"]
    command = [need(program, "dcmtk"), "-S", "-aet", "CLERK", "-aec", pacs.ae_title, *more, *keys]
    ended = subprocess.run(
        [*map(str, command), HOST, str(pacs.dicom_port)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr


def test_a_pacs_that_is_told_by_movescu_to_move_a_study_to_us_is_a_sender_like_any_other(
    listening: Listening, pacs: Orthanc, tmp_path: Path
) -> None:
    study, kept = SyntheticStudy(instances=3, rows=64, columns=64), Kept()
    files = study.write(tmp_path / "made")
    pacs.load(files)
    pacs.know("ISTHMUS", listening(kept, Sender(pacs.ae_title, HOST.__eq__)))

    ask(pacs, "movescu", study.study_instance_uid, "-aem", "ISTHMUS")

    assert sorted(map(data_set, kept.files)) == sorted(data_set(file.read_bytes()) for file in files)


def test_what_getscu_took_from_a_pacs_arrives_by_storescu_as_it_lay_there(
    listening: Listening, pacs: Orthanc, tmp_path: Path
) -> None:
    study, kept, taken = SyntheticStudy(instances=3, rows=64, columns=64), Kept(), tmp_path / "taken"
    files = study.write(tmp_path / "made")
    pacs.load(files)
    taken.mkdir()

    ask(pacs, "getscu", study.study_instance_uid, "-od", str(taken))
    send(listening(kept), *sorted(taken.iterdir()))

    assert sorted(map(data_set, kept.files)) == sorted(data_set(file.read_bytes()) for file in files)
