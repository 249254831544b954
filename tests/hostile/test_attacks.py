"""Attacks that once went through, each with the promise it broke. Found by trying the running product, not by reading it."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest
import structlog

from isthmus import telemetry
from isthmus.archive.versions import not_newer
from isthmus.audit.events import Intent, Outcome
from isthmus.audit.trail import Trail
from isthmus.commands.output import printable, show, table
from isthmus.config import read_settings
from isthmus.consent.directives import Directives
from isthmus.country_a.api import border_app
from isthmus.country_b.arrivals import Arrival
from isthmus.country_b.portal.patients import read_identifier
from isthmus.errors import ArrivalRefused, ContentMismatch, SettingsProblem
from isthmus.model.identifiers import PatientIdentifier
from isthmus.model.masks import MaskIdentifier, SearchMask
from isthmus.model.people import Patient
from isthmus.model.queries import ImagesQuery
from isthmus.storage.database import open_state
from isthmus.storage.members import tar_members
from isthmus.storage.sealed import MasterKey
from isthmus.testing.border import PracticeBorder
from isthmus.testing.register import CT, EMPTY, HIDDEN, OPTED_OUT, RESTRICTED, SEEN, fill
from isthmus.transport.answers import Answer, Receive, Send, answer_whole
from isthmus.transport.grid import ABSENT_MS, SEARCHED_MS, Grid
from isthmus.transport.inbound import Inbound, Request
from isthmus.transport.listeners import Listener
from isthmus.trust import pki

ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202e[/red]"


# what is not there, in time


@pytest.fixture
async def punctual(tmp_path: Path) -> AsyncIterator[PracticeBorder]:
    """A border that keeps time as a real one does."""
    async with PracticeBorder(tmp_path / "practice", grid=Grid()) as made:
        fill(made.register, tmp_path)
        yield made


@pytest.mark.anyio
@pytest.mark.threat("T33")
@pytest.mark.parametrize("patient", [RESTRICTED, OPTED_OUT, EMPTY], ids=["restricted", "opted-out", "empty"])
async def test_an_empty_list_leaves_on_the_grid(punctual: PracticeBorder, patient: Patient) -> None:
    punctual.say(RESTRICTED, "restrict-study", HIDDEN)
    punctual.say(OPTED_OUT, "opt-out")
    token, handle = await punctual.care(patient)

    began = time.monotonic()
    reply = await punctual.ask("/fhir/DocumentReference", token=token, query={"patient": f"Patient/{handle}"})
    took_ms = (time.monotonic() - began) * 1000

    assert (reply.status, reply.json()["total"]) == (200, 0)
    assert took_ms >= SEARCHED_MS


@pytest.mark.anyio
@pytest.mark.threat("T33")
@pytest.mark.parametrize("path", ["/fhir/Bundle/" + "a" * 40, "/fhir/Binary/" + "a" * 40, "/dicom-web/studies/2.25.9"])
async def test_what_is_absent_is_absent_on_the_grid(punctual: PracticeBorder, path: str) -> None:
    token, _ = await punctual.care(SEEN)
    accept = "*/*" if path.startswith("/dicom-web") else "application/fhir+json"

    began = time.monotonic()
    reply = await punctual.ask(path, token=token, headers={"accept": accept})
    took_ms = (time.monotonic() - began) * 1000

    assert reply.status == 404
    assert took_ms >= ABSENT_MS


# the operator who rolls back


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node of Country A with one patient who restricted a study; the trail is closed. Gives its settings file."""
    made = pki.init(tmp_path, countries=("AA", "BB"), ports=pki.default_ports(("AA", "BB")), now=datetime.now(UTC))
    settings = read_settings(made.settings["AA"], {})
    database, master = open_state(settings), MasterKey.load(settings.path(settings.keys.env))
    trail = Trail(database, master, lambda: datetime.now(UTC), settings.folder)
    directives = Directives.of_settings(settings, database, lambda: datetime.now(UTC))
    trail.start()
    for scope in (CT, "2.25.5"):
        change = directives.change_now(SEEN.identifier, "restrict-study", scope)
        assert change is not None
        intent = Intent(
            side="A", transaction="consent", exchange_id=scope, peer=settings.ncp_id, patient=SEEN.identifier,
            details={"kind": "restrict-study", "head": str(change.number), "digest": change.digest},
        )  # fmt: skip
        trail.record_now(intent, Outcome(outcome="complete"), also=partial(directives.write, change=change))
    trail.stop()
    database.close()
    return settings.file


