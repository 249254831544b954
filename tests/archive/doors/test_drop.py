"""A watched folder: what is taken and when, where it ends, tricks, and a node that dies at any step.

Source: interfaces.md §11; trust.md T67, T99; field-faults F49.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select
from tests.archive.conftest import EVA, NOW, SANDBOX, Node, dicom
from tests.archive.doors.conftest import SYSTEM, with_intake
from tests.archive.doors.test_publish import report

from isthmus.archive.doors import claims
from isthmus.archive.doors.desk import Desk
from isthmus.archive.doors.drop import TRIES, Drop, watchers
from isthmus.archive.reports import NO_STUDY
from isthmus.archive.verdicts import REASONS
from isthmus.errors import NationalInfrastructureUnavailable, SettingsProblem
from isthmus.sections import DropFolder
from isthmus.storage.database import open_index
from isthmus.storage.schema.archive import documents
from isthmus.wire.packs.pack import load_pack

PDF = b"%PDF-1.7\nA report.\n%%EOF\n"
SIDECAR = orjson.dumps({"patient": f"{SYSTEM}|{EVA['PatientID']}", "studies": ["2.25.10"]})


@dataclass
class Watched(Node):
    """A node with Eva registered, and its folder."""

    folder: Path = Path()
    drop: Any = None

    def put(self, name: str, body: bytes, sidecar: bytes | None = None) -> None:
        (self.folder / name).write_bytes(body)
        if sidecar is not None:
            (self.folder / f"{name}.json").write_bytes(sidecar)

    def look(self, times: int = 2) -> int:
        return sum(self.drop.look() for _ in range(times))

    def lying(self, place: str = "") -> list[str]:
        return sorted(name for name in os.listdir(self.folder / place) if name not in ("done", "refused", ".taking"))

    def verdict(self, name: str, place: str = "done") -> tuple[str, str | None]:
        said = orjson.loads((self.folder / place / f"{name}.reason.json").read_bytes())
        return said["verdict"], said.get("reason")

    def kept(self) -> int:
        return self.database.read_now(lambda c: len(c.execute(documents.select()).all()))


def watched_in(folder: Path) -> tuple[Any, DropFolder]:
    place = DropFolder(name="ris", path="drop", source="archive")
    (folder / "drop").mkdir(exist_ok=True)
    return with_intake(folder, folders=(place,)), place


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    settings, place = watched_in(tmp_path)
    database = open_index(settings)
    desk = Desk(settings, database, lambda: NOW, load_pack(), SANDBOX)
    made = Watched(settings, database, folder=tmp_path / "drop", drop=Drop(settings, place, desk, sidecar_s=0.0))
    made.bring(dicom())
    yield made
    desk.close()
    database.close()


def test_a_pdf_with_its_sidecar_is_kept_and_put_away(watched: Watched) -> None:
    watched.put("a.pdf", PDF, SIDECAR)

    assert watched.look() == 1

    assert watched.verdict("a.pdf") == ("accepted", None)
    assert watched.lying() == []
    assert watched.lying("done") == ["a.pdf", "a.pdf.reason.json", "a.pdf.sidecar.json"]
    assert watched.kept() == 1
    assert os.listdir(watched.folder / ".taking") == []


def test_a_sidecar_may_have_the_name_without_its_ending(watched: Watched) -> None:
    watched.put("a.pdf", PDF)
    (watched.folder / "a.json").write_bytes(SIDECAR)

    watched.look()

    assert watched.verdict("a.pdf") == ("accepted", None)


def test_a_fhir_report_says_itself_whose_it_is(watched: Watched) -> None:
    watched.put("report.json", report())

    watched.look()

    assert watched.verdict("report.json") == ("accepted", None)


def test_a_file_that_still_grows_is_left_alone(watched: Watched) -> None:
    watched.put("a.pdf", PDF[:5], SIDECAR)
    for size in range(6, 12):
        watched.look(1)
        watched.put("a.pdf", PDF[:size])

    assert watched.kept() == 0
    watched.put("a.pdf", PDF)
    watched.look(2)
    assert watched.verdict("a.pdf") == ("accepted", None)


@pytest.mark.parametrize("name", [".a.pdf", "a.pdf.part", "~a.pdf", "a.tmp", "a.filepart"])
def test_an_unfinished_name_is_left_alone(watched: Watched, name: str) -> None:
    watched.put(name, PDF)

    assert watched.look(3) == 0
    assert watched.lying() == [name]


def test_a_sidecar_waits_for_its_document(watched: Watched) -> None:
    (watched.folder / "a.pdf.json").write_bytes(SIDECAR)
    watched.look(3)

    watched.put("a.pdf", PDF)
    watched.look(2)

    assert watched.verdict("a.pdf") == ("accepted", None)


def test_a_pdf_waits_a_while_for_its_sidecar(watched: Watched) -> None:
    watched.drop._sidecar_s = 3600.0
    watched.put("a.pdf", PDF)

    assert watched.look(3) == 0
    watched.put("a.pdf", PDF, SIDECAR)
    watched.look(2)
    assert watched.verdict("a.pdf") == ("accepted", None)


@pytest.mark.parametrize(
    ("body", "sidecar", "reason"),
    [
        (PDF, None, "no-patient"),
        (PDF, b'{"patient": "urn:oid:2.999.4.1|404"}', "unknown-patient"),
        (PDF, b'{"patient": "urn:oid:2.999.77|1234567"}', "other-issuer"),
        (PDF, b'{"patient": 7}', "bad-sidecar"),
        (PDF, b'{"patient": "urn:oid:2.999.4.1|1234567", "studies": ["../.."]}', "bad-sidecar"),
        (PDF, b'{"patient": "urn:oid:2.999.4.1|1234567", "command": "rm"}', "bad-sidecar"),
        (b"", SIDECAR, "empty"),
        (dicom(), None, "unknown-form"),
        (b"PK\3\4" + bytes(100), None, "unknown-form"),
        (b"{}", None, "not-a-report"),
        (b"<a/>", None, "unknown-form"),
    ],
)
def test_what_is_not_taken_lies_among_the_refused_with_its_reason(
    watched: Watched, body: bytes, sidecar: bytes | None, reason: str
) -> None:
    watched.put("x.pdf", body, sidecar)

    watched.look()

    assert watched.verdict("x.pdf", "refused") == ("refused", reason)
    assert reason in REASONS
    assert (watched.folder / "refused" / "x.pdf").read_bytes() == body
    assert (watched.kept(), watched.lying()) == (0, [])


def test_links_folders_and_pipes_are_moved_aside_and_never_opened(watched: Watched, tmp_path: Path) -> None:
    secret = tmp_path / "secret.pdf"
    secret.write_bytes(PDF)
    (watched.folder / "a.pdf").symlink_to(secret)
    (watched.folder / "a.pdf.json").write_bytes(SIDECAR)
    (watched.folder / "b.pdf").symlink_to("/dev/zero")
    (watched.folder / "deep").mkdir()
    (watched.folder / "deep" / "c.pdf").write_bytes(PDF)
    os.mkfifo(watched.folder / "d.pdf")

    watched.look()

    reasons = {name: watched.verdict(name, "refused")[1] for name in ("a.pdf", "b.pdf", "deep", "d.pdf")}
    assert reasons == {"a.pdf": "link", "b.pdf": "link", "deep": "folder", "d.pdf": "link"}
    assert (watched.kept(), secret.read_bytes()) == (0, PDF)


def test_a_sidecar_that_is_a_link_is_not_followed(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "sidecar.json").write_bytes(SIDECAR)
    watched.put("a.pdf", PDF)
    (watched.folder / "a.pdf.json").symlink_to(tmp_path / "sidecar.json")

    watched.look()

    assert watched.verdict("a.pdf", "refused") == ("refused", "no-patient")


def test_a_folder_that_is_a_link_is_not_worked_in(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (watched.folder / "done").symlink_to(tmp_path / "elsewhere")
    watched.put("a.pdf", PDF, SIDECAR)

    with pytest.raises(NationalInfrastructureUnavailable):
        watched.look()

    assert watched.lying() == ["a.pdf", "a.pdf.json"]


@pytest.mark.parametrize(
    "name", ["a" * 251 + ".pdf", "-rf", "a\nb.pdf", "ünï.pdf", os.fsdecode(b"\xff\xfe.pdf"), "x." + "y" * 200]
)
def test_a_name_is_only_a_name(watched: Watched, name: str) -> None:
    watched.put(name, PDF)

    assert watched.look() == 1

    (document,) = [one for one in watched.lying("refused") if not one.endswith(".reason.json")]
    assert (watched.folder / "refused" / document).read_bytes() == PDF


def test_the_same_name_again_is_kept_beside_the_first(watched: Watched) -> None:
    for body in (PDF, PDF + b"2", PDF):
        watched.put("a.pdf", body, SIDECAR)
        watched.look()

    kept = [name for name in watched.lying("done") if name.endswith(".pdf")]
    assert len(kept) == 3
    assert watched.kept() == 2


class Disk:
    """Where reading a claimed document fails, as often as it is told to; and a clock for whoever waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, of: str, error: int = errno.EIO) -> None:
        self.fails, self.asked, self.now = True, 0, 1000.0
        real = claims.read

        def read(folder: int, name: str, limit_bytes: int) -> bytes:
            if name == of:
                self.asked += 1
                if self.fails:
                    raise OSError(error, os.strerror(error))
            return real(folder, name, limit_bytes)

        monkeypatch.setattr(claims, "read", read)
        monkeypatch.setattr("isthmus.archive.doors.drop.time.monotonic", lambda: self.now)


def look_on(watched: Watched, disk: Disk, seconds: float) -> None:
    """The folder is looked at every five seconds, whatever it raises."""
    until = disk.now + seconds
    while disk.now < until:
        with contextlib.suppress(NationalInfrastructureUnavailable):
            watched.drop.look()
        disk.now += 5.0


def test_a_document_that_its_disk_does_not_give_is_tried_again_ever_later_and_then_refused(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(monkeypatch, claims.DOCUMENT)
    watched.put("Testova Eva.pdf", PDF, SIDECAR)
    watched.put("b.json", report())
    monkeypatch.setattr(watched.drop, "_poll_s", 5.0)

    look_on(watched, disk, 60)
    after_a_minute = disk.asked
    look_on(watched, disk, 400)

    assert after_a_minute <= 2 * 3
    assert disk.asked == 2 * TRIES
    assert watched.verdict("Testova Eva.pdf", "refused") == ("refused", "unreadable")
    assert (watched.folder / "refused" / "Testova Eva.pdf").read_bytes() == PDF
    assert os.listdir(watched.folder / ".taking") == []
    assert "in the watched folder ris could not be finished, 2 times so far, and is tried again in 20 s" in caplog.text
    assert "Testova" not in caplog.text


def test_a_disk_that_gives_it_at_last_loses_nothing_of_it(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch, claims.DOCUMENT)
    watched.put("a.pdf", PDF, SIDECAR)

    look_on(watched, disk, 60)
    disk.fails = False
    look_on(watched, disk, 200)

    assert watched.verdict("a.pdf") == ("accepted", None)


def test_what_the_archive_cannot_keep_now_is_never_refused_for_it(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch, "nothing")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    watched.put("a.pdf", PDF, SIDECAR)
    with monkeypatch.context() as patched:
        patched.setattr("isthmus.archive.containers.Container.append", lambda *_: (_ for _ in ()).throw(full))
        look_on(watched, disk, 10 * 900)
        waiting = watched.lying("refused"), len(os.listdir(watched.folder / ".taking"))
    look_on(watched, disk, 905)

    assert waiting == ([], 1)
    assert watched.verdict("a.pdf") == ("accepted", None)


def test_one_that_waits_keeps_no_other_waiting(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch, claims.SIDECAR)
    watched.put("a.pdf", PDF, SIDECAR)
    watched.put("b.json", report())

    look_on(watched, disk, 20)

    assert watched.verdict("b.json") == ("accepted", None)
    assert len(os.listdir(watched.folder / ".taking")) == 1


def test_a_pdf_may_be_tied_to_its_study_by_accession_number_alone(watched: Watched) -> None:
    number = orjson.dumps({"patient": f"{SYSTEM}|{EVA['PatientID']}", "accession_numbers": ["A1"]})
    other = orjson.dumps({"patient": f"{SYSTEM}|{EVA['PatientID']}", "accession_numbers": ["A9"]})
    Desk(watched.settings, watched.database, lambda: NOW, load_pack(), SANDBOX).offers.make(["2.25.10"])
    watched.put("a.pdf", PDF, number)
    watched.put("b.pdf", PDF + b"\n", other)

    watched.look()

    said = [orjson.loads((watched.folder / "done" / f"{name}.pdf.reason.json").read_bytes()) for name in "ab"]
    studies = watched.database.read_now(
        lambda c: [
            orjson.loads(f).get("study_instance_uids", [])
            for (f,) in c.execute(select(documents.c.facts).where(documents.c.kind == "report-pdf"))
        ]
    )
    assert ([one.get("warnings") for one in said], studies) == ([None, [NO_STUDY]], [["2.25.10"], []])


def test_two_watchers_do_not_take_one_file_twice(watched: Watched) -> None:
    watched.put("a.pdf", PDF, SIDECAR)
    watched.look(1)

    with claims.opened_alone(watched.folder):
        assert watched.look(2) == 0

    assert watched.look(2) == 1


def test_a_folder_that_is_not_there_is_said_at_start(tmp_path: Path) -> None:
    settings, _ = watched_in(tmp_path)
    (tmp_path / "drop").rmdir()
    database = open_index(settings)

    with pytest.raises(SettingsProblem, match="is no folder"):
        watchers(settings, Desk(settings, database, lambda: NOW, load_pack(), SANDBOX))

    database.close()


class _Dies(BaseException):
    """What a kill looks like from inside."""


def _at_every_step(monkeypatch: pytest.MonkeyPatch, step: int) -> Callable[[], int]:
    """The n-th call that changes a folder never happens; gives how many did."""
    count = 0

    def dying(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                raise _Dies
            return real(*args, **kwargs)

        return call

    for name in ("mkdir", "rename", "unlink", "rmdir", "link"):
        monkeypatch.setattr(os, name, dying(getattr(os, name)))
    return lambda: count


@pytest.mark.parametrize("step", range(1, 25))
def test_a_node_that_dies_at_any_step_loses_nothing_and_keeps_nothing_twice(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    watched.put("a.pdf", PDF, SIDECAR)
    watched.look(1)
    with monkeypatch.context() as broken:
        _at_every_step(broken, step)
        with contextlib.suppress(_Dies):
            watched.drop.look()

    watched.look(3)

    assert watched.kept() == 1
    assert watched.verdict("a.pdf")[0] in ("accepted", "unchanged")
    assert (watched.lying(), os.listdir(watched.folder / ".taking")) == ([], [])
    assert watched.lying("done") == ["a.pdf", "a.pdf.reason.json", "a.pdf.sidecar.json"]
    assert watched.lying("refused") == []


KILLED = """
import sys, time
from pathlib import Path
from tests.archive.conftest import NOW, SANDBOX
from tests.archive.doors.test_drop import watched_in
from isthmus.archive.doors.desk import Desk
from isthmus.archive.doors.drop import Drop
from isthmus.storage.database import open_index
from isthmus.wire.packs.pack import load_pack
settings, place = watched_in(Path(sys.argv[1]))
database = open_index(settings)
drop = Drop(settings, place, Desk(settings, database, lambda: NOW, load_pack(), SANDBOX))
print("ready", flush=True)
while True:
    drop.look()
    time.sleep(0.01)
"""


def test_a_node_that_is_killed_again_and_again_brings_every_report_once(watched: Watched, tmp_path: Path) -> None:
    for number in range(60):
        watched.put(f"{number}.pdf", PDF + str(number).encode(), SIDECAR)
    root = Path(__file__).resolve().parents[3]
    for _ in range(4):
        running = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, stdout=subprocess.PIPE)
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(0.15)
        running.send_signal(signal.SIGKILL)
        running.wait()
        running.stdout.close()

    watched.look(4)

    assert watched.kept() == 60
    assert watched.lying() == []
    assert len([name for name in watched.lying("done") if name.endswith(".pdf")]) == 60
    assert watched.lying("refused") == []