def verify(config: Path) -> tuple[int, list[str]]:
    argv = [sys.executable, "-m", "isthmus", "--config", str(config), "audit", "verify", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, [problem["what"] for problem in json.loads(done.stdout)["problems"]]


@pytest.mark.threat("T104")
@pytest.mark.threat("T77")
def test_directives_deleted_with_their_head_are_found(node: Path) -> None:
    before = verify(node)
    with closing(connect(node.parent / "state.sqlite", isolation_level=None)) as database:
        database.execute("DELETE FROM consent_directives")
        database.execute("DELETE FROM consent_heads")

    assert before == (0, [])
    assert verify(node) == (6, ["directives of 1 patient are missing or not the newest"])


@pytest.mark.threat("T104")
def test_directives_restored_from_an_older_copy_with_its_own_head_are_found(node: Path) -> None:
    with closing(connect(node.parent / "state.sqlite", isolation_level=None)) as database:
        database.execute("UPDATE consent_heads SET number = 1")

    assert verify(node) == (6, ["directives of 1 patient are missing or not the newest"])


@pytest.mark.threat("T77")
def test_a_leaf_of_another_length_is_found_and_does_not_stop_the_proof(node: Path) -> None:
    with closing(connect(node.parent / "state.sqlite", isolation_level=None)) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE audit_trail SET leaf = 'abc' WHERE number = 1")

    status, problems = verify(node)

    assert status == 6
    assert "the leaf is not that of the record" in problems


# the full disk


class Full(io.StringIO):
    """A log file on a disk without room."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.anyio
@pytest.mark.threat("T76")
async def test_a_log_that_cannot_be_written_does_not_end_the_trail(
    border: PracticeBorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Full())
    telemetry.set_up()
    with closing(connect(border.state.file, isolation_level=None)) as database:
        database.execute("ALTER TABLE audit_head RENAME TO gone")
        without = await asyncio.wait_for(border.knock(border.bb.request()), 5)
        database.execute("ALTER TABLE gone RENAME TO audit_head")

    again = await asyncio.wait_for(border.knock(border.bb.request()), 5)

    structlog.reset_defaults()
    assert (without.status, without.code) == (503, "audit")
    assert again.status == 200


# what files say on a terminal


@pytest.mark.threat("T74")
def test_a_name_in_a_file_is_text_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    rows = table("file")
    rows.add_row(ESCAPE)

    show(rows)
    show(ESCAPE)

    out = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\u202e"} & set(out)
    assert out.count("[/red]") == 2


def test_text_that_no_terminal_obeys_stays_as_it_is() -> None:
    assert printable("Ελένη Müller\nπρώτη") == "Ελένη Müller\nπρώτη"


# hostile files and forms


@pytest.mark.threat("T98")
@pytest.mark.parametrize("record", [b"5010 size=" + b"9" * 4999 + b"\n", b"1" * 5000 + b" size=3\n"])
def test_a_number_too_long_for_a_number_does_not_end_an_import(tmp_path: Path, record: bytes) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        extended = tarfile.TarInfo("x")
        extended.type, extended.size = b"x", len(record)
        archive.addfile(extended, io.BytesIO(record))
        member = tarfile.TarInfo("a")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"abcd"))
    (tmp_path / "t.tar").write_bytes(raw.getvalue())

    assert [member.name for member in tar_members(tmp_path / "t.tar")] == ["a"]


@pytest.mark.threat("T74")
def test_a_version_of_five_thousand_digits_is_compared_like_any_other() -> None:
    class Row:
        facts = '{"report_version": "1"}'

    class Said:
        version = "9" * 5000

    assert not_newer(Row(), Said()) is None  # type: ignore[arg-type]  # all that is looked at


@pytest.mark.threat("T75")
@pytest.mark.parametrize("kind", ["²", "٣", "9" * 900, "-1"])
def test_a_kind_of_number_that_is_none_falls_back_to_every_kind(kind: str) -> None:
    mask = SearchMask(identifiers=(MaskIdentifier("urn:oid:2.999.1.2.1", "[0-9]{10}", {"en": "Number"}),), traits={})

    assert read_identifier("0000000001", kind, mask) == PatientIdentifier("urn:oid:2.999.1.2.1", "0000000001")


@pytest.mark.threat("T68")
@pytest.mark.parametrize("digest", ["A" + "=" * 43, "=" * 44, "A" * 44])
def test_a_digest_that_is_no_base64_is_a_mismatch(digest: str) -> None:
    arrival = Arrival(SEEN, ImagesQuery("2.25.1"), {"content-digest": f"sha-256=:{digest}:"}, "AA")

    with pytest.raises((ContentMismatch, ArrivalRefused)) as refused:
        arrival.close()

    assert refused.value.reason == "digest"


async def _listened(raw: bytes) -> bytes:
    """What a listener that counts the body's bytes answers to these, until it closes."""

    async def count(request: Request, send: Send, receive: Receive) -> None:
        await answer_whole(Answer(200, (), (str(len(request.body)).encode(),)), request.method, send)

    app = Inbound(count, hosts=frozenset({"node.test"}), render=lambda error, *_: Answer(error.meaning.status, (), ()))
    listener = Listener("border", app, "127.0.0.1", 0)
    port = await listener.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw)
        await writer.drain()
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return answer
    finally:
        await listener.stop(0.1)


@pytest.mark.threat("T11")
def test_a_body_that_comes_in_one_piece_with_its_head_is_not_taken_for_a_head() -> None:
    head = b"POST /x HTTP/1.1\r\nHost: node.test\r\nConnection: close\r\nContent-Length: 131072\r\n\r\n"

    assert asyncio.run(_listened(head + b"x" * 131072)).endswith(b"131072")


@pytest.mark.threat("T11")
@pytest.mark.parametrize("line", [b"GET /x HTTP/2.0", b"GET /x#y HTTP/1.1"])
def test_another_version_and_a_fragment_are_refused_and_the_connection_closed(line: bytes) -> None:
    assert asyncio.run(_listened(line + b"\r\nHost: node.test\r\n\r\n")).startswith(b"HTTP/1.1 400")


@pytest.mark.anyio
@pytest.mark.threat("T37")
@pytest.mark.parametrize("said", [{"keys": ()}, {"absolute": ("everything",)}], ids=["no-keys", "unknown-subject"])
async def test_a_node_whose_patients_cannot_be_heard_does_not_start(tmp_path: Path, said: dict[str, Any]) -> None:
    async with PracticeBorder(tmp_path / "practice") as border:
        consent = replace(border.settings.consent, **said)
        with pytest.raises(SettingsProblem):
            border_app(
                replace(border.settings, env="prod", consent=consent), directory=border.directory, trail=border.trail,
                state=border.state, master=border.master, national=border.register, directives=border.directives,
                sandbox=border.sandbox, clock=border.clock,
            )  # fmt: skip


@pytest.mark.threat("T37")
def test_a_regime_that_is_none_is_refused(node: Path) -> None:
    node.write_text(node.read_text().replace('regime = "opt-out"', 'regime = "off"'))

    with pytest.raises(SettingsProblem):
        read_settings(node, {})
